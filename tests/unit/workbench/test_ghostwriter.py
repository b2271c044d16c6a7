"""Ghostwritten tests are split, run as they were written, and counted honestly."""

import importlib
import sys
import types
from typing import Any

import pytest

from qe_core.workbench.inside.strategies import ghostwriter

WRITTEN = """
import tiny.shapes
from hypothesis import given, strategies as st

@given(corners=st.integers())
def test_fuzz_name(corners: int) -> None:
    tiny.shapes.name(corners=corners)

@given(width=st.integers(), height=st.integers())
def test_fuzz_area(width: int, height: int) -> None:
    tiny.shapes.area(width=width, height=height)

@given(size=st.nothing())
def test_fuzz_Box(size) -> None:
    tiny.shapes.Box(size=size)
"""


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A ghostwriter that writes the file above and refuses to write about classes; what it was asked."""
    asked: list[object] = []

    def magic(thing: object, **_: object) -> str:
        asked.append(thing)
        return WRITTEN

    def fuzz(thing: object, **_: object) -> str:
        asked.append(thing)
        if isinstance(thing, type):
            raise TypeError("no classes")
        return WRITTEN

    module = types.ModuleType("hypothesis.extra.ghostwriter")
    module.magic, module.fuzz = magic, fuzz  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hypothesis.extra.ghostwriter", module)
    monkeypatch.setattr("hypothesis.extra.ghostwriter", module, raising=False)
    return asked


def test_each_written_test_is_run_once_and_failures_are_counted(tiny: Any, scribe: list[object]) -> None:
    ghostwriter.run(tiny.spec)
    passed = {test["name"]: test["passed"] for test in tiny.emitted()}
    assert passed == {"test_fuzz_name": True, "test_fuzz_area": False, "test_fuzz_Box": False}
    assert len(tiny.emitted()) == 3


def test_emitted_test_stands_alone_and_runs_again(tiny: Any, scribe: list[object]) -> None:
    ghostwriter.run(tiny.spec)
    (test,) = [test for test in tiny.emitted() if test["passed"]]
    assert test["source"].count("def test_") == 1
    ghostwriter.bind(test["source"], test["name"], test["seed"])()


def test_whole_module_and_every_callable_of_its_own_are_written_about(
    tiny: Any, scribe: list[object]
) -> None:
    ghostwriter.run(tiny.spec)
    module = importlib.import_module("tiny.shapes")
    assert scribe == [module, module.area, module.name, module.Box]


def test_same_seed_draws_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import sys
from hypothesis import given, strategies as st

@given(st.integers())
def test_it(n):
    sys.drawn.append(n)
"""
    runs: list[list[int]] = []
    for seed in (1, 1, 2):
        drawn: list[int] = []
        monkeypatch.setattr(sys, "drawn", drawn, raising=False)
        ghostwriter.bind(source, "test_it", seed)()
        runs.append(drawn)
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == ghostwriter.EXAMPLES


def test_warming_up_changes_nothing() -> None:
    ghostwriter.warm_up()
