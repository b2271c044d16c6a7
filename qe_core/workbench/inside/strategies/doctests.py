"""Strategy `doctests`: the examples in the module's docstrings, each with the output it promises.

Belongs here: finding and running the examples once. Does not belong here: checking them against mutants.
"""

from __future__ import annotations

import doctest
import importlib
import random
from typing import Any

from ..emission import Emitter

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
"""How an example's output is compared."""


class _Harvester(doctest.DocTestRunner):
    """Emits each passing example together with those before it in its docstring, which it may build on."""

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(verbose=False, optionflags=OPTIONS)
        self._emitter = emitter

    def _emit(self, test: doctest.DocTest, example: doctest.Example, *, passed: bool) -> None:
        text = "".join(_as_text(item) for item in test.examples[: test.examples.index(example) + 1])
        self._emitter.emit("doctest", text, name=test.name, passed=passed)

    def report_success(self, _out: Any, test: doctest.DocTest, example: doctest.Example, _got: str) -> None:
        """Emit the example as a test."""
        self._emit(test, example, passed=True)

    def report_failure(self, _out: Any, test: doctest.DocTest, example: doctest.Example, _got: str) -> None:
        """Count the example as one that does not hold."""
        self._emit(test, example, passed=False)

    def report_unexpected_exception(
        self, _out: Any, test: doctest.DocTest, example: doctest.Example, _error: Any
    ) -> None:
        """Count the example as one that does not hold."""
        self._emit(test, example, passed=False)


def _as_text(example: doctest.Example) -> str:
    first, *rest = example.source.splitlines()
    lines = [f">>> {first}", *(f"... {line}" for line in rest)]
    if example.exc_msg is not None:
        lines += ["Traceback (most recent call last):", "    ...", *example.exc_msg.splitlines()]
    elif example.want:
        lines += [line if line else "<BLANKLINE>" for line in example.want.splitlines()]
    return "\n".join(lines) + "\n\n"


def run(spec: dict[str, Any]) -> None:
    """Run every docstring of the module once, in an order drawn from the seed."""
    module = importlib.import_module(spec["module"])
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    random.Random(spec["seed"]).shuffle(tests)  # noqa: S311 (not for cryptography)
    with Emitter(spec["tests"]) as emitter:
        runner = _Harvester(emitter)
        for test in tests:
            runner.run(test, out=lambda _text: None)
