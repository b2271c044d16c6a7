"""The branches of a module that tests can be credited for.

Belongs here: what counts as a branch, and reading coverage.py's measurements as branches. Does not belong
here: what is run under measurement.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import coverage
from coverage.parser import PythonParser

T = TypeVar("T")

Arc = tuple[int, int]
"""A jump from one line to another; a negative line is the entry (first) or exit (second) of code there."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def first_line(node: FunctionNode) -> int:
    """The line at which the interpreter sees a function begin: its first decorator, if it has any."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


@dataclass(frozen=True)
class Universe:
    """Conditional arcs and function entries of one file.

    An entry is written (-line, line), line being the function's first; a conditional arc leaves a line that
    has more than one exit. Both follow coverage.py's static analysis of the source.
    """

    parser: PythonParser
    conditional: frozenset[Arc]
    entries: frozenset[Arc]

    @classmethod
    def of(cls, file: str) -> Universe:
        """The universe of a Python file."""
        source = Path(file).read_text(encoding="utf-8")
        parser = PythonParser(text=source, filename=file)
        parser.parse_source()
        exits = parser.exit_counts()
        conditional = frozenset(arc for arc in parser.arcs() if arc[0] > 0 and exits.get(arc[0], 0) > 1)
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FunctionNode)]
        lines = [first_line(node) for node in functions]
        return cls(parser, conditional, frozenset((-line, line) for line in lines))

    def credited(self, arcs: set[Arc]) -> set[Arc]:
        """The branches among measured arcs."""
        entered = {(arc[0], -arc[0]) for arc in arcs if arc[0] < 0}
        return set(self.conditional & set(self.parser.translate_arcs(arcs)) | self.entries & entered)


class Meter:
    """Measures which arcs of one file code runs through, with coverage.py's compiled tracer."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._coverage = coverage.Coverage(
            branch=True, include=[file], data_file=None, config_file=False, messages=False
        )
        self._coverage.set_option("run:disable_warnings", ["no-data-collected", "module-not-measured"])

    def measure(self, action: Callable[[], T]) -> T:
        """Run an action and return its result; what it ran through is added to `arcs`."""
        self._coverage.start()
        try:
            return action()
        finally:
            self._coverage.stop()

    def arcs(self) -> set[Arc]:
        """All arcs run through under this meter so far."""
        return set(self._coverage.get_data().arcs(self._file) or [])
