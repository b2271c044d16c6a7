"""Strategy `edge-values`: every callable with the values at which code tends to break.

Belongs here: the values and which of them suit an annotation. Does not belong here: the calling.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

from ..emission import Emitter
from .callables import Caller, Parameter, Target, Value, ValueSource

CALLS = 300
"""Rounds over the targets."""

EDGES: dict[str, tuple[str, ...]] = {
    "int": ("0", "-1", "1", "2", "255", "2**63", "-2**31 - 1"),
    "float": ("0.0", "-0.5", "1e308", "float('nan')", "float('inf')"),
    "str": ("''", "' '", "'a'", "'0'", "'-1'", "'A b,c\\n'", "'\\x00'", "'\\xe9\\u4e2d'", "'x' * 1000"),
    "bytes": ("b''", "b'a'", "b'\\xff'"),
    "bool": ("True", "False"),
    "NoneType": ("None",),
    "list": ("[]", "[0]", "[None]", "['', 'a']", "[[1, 2], [3]]", "list(range(100))"),
    "tuple": ("()", "(1, 2)"),
    "dict": ("{}", "{'a': 1}", "{None: None}", "{'a': {'b': [1]}}"),
    "set": ("set()", "{1, 2}"),
    "callable": ("len", "str", "lambda *a, **k: None", "lambda x: x"),
    "object": ("object()", "iter([])", "iter([1, 2, 3])", "Ellipsis"),
}
"""The values by type, as expressions."""

_WORDS = {
    "int": "int",
    "float": "float",
    "str": "str",
    "bytes": "bytes",
    "bool": "bool",
    "None": "NoneType",
    "Optional": "NoneType",
    "list": "list",
    "List": "list",
    "Sequence": "list",
    "Iterable": "list",
    "tuple": "tuple",
    "Tuple": "tuple",
    "dict": "dict",
    "Dict": "dict",
    "Mapping": "dict",
    "set": "set",
    "Set": "set",
    "Callable": "callable",
}
"""Which type a word of an annotation stands for."""


def edge_values(annotation: str = "") -> list[Value]:
    """The edge values an annotation allows; all of them without one, or when it names no type known here."""
    words = "".join(character if character.isalnum() else " " for character in annotation).split()
    wanted = {_WORDS[word] for word in words if word in _WORDS} or set(EDGES)
    return [Value(text, name) for name, texts in EDGES.items() if name in wanted for text in texts]


def run(spec: dict[str, Any]) -> None:
    """Generate until all values were tried."""
    shuffler = random.Random(spec["seed"])  # noqa: S311 (not for cryptography)
    pools: dict[tuple[str, str], list[Value]] = {}

    def source(_module: ModuleType) -> ValueSource:
        def values(target: Target, parameter: Parameter) -> list[Value]:
            key = (target.path, parameter.name)
            if key not in pools:
                pools[key] = edge_values(parameter.annotation)
                shuffler.shuffle(pools[key])
            return pools[key]

        return values

    with Emitter(spec["tests"]) as emitter:
        Caller(spec, source, CALLS, emitter).run()
