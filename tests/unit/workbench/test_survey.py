"""What the survey says of a module whose numbers are known by hand."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from qe_core.workbench.inside import survey
from qe_core.workbench.inside.survey import complexity


def test_universe_is_function_entries_and_conditional_arcs(surveyed: Any) -> None:
    found = json.loads(Path(surveyed.spec["survey"]).read_text())
    assert [tuple(branch) for branch in found["branches"]] == [
        (-31, 31),
        (-28, 28),
        (-21, 21),
        (-6, 6),
        (16, 17),
        (16, 18),
        (22, 23),
        (22, 24),
        (32, 33),
        (32, 34),
    ]


def test_facts_are_those_counted_by_hand(surveyed: Any) -> None:
    found = json.loads(Path(surveyed.spec["survey"]).read_text())
    assert found["facts"] == {
        "statements": 16,
        "functions": 2,
        "classes": 1,
        "methods": 2,
        "annotated_share": 1.0,
        "complexity": (3 + 2 + 1 + 2) / 4,
        "max_complexity": 3,
        "literal_count": 12,
        "doctests": 2,
        "neighbour_tests": 2,
    }


def test_what_importing_covers_is_no_branch_to_win(tiny: Any) -> None:
    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text(file.read_text() + "\n\nTRIANGLE = name(3)\n")
    survey.run(tiny.spec)
    branches = {tuple(branch) for branch in tiny.result()["branches"]}
    assert (22, 24) in branches
    assert not {(-21, 21), (22, 23)} & branches


def test_sampled_mutants_are_the_same_every_time_and_no_more_than_asked_for(tiny: Any) -> None:
    survey.run({**tiny.spec, "mutants": 4})
    first = tiny.result()["mutants"]
    survey.run({**tiny.spec, "mutants": 4})
    assert tiny.result()["mutants"] == first
    assert len(first) == 4


def test_unknown_module_is_named(tiny: Any) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"tiny\.missing"):
        survey.run({**tiny.spec, "module": "tiny.missing"})


def test_complexity_counts_decisions_and_junctions() -> None:
    source = (
        "def f(a, b):\n    for x in a:\n        if x and b or a:\n            return [y for y in b if y]\n"
    )
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert complexity(function) == 1 + 1 + 1 + 2 + 1  # for, if, and + or, comprehension
