"""Rows and files the importing tests share."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qe_core.fleet import registry
from qe_core.runtime.importing.checking import CheckedBatch, RowChecker
from qe_core.runtime.importing.sources import open_source

Row = dict[str, Any]
Rows = list[Row]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
GOOD: Mapping[str, Any] = {
    "agent": "test-executor",
    "episode": "e1",
    "step": 0,
    "state": 3,
    "action": "run-all",
    "reward": 1.5,
    "next_state": 4,
    "terminated": False,
}


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """Return a good row with changes; a value of ... leaves the column out."""

    def make(**changes: Any) -> Row:
        whole = {**GOOD, **{name.replace("__", "."): value for name, value in changes.items()}}
        return {name: value for name, value in whole.items() if value is not ...}

    return make


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[Rows], Path]:
    """Write rows as JSON Lines."""

    def write(rows: Rows, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def check() -> Callable[[Path], list[CheckedBatch]]:
    """Read and check a whole file."""

    def check_file(path: Path) -> list[CheckedBatch]:
        checker = RowChecker(registry(), "import:x", NOW)
        return [checker.check(batch) for batch in open_source(path).batches()]

    return check_file


@pytest.fixture
def reasons(check: Callable[[Path], list[CheckedBatch]]) -> Callable[[Path], dict[int, str]]:
    """What is wrong with each bad line of a file."""
    return lambda path: {fault.line: fault.reason for batch in check(path) for fault in batch.faults}


@pytest.fixture
def stored(
    make_row: Callable[..., Row],
    write_lines: Callable[[Rows], Path],
    check: Callable[[Path], list[CheckedBatch]],
) -> Callable[..., Row]:
    """One good row as it would be stored."""

    def store_row(**changes: Any) -> Row:
        (batch,) = check(write_lines([make_row(**changes)]))
        assert not batch.faults
        (row,) = batch.rows.to_pylist()
        return dict(row)

    return store_row
