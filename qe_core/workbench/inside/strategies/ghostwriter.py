"""Strategy `ghostwriter`: property-based tests as hypothesis's ghostwriter writes them, really run.

Belongs here: having tests written, running each under hypothesis, counting those that fail. Does not belong
here: repairing them; a ghostwritten test that fails on the code as it is is of no use and is counted as a
failure.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import random
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from ..emission import Emitter
from ..guard import cpu_guard

TEST_SECONDS = 4.0
"""CPU seconds after which one ghostwritten test is given up."""

EXAMPLES = 25
"""Examples of each test; a hundred, the default, add next to no branches here."""

TOLERATED = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""Exceptions that count as a refusal of the input, as `hypothesis write --except` would be told."""


def warm_up() -> None:
    """Have hypothesis read its tables now, so that processes forked from this one need not each do it."""

    @settings(max_examples=5, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text(), st.integers(), st.floats())
    def nothing(_text: str, _whole: int, _real: float) -> None:
        pass

    nothing()


def bind(source: str, name: str, seed_value: int) -> Callable[[], None]:
    """The named test of a ghostwritten file, made repeatable: fixed seed, no database, no deadline.

    Failures are not shrunk: all that is asked is whether the test passes.
    """
    namespace: dict[str, Any] = {"__name__": "ghostwritten"}
    exec(compile(source, "<ghostwritten>", "exec"), namespace)  # noqa: S102
    configure = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    test: Callable[[], None] = seed(seed_value)(configure(namespace[name]))
    return test


def _written(module: ModuleType) -> Iterator[str]:
    """Ghostwritten files: one for the module's relations between functions, then one for each function."""
    from hypothesis.extra import ghostwriter  # only here: it needs black, running the tests does not

    functions = [
        thing
        for name, thing in vars(module).items()
        if callable(thing)
        and not name.startswith("_")
        and getattr(thing, "__module__", "") == module.__name__
    ]
    writings: list[tuple[Callable[..., str], Any]] = [
        (ghostwriter.magic, module),
        *((ghostwriter.fuzz, thing) for thing in functions),
    ]
    for writer, thing in writings:
        try:
            yield writer(thing, except_=TOLERATED)
        except Exception:  # noqa: S112 (refuses many signatures; nothing written is nothing to run)
            continue


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Each test of a ghostwritten file as a file of its own, with its name."""
    tree = ast.parse(text)
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    header = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign))]
    for test in tests:
        yield ast.unparse(ast.Module([*header, test], [])), test.name


def run(spec: dict[str, Any]) -> None:
    """Write the tests, run each once, emit those that pass."""
    warnings.simplefilter("ignore")
    module = importlib.import_module(spec["module"])
    tests = list(dict.fromkeys(part for text in _written(module) for part in _split(text)))
    random.Random(spec["seed"]).shuffle(tests)  # noqa: S311 (not for cryptography)
    with Emitter(spec["tests"]) as emitter:
        for source, name in tests:
            passed = False
            with contextlib.suppress(BaseException), cpu_guard(TEST_SECONDS):
                bind(source, name, spec["seed"])()
                passed = True
            emitter.emit("property", source, name=name, seed=spec["seed"], passed=passed)
