"""What is known of a module before any test is generated: its size and shape, its branches, its mutants.

Belongs here: counting, the branch universe less what importing covers, and the sample of mutants. Does not
belong here: running tests.
"""

from __future__ import annotations

import ast
import doctest
import hashlib
import importlib
import inspect
import json
import random
from pathlib import Path
from typing import Any

from .mutation import Mutant, Patcher, mutants
from .strategies.neighbour_tests import count_tests, neighbour_files
from .universe import FunctionNode, Meter, Universe

_DECISIONS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.IfExp,
    ast.ExceptHandler,
    ast.comprehension,
    ast.Assert,
)


def complexity(function: FunctionNode) -> int:
    """McCabe's number of a function: one more than its decisions; every `and` and `or` decides too."""
    nodes = list(ast.walk(function))
    decisions = sum(isinstance(node, _DECISIONS) for node in nodes)
    return 1 + decisions + sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))


def _shape(tree: ast.Module) -> dict[str, float]:
    functions = [node for node in ast.walk(tree) if isinstance(node, FunctionNode)]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    methods = [node for cls in classes for node in cls.body if isinstance(node, FunctionNode)]
    annotated = [node for node in functions if node.returns is not None]
    numbers = [complexity(node) for node in functions]
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {
        "functions": len(functions) - len(methods),
        "classes": len(classes),
        "methods": len(methods),
        "annotated_share": len(annotated) / len(functions) if functions else 0.0,
        "complexity": sum(numbers) / len(numbers) if numbers else 1.0,
        "max_complexity": max(numbers, default=1),
        "literal_count": len(constants),
    }


def _sample(module: str, file: str, source: str, count: int) -> list[Mutant]:
    """The module's mutants that change running code, thinned to `count` with a seed drawn from its name."""
    seed = int.from_bytes(hashlib.sha256(module.encode()).digest()[:8], "big")
    patcher = Patcher(file, source)
    candidates = mutants(source)
    random.Random(seed).shuffle(candidates)  # noqa: S311 (not for cryptography)
    chosen: list[Mutant] = []
    for mutant in candidates:
        if len(chosen) == count:
            break
        if patcher.changed(mutant.number):
            chosen.append(mutant)
    return sorted(chosen, key=lambda mutant: mutant.number)


def run(spec: dict[str, Any]) -> None:
    """Survey one module and write what was found as JSON."""
    name = spec["module"]
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(name)
    file = found.origin
    meter = Meter(file)
    meter.measure(lambda: importlib.import_module(name))
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    universe = Universe.of(file)
    everything = universe.conditional | universe.entries
    branches = sorted(everything - universe.credited(meter.arcs()))
    examples = sum(len(test.examples) for test in doctest.DocTestFinder().find(module))
    files = neighbour_files(spec["shipped_tests"], name) if spec["shipped_tests"] else []
    survey = {
        "facts": {
            "statements": len(universe.parser.statements),
            **_shape(ast.parse(source)),
            "doctests": examples,
            "neighbour_tests": count_tests(files),
        },
        "branches": branches,
        "mutants": [vars(mutant) for mutant in _sample(name, file, source, spec["mutants"])],
    }
    Path(spec["result"]).write_text(json.dumps(survey), encoding="utf-8")
