"""Recordings survive being written and read, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qe_core.errors import RecordingError
from qe_core.workbench.recordings import load_recordings, summary, verify, write_recordings

MODULE: dict[str, Any] = {
    "package": "tiny",
    "module": "tiny.shapes",
    "split": "training",
    "position": 0,
    "statements": 16,
    "branches": 10,
    "mutants": 4,
    "functions": 2,
    "classes": 1,
    "methods": 2,
    "doctests": 2,
    "annotated_share": 1.0,
    "complexity": 2.0,
    "max_complexity": 3,
    "literal_count": 12,
    "neighbour_tests": 2,
}
KEY: dict[str, Any] = {"package": "tiny", "module": "tiny.shapes", "strategy": "literals"}
RUN: dict[str, Any] = {
    **KEY,
    "seed": 1,
    "seconds": 3.0,
    "wall_seconds": 4.0,
    "finished": True,
    "tests_generated": 9,
    "tests_kept": 2,
    "failure": "",
    "branches": 3,
    "mutants": 1,
}
TABLES = {
    "modules": [MODULE],
    "runs": [
        {**RUN, "repetition": 0},
        {**RUN, "repetition": 1, "failure": "crash", "branches": 0, "mutants": 0, "seconds": 1.0},
    ],
    "outcomes": [
        {**KEY, "repetition": 0, "kind": kind, "item": item, "seconds": seconds}
        for kind, item, seconds in [
            ("branch", 0, 0.5),
            ("branch", 1, 1.5),
            ("branch", 2, 3.0),
            ("mutant", 3, 0.5),
            ("test", 0, 0.5),
        ]
    ],
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_recordings(tmp_path / "recordings", TABLES, {"tools": {"python": "3"}})
    return tmp_path / "recordings"


def test_written_recordings_are_read_back(directory: Path) -> None:
    recordings = load_recordings(directory)
    assert recordings.modules.to_pylist() == TABLES["modules"]
    assert recordings.runs.to_pylist() == TABLES["runs"]
    assert recordings.outcomes.num_rows == 5
    assert recordings.manifest["tools"] == {"python": "3"}
    assert verify(directory) == {"packages": 1, "modules": 1, "runs": 2, "outcomes": 5}
    assert sorted(path.suffix for path in directory.iterdir()) == [
        ".json",
        ".parquet",
        ".parquet",
        ".parquet",
    ]


def test_summary_is_the_mean_over_runs_of_shares(directory: Path) -> None:
    (row,) = summary(directory).to_pylist()
    assert row == {
        "strategy": "literals",
        "runs": 2,
        "failures": 1,
        "branches_1s": pytest.approx(0.05),
        "branches_2s": pytest.approx(0.10),
        "branches_4s": pytest.approx(0.15),
        "branches_8s": pytest.approx(0.15),
        "mutants": pytest.approx(0.125),
        "seconds": pytest.approx(2.0),
    }


def test_changed_file_is_named(directory: Path) -> None:
    path = directory / "runs.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"runs\.parquet is not the file the manifest describes"):
        load_recordings(directory)


@pytest.mark.parametrize("name", ["manifest.json", "modules.parquet", "runs.parquet", "outcomes.parquet"])
def test_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(RecordingError, match=name.replace(".", r"\.")):
        load_recordings(directory)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": {"modules.parquet": ""}}', '{"sha256": null}'])
def test_bad_manifest_is_named(directory: Path, text: str) -> None:
    (directory / "manifest.json").write_text(text)
    with pytest.raises(RecordingError, match=r"manifest\.json is missing or no manifest"):
        load_recordings(directory)


def replace(directory: Path, name: str, content: bytes) -> None:
    """Replace a file and its digest, as a careful forger would."""
    import hashlib

    (directory / name).write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))


def test_file_that_is_no_parquet_is_named(directory: Path) -> None:
    replace(directory, "outcomes.parquet", b"nonsense")
    with pytest.raises(RecordingError, match=r"outcomes\.parquet is no Parquet file"):
        load_recordings(directory)


def test_file_with_other_columns_is_named(directory: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"package": ["tiny"]}), tmp_path / "other")
    replace(directory, "modules.parquet", (tmp_path / "other").read_bytes())
    with pytest.raises(RecordingError, match=r"modules\.parquet has other columns"):
        load_recordings(directory)


def test_outcome_of_an_unknown_module_is_refused(tmp_path: Path) -> None:
    stranger = [{**TABLES["outcomes"][0], "module": "tiny.gone"}]
    write_recordings(tmp_path, {**TABLES, "outcomes": stranger}, {})
    with pytest.raises(RecordingError, match=r"outcomes\.parquet mentions modules .* tiny\.gone"):
        load_recordings(tmp_path)
