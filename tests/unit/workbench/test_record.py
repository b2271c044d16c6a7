"""A whole recording, small: real strategies on the tiny package, in the real sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from qe_core.errors import WorkbenchError
from qe_core.workbench import load_recordings, load_subjects, record, sandbox
from qe_core.workbench.workshop import Case

STRATEGIES = ["literals", "doctests", "neighbour-tests"]


def small(tmp_path: Path, **more: Any) -> Path:
    options: dict[str, Any] = {
        "strategies": STRATEGIES,
        "repetitions": 1,
        "workers": 2,
        "seconds": 4.0,
        "work": tmp_path / "work",
        "show_progress": False,
    }
    return record(load_subjects(tmp_path / "subjects.toml"), tmp_path / "out", **{**options, **more})


@pytest.fixture
def declared(tiny: Any, tmp_path: Path) -> Path:
    """Where the tiny package is declared; beneath a directory that only its owner may enter."""
    assert tiny.root.parent == tmp_path
    return tmp_path


def test_recording_holds_what_is_known_by_hand(declared: Path) -> None:
    recordings = load_recordings(small(declared))
    (module,) = recordings.modules.to_pylist()
    assert (module["branches"], module["doctests"], module["neighbour_tests"]) == (10, 2, 2)
    runs = {run["strategy"]: run for run in recordings.runs.to_pylist()}
    assert runs.keys() == set(STRATEGIES)
    # Mined literals reach all ten, doctests both ways out of `area`, neighbours the area of a square.
    assert {name: run["branches"] for name, run in runs.items()} == {
        "literals": 10,
        "doctests": 3,
        "neighbour-tests": 2,
    }
    assert runs["doctests"]["tests_generated"] == runs["doctests"]["tests_kept"] == 2
    assert runs["neighbour-tests"]["tests_generated"] == 3
    assert all(run["failure"] == "" and run["finished"] and 0 < run["seconds"] < 4 for run in runs.values())
    assert runs["literals"]["mutants"] > runs["neighbour-tests"]["mutants"] > 0


def test_outcomes_agree_with_the_runs_and_carry_times_within_them(declared: Path) -> None:
    recordings = load_recordings(small(declared))
    for run in recordings.runs.to_pylist():
        rows = [row for row in recordings.outcomes.to_pylist() if row["strategy"] == run["strategy"]]
        counts = {kind: sum(row["kind"] == kind for row in rows) for kind in ("branch", "mutant", "test")}
        assert counts == {"branch": run["branches"], "mutant": run["mutants"], "test": run["tests_kept"]}
        assert all(0 < row["seconds"] <= run["seconds"] + 0.01 for row in rows)


def test_manifest_says_where_it_comes_from(declared: Path) -> None:
    manifest = json.loads((small(declared, strategies=["doctests"]) / "manifest.json").read_text())
    assert manifest["command"] == "qe workbench record --repetitions 1 --seconds 4 --strategy doctests"
    assert manifest["subjects"] == [{"name": "tiny", "version": "1.0", "licence": "MIT", "sha256": ""}]
    assert manifest["limits"]["cpu_seconds"] == 4.0
    assert set(manifest["isolation"]) >= {"network"}
    assert "sha256" in manifest


def test_interrupted_recording_goes_on_and_a_fresh_one_begins_anew(declared: Path) -> None:
    small(declared, strategies=["doctests"])
    (path,) = (declared / "work").glob("results-*/tiny.shapes/doctests-0.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "tests_generated": 99}))
    resumed = load_recordings(small(declared, strategies=["doctests"]))
    assert resumed.runs["tests_generated"].to_pylist() == [99]
    fresh = load_recordings(small(declared, strategies=["doctests"], resume=False))
    assert fresh.runs["tests_generated"].to_pylist() == [2]


def test_subject_that_cannot_be_imported_is_named(declared: Path) -> None:
    (declared / "tiny-1.0" / "src" / "tiny" / "shapes.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(WorkbenchError, match=r"(?s)tiny\.shapes cannot be surveyed.*nothing_of_that_name"):
        small(declared, strategies=["doctests"])


def test_module_without_a_branch_is_left_out(declared: Path) -> None:
    (declared / "tiny-1.0" / "src" / "tiny" / "shapes.py").write_text("LIMIT = 1\n")
    recordings = load_recordings(small(declared, strategies=["doctests"]))
    assert (recordings.modules.num_rows, recordings.runs.num_rows) == (0, 0)


def test_unknown_strategy_is_an_error_with_a_hint(declared: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"'litterals'.*literals"):
        small(declared, strategies=["litterals"])


def test_seeds_differ_between_repetitions_and_are_the_same_every_time(declared: Path) -> None:
    (subject,) = load_subjects(declared / "subjects.toml")
    seeds = [Case(subject, "tiny.shapes", "mio", repetition).seed for repetition in (0, 1, 0)]
    assert seeds[0] == seeds[2] != seeds[1]


def outcome(exit_code: int, *, expired: bool = False) -> sandbox.Outcome:
    return sandbox.Outcome(exit_code, 1.0, 1, expired, (), "")


@pytest.mark.parametrize(
    ("generated", "has_tests", "failure"),
    [
        (outcome(0), True, ""),
        (outcome(0), False, "no-tests"),
        (outcome(1), True, "tool-error"),
        (outcome(3), True, "memory"),
        (outcome(-9), True, ""),
        (outcome(-9), False, "timeout"),
        (outcome(-9, expired=True), True, "timeout"),
        (outcome(-11), True, "crash"),
    ],
)
def test_failure_is_named(generated: sandbox.Outcome, has_tests: bool, failure: str) -> None:
    from qe_core.workbench.workshop import failure_of

    assert failure_of(generated, has_tests) == failure
