"""Each operator makes the mistake it is named after, and mutants really run."""

import ast
import importlib
import weakref
from typing import Any

import pytest

from qe_core.workbench.inside.mutation import Patcher, mutants, mutate


def mutated(line: str) -> list[str]:
    """The mutants of one line inside a function, as text."""
    source = f"def f(a, b):\n    {line}\n"
    return [ast.unparse(mutate(source, mutant.number)).splitlines()[1].strip() for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a < b", ["a <= b"]),
        ("a is not b", ["a is b"]),
        ("a + b", ["a - b"]),
        ("a and b", ["a or b"]),
        ("a or b", ["a and b"]),
        ("return a", ["return None"]),
        ("return None", []),
        ("f(1)", ["f(2)"]),
        ("f(True)", ["f(False)"]),
        ("f('x')", ["f('')"]),
        ("f('')", []),
        ("a if b else f", ["a if not b else f"]),
        ("if a: b", ["if not a:"]),
        ("while a: b", ["while not a:"]),
        ("while True: b", ["while False:"]),
        ("f'{a}x'", []),
        ("'a docstring'", []),
        ("a: 'str' = b", []),
    ],
)
def test_operator_makes_one_mistake(line: str, expected: list[str]) -> None:
    assert mutated(line) == expected


def test_defaults_decorators_and_module_level_are_left_alone() -> None:
    assert mutants("X = 1 + 2\n\n@decorate(1)\ndef f(a=1):\n    pass\n") == []


def test_mutant_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IndexError, match="no mutant 3"):
        mutate("def f():\n    return 1\n", 3)


def test_exchanged_code_changes_what_a_function_does(tiny: Any) -> None:
    module = importlib.import_module("tiny.shapes")
    source = (tiny.root / "src" / "tiny" / "shapes.py").read_text()
    patcher = Patcher(str(module.__file__), source)
    (number,) = [mutant.number for mutant in mutants(source) if mutant.operator == "arithmetic"]
    original = module.area.__code__
    changed = patcher.changed(number)
    assert list(changed) == [("area", 6)]
    assert module.area(7, 2) == 14
    patcher.exchange(changed)
    try:
        assert module.area(7, 2) == 3
    finally:
        module.area.__code__ = original


def test_proxies_of_what_is_gone_are_no_functions(tiny: Any) -> None:
    class Gone:
        """Somebody else's object, as libraries keep them."""

    proxy = weakref.proxy(Gone())
    assert type(proxy) is weakref.ProxyType

    module = importlib.import_module("tiny.shapes")
    source = (tiny.root / "src" / "tiny" / "shapes.py").read_text()

    assert Patcher(str(module.__file__), source).changed(1) is not None


def test_code_nobody_holds_has_no_mutant(tiny: Any) -> None:
    module = importlib.import_module("tiny.shapes")
    source = "def gone():\n    return 1\n"
    patcher = Patcher(str(module.__file__), source)
    assert [patcher.changed(mutant.number) for mutant in mutants(source)] == [{}, {}]
