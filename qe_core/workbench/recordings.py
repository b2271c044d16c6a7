"""The recorded outcomes: how they are stored, checked and summed up.

Belongs here: the three tables and their manifest, writing them, and loading them with every check. Does not
belong here: making them (`qe_core.workbench.record`) and learning from them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qe_core.errors import RecordingError

SHIPPED = Path(__file__).parent / "recordings" / "test_generator"
"""The recordings that come with the package."""

SECONDS_MARKS = (1.0, 2.0, 4.0, 8.0)
"""CPU seconds at which `summary` looks."""

MODULES = pa.schema(
    [
        ("package", pa.string()),
        ("module", pa.string()),
        ("split", pa.string()),
        ("position", pa.int32()),
        ("statements", pa.int32()),
        ("branches", pa.int32()),
        ("mutants", pa.int32()),
        ("functions", pa.int32()),
        ("classes", pa.int32()),
        ("methods", pa.int32()),
        ("doctests", pa.int32()),
        ("annotated_share", pa.float64()),
        ("complexity", pa.float64()),
        ("max_complexity", pa.int32()),
        ("literal_count", pa.int32()),
        ("neighbour_tests", pa.int32()),
    ]
)
"""One row for each module, in the order of the declaration; what is known before any test is generated."""

RUNS = pa.schema(
    [
        ("package", pa.string()),
        ("module", pa.string()),
        ("strategy", pa.string()),
        ("repetition", pa.int32()),
        ("seed", pa.int64()),
        ("seconds", pa.float64()),
        ("wall_seconds", pa.float64()),
        ("finished", pa.bool_()),
        ("tests_generated", pa.int32()),
        ("tests_kept", pa.int32()),
        ("failure", pa.string()),
        ("branches", pa.int32()),
        ("mutants", pa.int32()),
    ]
)
"""One row for each run of a strategy on a module; `seconds` are CPU seconds."""

OUTCOMES = pa.schema(
    [
        ("package", pa.string()),
        ("module", pa.string()),
        ("strategy", pa.string()),
        ("repetition", pa.int32()),
        ("kind", pa.string()),
        ("item", pa.int32()),
        ("seconds", pa.float32()),
    ]
)
"""One row for each branch covered, mutant killed or test kept in a run, with the CPU second it first was."""

_SCHEMAS = {"modules": MODULES, "runs": RUNS, "outcomes": OUTCOMES}


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recorded outcomes of real runs.

    Attributes:
        modules: Table of schema `MODULES`.
        runs: Table of schema `RUNS`.
        outcomes: Table of schema `OUTCOMES`.
        manifest: Where the tables come from: versions, licences, limits, split rule, command, digests.
    """

    modules: pa.Table
    runs: pa.Table
    outcomes: pa.Table
    manifest: Mapping[str, Any]


def write_recordings(
    out: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], manifest: Mapping[str, Any]
) -> None:
    """Write rows as the three tables with their manifest; a reader never sees a half-written file.

    Args:
        out: Directory to write to, made if missing.
        tables: Rows of `modules`, `runs` and `outcomes`.
        manifest: What to say about them; the digests of the files are added.
    """
    out.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, schema in _SCHEMAS.items():
        path = out / f"{name}.parquet"
        temporary = path.with_suffix(".tmp")
        pq.write_table(
            pa.Table.from_pylist(list(tables[name]), schema=schema),
            temporary,
            compression="zstd",
            compression_level=12,
        )
        digests[path.name] = hashlib.sha256(temporary.read_bytes()).hexdigest()
        os.replace(temporary, path)
    text = json.dumps({**manifest, "sha256": digests}, indent=2, ensure_ascii=False)
    temporary = out / "manifest.tmp"
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, out / "manifest.json")


def load_recordings(path: Path | None = None) -> Recordings:
    """Recordings from a directory, by default those that ship with the package, completely checked.

    Raises:
        RecordingError: If a file is missing, was changed since it was written, or does not fit its schema.
    """
    directory = path or SHIPPED
    manifest = _load_manifest(directory)
    tables = {name: _load_table(directory, name, manifest["sha256"]) for name in _SCHEMAS}
    recordings = Recordings(tables["modules"], tables["runs"], tables["outcomes"], manifest)
    _check_consistency(directory, recordings)
    return recordings


def _load_manifest(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in _SCHEMAS:
            manifest["sha256"][f"{name}.parquet"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{path} is missing or no manifest of recordings ({error!r}). Reinstall the package, or make the "
            f"recordings with `qe workbench record`."
        ) from error
    return manifest


def _load_table(directory: Path, name: str, digests: Mapping[str, str]) -> pa.Table:
    path = directory / f"{name}.parquet"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be read ({error}). Reinstall the package or record again."
        ) from error
    if hashlib.sha256(content).hexdigest() != digests[path.name]:
        raise RecordingError(
            f"{path} is not the file the manifest describes: its SHA-256 differs. Restore the original, or "
            f"record again with `qe workbench record`."
        )
    try:
        table = pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise RecordingError(f"{path} is no Parquet file ({error}). Record again.") from error
    if not table.schema.equals(_SCHEMAS[name]):
        raise RecordingError(f"{path} has other columns than this version expects. Record again.")
    return table


def _check_consistency(directory: Path, recordings: Recordings) -> None:
    known = set(recordings.modules["module"].to_pylist())
    for name, table in (("runs", recordings.runs), ("outcomes", recordings.outcomes)):
        strangers = sorted(set(pc.unique(table["module"]).to_pylist()) - known)
        if strangers:
            raise RecordingError(
                f"{directory / name}.parquet mentions modules that modules.parquet does not have: "
                f"{', '.join(strangers[:3])}. Record again."
            )


def verify(path: Path | None = None) -> dict[str, int]:
    """How many packages, modules, runs and outcomes there are, after every check of `load_recordings`.

    Raises:
        RecordingError: As `load_recordings`.
    """
    recordings = load_recordings(path)
    return {
        "packages": len(pc.unique(recordings.modules["package"])),
        "modules": recordings.modules.num_rows,
        "runs": recordings.runs.num_rows,
        "outcomes": recordings.outcomes.num_rows,
    }


def summary(path: Path | None = None) -> pa.Table:
    """How the strategies compare: one row each.

    Returns:
        Columns `strategy`, `runs`, `failures`, mean `branches_1s`, `branches_2s`, `branches_4s`,
        `branches_8s` (share of the universe covered by then, in [0, 1]), `mutants` (share killed) and mean
        CPU `seconds`.

    Raises:
        RecordingError: As `load_recordings`.
    """
    recordings = load_recordings(path)
    totals = {row["module"]: row for row in recordings.modules.to_pylist()}
    covered: dict[tuple[str, str, int], list[float]] = {}
    branches = recordings.outcomes.filter(pc.equal(recordings.outcomes["kind"], "branch"))
    for row in branches.to_pylist():
        covered.setdefault((row["module"], row["strategy"], row["repetition"]), []).append(row["seconds"])
    rows: dict[str, list[dict[str, float]]] = {}
    for run in recordings.runs.to_pylist():
        seconds = covered.get((run["module"], run["strategy"], run["repetition"]), [])
        total = totals[run["module"]]
        rows.setdefault(run["strategy"], []).append(
            {
                "failures": bool(run["failure"]),
                **{
                    f"branches_{mark:g}s": sum(second <= mark for second in seconds)
                    / max(1, total["branches"])
                    for mark in SECONDS_MARKS
                },
                "mutants": run["mutants"] / max(1, total["mutants"]),
                "seconds": run["seconds"],
            }
        )
    table = []
    for strategy, found in sorted(rows.items()):
        means = {
            name: sum(row[name] for row in found) / len(found) for name in found[0] if name != "failures"
        }
        failures = int(sum(row["failures"] for row in found))
        table.append({"strategy": strategy, "runs": len(found), "failures": failures, **means})
    return pa.Table.from_pylist(table)
