"""What a test's outcome is, for every kind of test."""

from typing import Any

import pytest

from qe_core.workbench.inside.oracles import NoOutcomeError, run_test, snapshot


class Point:
    """An object of no simple type."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __repr__(self) -> str:
        raise AssertionError("looking at a value must not run its code")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("a", "'a'"),
        (None, "None"),
        ([1, (2, "b")], "list[1, tuple[2, 'b']]"),
        ({"k": {3}}, "{'k': set{3}}"),
        (Point(4), "Point({'x': 4})"),
        (object(), "object"),
        (len, "builtin_function_or_method"),
        (Point, "type"),
        ([[[[1]]]], "list[list[list[list]]]"),
    ],
)
def test_snapshot_shows_values_not_addresses(value: object, text: str) -> None:
    assert snapshot(value) == text


def test_snapshot_of_a_value_that_contains_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert snapshot(value) == "list[list[list[list]]]"


def snippet(source: str, kind: str = "snapshot", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "source": source, "name": "", "seed": 0, **more}


def test_snapshot_test_yields_assigned_values_and_the_exception() -> None:
    source = "import math as m\na = [1]\nb = a[0] + 1\nr = {}['x']"
    assert run_test(snippet(source), "math", {}) == "a = list[1]; b = 2 raises builtins.KeyError"


def test_leaving_the_interpreter_is_an_outcome() -> None:
    assert run_test(snippet("raise SystemExit(3)"), "math", {}).strip() == "raises builtins.SystemExit"


def test_running_out_of_memory_is_no_outcome() -> None:
    with pytest.raises(NoOutcomeError, match="MemoryError"):
        run_test(snippet("raise MemoryError"), "math", {})


def test_unknown_kind_is_no_outcome() -> None:
    with pytest.raises(NoOutcomeError, match="unknown kind"):
        run_test(snippet("", kind="prayer"), "math", {})


def test_doctest_passes_or_fails_by_its_output(tiny: Any) -> None:
    right, wrong = ">>> area(2, 3)\n6\n", ">>> area(2, 3)\n7\n"
    assert run_test(snippet(right, "doctest"), "tiny.shapes", {}) == "passed"
    assert run_test(snippet(wrong, "doctest"), "tiny.shapes", {}) == "failed"


PROPERTY = """
from hypothesis import given, strategies as st

@given(st.integers())
def test_it(n):
    assert n {relation} n
"""


@pytest.mark.parametrize(("relation", "outcome"), [("==", "passed"), ("<", "failed")])
def test_property_passes_or_fails_by_its_examples(relation: str, outcome: str) -> None:
    test = snippet(PROPERTY.format(relation=relation), "property", name="test_it")
    assert run_test(test, "math", {}) == outcome
