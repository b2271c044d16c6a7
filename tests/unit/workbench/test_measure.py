"""What tests are worth on the tiny package, against numbers worked out by hand."""

from typing import Any

import pytest

from qe_core.workbench.inside import measure
from qe_core.workbench.inside.measure import in_fork

HEAD = "import tiny.shapes as m\n"
# Numbers of the branches, as the survey sorts them.
FITS, INIT, NAME, AREA, NEGATIVE, POSITIVE, TRIANGLE, POLYGON, FITTING, TOO_BIG = range(10)


def measured(tiny: Any, *tests: dict[str, Any]) -> dict[str, Any]:
    tiny.emit(*tests)
    measure.run(tiny.spec)
    result: dict[str, Any] = tiny.result()
    return result


def test_branches_carry_the_time_of_the_first_test_that_covers_them(surveyed: Any) -> None:
    result = measured(
        surveyed,
        {"source": HEAD + "r = m.name(3)", "seconds": 0.5},
        {"source": HEAD + "r = m.name(3)", "seconds": 0.6},
        {"source": HEAD + "r = m.name(4)", "seconds": 0.7},
    )
    assert result["branches"] == {str(NAME): 0.5, str(TRIANGLE): 0.5, str(POLYGON): 0.7}
    assert result["kept"] == [0.5, 0.7]


def test_expected_exception_is_an_outcome_and_covers(surveyed: Any) -> None:
    result = measured(surveyed, {"source": HEAD + "r = m.area(-1, 1)"})
    assert result["branches"] == {str(AREA): 1.0, str(NEGATIVE): 1.0}


def test_test_whose_outcome_changes_is_dropped(surveyed: Any) -> None:
    source = HEAD + "import time\nm.name(3)\nr = time.perf_counter()"
    assert measured(surveyed, {"source": source})["kept"] == []


def test_test_that_hangs_hides_nothing_from_those_after_it(surveyed: Any) -> None:
    result = measured(
        surveyed,
        {"source": HEAD + "m.name(3)\nwhile True:\n    pass"},
        {"source": HEAD + "r = m.name(3)", "seconds": 2.0},
    )
    assert result["kept"] == [2.0]


def test_test_that_kills_the_process_is_skipped(surveyed: Any) -> None:
    result = measured(
        surveyed,
        {"source": HEAD + "import os\nos._exit(1)"},
        {"source": HEAD + "r = m.name(3)", "seconds": 2.0},
    )
    assert result["kept"] == [2.0]


def test_failing_and_late_tests_are_not_measured(surveyed: Any) -> None:
    result = measured(
        surveyed,
        {"source": HEAD + "r = m.name(3)", "passed": False},
        {"source": HEAD + "r = m.name(4)", "seconds": 8.01},
    )
    assert result == {"kept": [], "branches": {}, "mutants": {}}


def test_mutants_die_by_a_changed_value_and_only_where_a_test_looks(surveyed: Any) -> None:
    """`name(3)` sees every mutant of lines 22 and 23; `name(4)` adds those of line 24."""
    import json
    from pathlib import Path

    mutants = json.loads(Path(surveyed.spec["survey"]).read_text())["mutants"]
    lines = {number: mutant["line"] for number, mutant in enumerate(mutants)}
    result = measured(
        surveyed,
        {"source": HEAD + "r = m.name(3)", "seconds": 0.5},
        {"source": HEAD + "r = m.name(4)", "seconds": 0.7},
    )
    killed = {int(number): seconds for number, seconds in result["mutants"].items()}
    assert {number: 0.5 for number, line in lines.items() if line in {22, 23}} | {
        number: 0.7 for number, line in lines.items() if line == 24
    } == killed


def test_mutant_that_loops_for_ever_is_killed(surveyed: Any, tiny: Any) -> None:
    from qe_core.workbench.inside import survey

    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text("def count(n):\n    while n > 0:\n        n = n - 1\n    return n\n")
    import sys

    sys.modules.pop("tiny.shapes")
    survey.run({**tiny.spec, "result": tiny.spec["survey"]})
    result = measured(surveyed, {"source": HEAD + "r = m.count(2)"})
    assert len(result["mutants"]) >= 4


def test_doctests_are_measured_by_their_own_assertions(surveyed: Any) -> None:
    result = measured(surveyed, {"kind": "doctest", "source": ">>> area(2, 3)\n6\n"})
    assert set(result["branches"]) == {str(AREA), str(POSITIVE)}


def test_shipped_tests_are_measured_one_by_one(surveyed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    file = surveyed.root / "tests" / "test_other.py"
    result = measured(
        surveyed,
        {"kind": "shipped", "source": "test_other.py::test_square[1]", "name": str(file)},
        {"kind": "shipped", "source": "test_other.py::test_wrong", "name": str(file)},
    )
    assert set(result["branches"]) == {str(AREA), str(POSITIVE)}
    assert len(result["kept"]) == 1


@pytest.mark.parametrize("action", [lambda: [1][2], lambda: {1, 2}])
def test_fork_that_fails_or_has_no_json_gives_nothing(action: Any) -> None:
    assert in_fork(action, 1.0) is None


def test_fork_returns_what_was_computed() -> None:
    assert in_fork(lambda: (1, "a"), 1.0) == [1, "a"]
