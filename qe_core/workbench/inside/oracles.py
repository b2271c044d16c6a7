"""Running one test of any kind and saying what came out, in a form that can be compared.

Belongs here: the four kinds of tests and the snapshot of values. Does not belong here: coverage, forking and
deciding which tests to keep.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import itertools
from typing import Any

from .guard import CallTimeoutError

_LENGTH, _ITEMS = 2000, 30
_SIMPLE = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))


class NoOutcomeError(Exception):
    """The test does not lend itself to comparison: it ran out of time or memory."""


def snapshot(value: object, depth: int = 3) -> str:
    """A text equal for equal values of simple types and containers of them; of other objects the attributes.

    Never calls code of the object, so that looking at a value covers nothing.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return repr(value)[:_LENGTH]
    if depth == 0:
        return kind.__qualname__
    look = functools.partial(snapshot, depth=depth - 1)
    if kind in {list, tuple}:
        inside = ", ".join(map(look, itertools.islice(value, _ITEMS)))  # type: ignore[call-overload]
        return f"{kind.__name__}[{inside}]"
    if kind in {set, frozenset}:
        return f"{kind.__name__}{{{', '.join(sorted(map(look, value)))}}}"  # type: ignore[call-overload]
    if kind is dict:
        pairs = itertools.islice(value.items(), _ITEMS)  # type: ignore[attr-defined]
        return "{" + ", ".join(f"{look(key)}: {look(item)}" for key, item in pairs) + "}"
    attributes = (
        getattr(value, "__dict__", None) if not isinstance(value, type) and not callable(value) else None
    )
    if isinstance(attributes, dict):
        shown = {name: item for name, item in attributes.items() if isinstance(name, str)}
        return f"{kind.__qualname__}({look(shown)})"
    return kind.__qualname__


def _run_snapshot(source: str) -> str:
    code = compile(source, "<test>", "exec")
    namespace: dict[str, Any] = {"__name__": "generated_test", "__builtins__": builtins}
    names = {name for name in code.co_names if name not in {"m", "globals", "vars"}}
    error = ""
    try:
        exec(code, namespace)  # noqa: S102
    except (CallTimeoutError, MemoryError, RecursionError) as raised:
        raise NoOutcomeError(type(raised).__name__) from None
    except BaseException as raised:
        error = f" raises {type(raised).__module__}.{type(raised).__qualname__}"
    stored = _stored_names(source)
    values = {name: namespace[name] for name in sorted(names & stored) if name in namespace}
    return "; ".join(f"{name} = {snapshot(value)}" for name, value in values.items()) + error


@functools.lru_cache(maxsize=4096)
def _stored_names(source: str) -> frozenset[str]:
    nodes = ast.walk(ast.parse(source))
    return frozenset(
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _run_doctest(text: str, module: str) -> str:
    import doctest  # here and not above: callers import this module on the clock, and this one is large

    from .strategies.doctests import OPTIONS

    parsed = doctest.DocTestParser().get_doctest(
        text, dict(vars(importlib.import_module(module))), "generated", None, 0
    )
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    failed, _ = runner.run(parsed, out=lambda _text: None)
    return "failed" if failed else "passed"


def _run_property(test: dict[str, Any]) -> str:
    from .strategies.ghostwriter import bind

    try:
        bind(test["source"], test["name"], test["seed"])()
    except CallTimeoutError:
        raise NoOutcomeError("CallTimeoutError") from None
    except BaseException:
        return "failed"
    return "passed"


def run_item(item: Any) -> bool:
    """Whether a collected pytest item passes, its set-up and tear-down included."""
    from _pytest.runner import runtestprotocol

    reports = runtestprotocol(item, log=False, nextitem=None)
    return all(report.passed for report in reports)


def run_test(test: dict[str, Any], module: str, items: dict[str, Any]) -> str:
    """Run a test and return its outcome.

    Raises:
        NoOutcomeError: If the test has nothing to compare.
    """
    match test["kind"]:
        case "snapshot":
            return _run_snapshot(test["source"])
        case "doctest":
            return _run_doctest(test["source"], module)
        case "property":
            return _run_property(test)
        case "shipped":
            return "passed" if run_item(items[test["source"]]) else "failed"
        case other:
            raise NoOutcomeError(f"unknown kind of test: {other}")
