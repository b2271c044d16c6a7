"""Strategy `literals`: every callable with values mined from the module's own text.

Belongs here: mining constants, default values and the arguments of documented examples, and varying them.
Does not belong here: the calling.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ..emission import Emitter
from .callables import Caller, Parameter, Target, Value, ValueSource
from .edge_values import edge_values

CALLS = 1000
"""Rounds over the targets."""

_PROMPT = re.compile(r"^\s*(?:>>>|\.\.\.) ?(.*)$", re.MULTILINE)
_QUOTED = re.compile(r"[`'\"]([^`'\"\n]{1,40})[`'\"]")


def _examples(text: str) -> Iterator[ast.AST]:
    """The parsed example lines of a docstring; lines that are only part of a statement are left out."""
    for match in _PROMPT.finditer(text):
        with contextlib.suppress(SyntaxError, ValueError):
            yield ast.parse(match.group(1))


def _is_plain(node: ast.AST) -> bool:
    """Whether the expression needs no name: it means the same anywhere."""
    allowed = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub, ast.Load)
    return all(isinstance(child, allowed) for child in ast.walk(node))


class Mine:
    """The values found in one module: a general pool, and by name those seen as arguments of a callable."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self.pool: dict[str, Value] = {}
        self.arguments: dict[str, list[list[Value]]] = defaultdict(list)
        texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) in texts:
                self._read_text(node.value)
            elif isinstance(node, ast.Constant):
                self._add(node)
            elif isinstance(node, ast.Call):
                self._read_call(node)
        self._vary()

    def _read_text(self, text: str) -> None:
        for example in _examples(text):
            for node in ast.walk(example):
                if isinstance(node, ast.Call):
                    self._read_call(node)
                elif isinstance(node, ast.expr) and _is_plain(node):
                    self._add(node)
        for word in _QUOTED.findall(text)[:30]:
            self._add(ast.Constant(word))

    def _read_call(self, call: ast.Call) -> None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        plain = [argument for argument in call.args if _is_plain(argument)]
        if name and plain and len(plain) == len(call.args):
            self.arguments[name].append([self._value(argument) for argument in plain])

    @staticmethod
    def _value(node: ast.expr) -> Value:
        try:
            type_name = type(ast.literal_eval(node)).__name__
        except (ValueError, TypeError, SyntaxError, MemoryError):
            type_name = "object"
        return Value(ast.unparse(node), type_name)

    def _add(self, node: ast.expr) -> None:
        with contextlib.suppress(RecursionError):
            value = self._value(node)
            if len(value.expression) <= 300 and len(self.pool) < 1500:
                self.pool.setdefault(value.expression, value)

    def _vary(self) -> None:
        """Add what is next to the values found: other numbers, lists and pairs of strings, joined strings."""
        strings = [value.expression for value in self.pool.values() if value.type_name == "str"][:60]
        numbers = [value.expression for value in self.pool.values() if value.type_name in {"int", "float"}][
            :30
        ]
        for number in numbers:
            for text in (f"{number} + 1", f"-({number})", f"[{number}]", f"str({number})"):
                kind = {"[": "list", "s": "str"}.get(text[0], "int")
                self.pool.setdefault(text, Value(text, kind))
        for first, second in zip(strings, strings[1:] + strings[:1], strict=True):
            self.pool.setdefault(f"{first} + {second}", Value(f"{first} + {second}", "str"))
            self.pool.setdefault(f"[{first}, {second}]", Value(f"[{first}, {second}]", "list"))
            self.pool.setdefault(f"{{{first}: {second}}}", Value(f"{{{first}: {second}}}", "dict"))


def value_source(module: ModuleType, seed: int) -> ValueSource:
    """The mined values of a module: documented arguments first, then the pool that suits the annotation."""
    mine = Mine(inspect.getsource(module))
    shuffler = random.Random(seed)  # noqa: S311 (not for cryptography)
    edges = edge_values()
    general = list(mine.pool.values())
    shuffler.shuffle(general)
    general += [edge for edge in edges if edge.type_name in {"callable", "NoneType", "bool", "list", "dict"}]
    pools: dict[tuple[str, str, str], list[Value]] = {}

    def values(target: Target, parameter: Parameter) -> list[Value]:
        key = (target.owner, target.path, parameter.name)
        if key not in pools:
            pools[key] = _pool(mine, general, target, parameter)
        return pools[key]

    return values


def _pool(mine: Mine, general: list[Value], target: Target, parameter: Parameter) -> list[Value]:
    name = target.path.removesuffix("()").rpartition(".")[2]
    position = target.parameters.index(parameter)
    documented = [row[position] for row in mine.arguments.get(name, []) if position < len(row)]
    allowed = {value.type_name for value in edge_values(parameter.annotation)} | {"object"}
    fitting = [value for value in general if not parameter.annotation or value.type_name in allowed]
    weight = 1 + len(fitting) // (3 * max(1, len(documented)))
    return list(dict.fromkeys(documented)) + fitting + documented * weight or general or edge_values()


def run(spec: dict[str, Any]) -> None:
    """Generate until the agreed number of calls was made."""
    with Emitter(spec["tests"]) as emitter:
        Caller(spec, lambda module: value_source(module, spec["seed"]), CALLS, emitter).run()
