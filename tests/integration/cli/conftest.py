"""The real command in a process of its own, on a fresh real database."""

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from qe_core.cli.app import main

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """Variables under which the command works on the test's own database, without colours."""
    return {**os.environ, "QE_DATABASE_URL": database_url, "NO_COLOR": "1", "COLUMNS": "200"}


@pytest.fixture
def qe_here(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run `qe` in this process: the same command, without two seconds of starting Python each time."""
    monkeypatch.chdir(tmp_path)
    for name in ("QE_DATABASE_URL", "NO_COLOR", "COLUMNS"):
        monkeypatch.setenv(name, environment[name])

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["qe", *arguments])
            capfd.readouterr()
            code = main()
            output, complaints = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, output, complaints)

    return run


@pytest.fixture
def qe(qe_here: Run) -> Callable[..., Awaitable[subprocess.CompletedProcess[str]]]:
    """Run `qe` beside the test's own event loop."""
    return functools.partial(asyncio.to_thread, qe_here)


@pytest.fixture
def good_row() -> Callable[..., dict[str, Any]]:
    """A good row with changes; a value of ... leaves the column out."""

    def make(**changes: Any) -> dict[str, Any]:
        whole = {
            "agent": "test-executor",
            "episode": "e1",
            "step": 0,
            "state": 3,
            "action": "run-all",
            "reward": 1.5,
            "next_state": 4,
            "terminated": False,
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not ...}

    return make


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines into the test's directory."""

    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
