"""Calling everything a module offers with chosen arguments, round after round.

Belongs here: what can be called (functions, constructors, methods), the text of a call, and learning from its
outcome which arguments a parameter accepts. Does not belong here: where argument values come from; the
strategies `literals` and `edge_values` give them as expressions.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..emission import Emitter
from ..guard import CallTimeoutError, cpu_guard
from ..oracles import snapshot

CALL_SECONDS = 0.25
"""CPU seconds after which a single call is given up."""

_DISTINCT_RESULTS = 80
"""Tests emitted of one target at most because of a new result."""


@dataclass(frozen=True)
class Value:
    """An argument: its Python expression and the name of its type, by which acceptance is remembered."""

    expression: str
    type_name: str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a target; annotation as text, empty when there is none."""

    name: str
    annotation: str
    is_required: bool
    is_keyword: bool
    is_variadic: bool


@dataclass(frozen=True)
class Target:
    """A function, constructor or method: how to write it, its parameters, the class it needs."""

    path: str
    parameters: tuple[Parameter, ...]
    owner: str = ""
    is_constructor: bool = False


ValueSource = Callable[[Target, Parameter], list[Value]]
"""The candidate arguments of a parameter."""


def _parameters(function: Any, *, skip_first: bool) -> tuple[Parameter, ...] | None:
    try:
        declared = list(inspect.signature(function).parameters.values())[1 if skip_first else 0 :]
    except (ValueError, TypeError):
        return None
    found = []
    for item in declared:
        if item.kind is item.VAR_KEYWORD:
            continue
        annotation = "" if item.annotation is item.empty else inspect.formatannotation(item.annotation)
        required = item.default is item.empty and item.kind is not item.VAR_POSITIONAL
        keyword = item.kind is item.KEYWORD_ONLY
        found.append(Parameter(item.name, annotation, required, keyword, item.kind is item.VAR_POSITIONAL))
    return tuple(found)


def discover(module: ModuleType) -> list[Target]:
    """Everything callable that the module itself defines, in the order of its source."""
    targets: list[Target] = []
    for name, thing in list(vars(module).items()):
        if getattr(thing, "__module__", None) != module.__name__ or name.startswith("__"):
            continue
        if inspect.isclass(thing):
            targets += _class_targets(name, thing)
        elif callable(thing) and (parameters := _parameters(thing, skip_first=False)) is not None:
            targets.append(Target(f"m.{name}", parameters))
    return targets


def _class_targets(name: str, cls: type) -> Iterator[Target]:
    parameters = _parameters(cls, skip_first=False)
    if parameters is None:
        return
    yield Target(f"m.{name}", parameters, owner=f"m.{name}", is_constructor=True)
    for attribute, member in list(vars(cls).items()):
        if attribute in {
            "__init__",
            "__new__",
            "__del__",
            "__init_subclass__",
            "__class_getitem__",
            "__slots__",
        }:
            continue
        if isinstance(member, property):
            yield Target(f".{attribute}", (), owner=f"m.{name}")
        elif isinstance(member, (staticmethod, classmethod)):
            found = _parameters(member.__func__, skip_first=isinstance(member, classmethod))
            if found is not None:
                yield Target(f"m.{name}.{attribute}", found)
        elif inspect.isfunction(member) and (found := _parameters(member, skip_first=True)) is not None:
            yield Target(f".{attribute}()", found, owner=f"m.{name}")


class Caller:
    """Calls the targets of one module, each once a round, and emits a test for every new outcome."""

    def __init__(
        self,
        spec: dict[str, Any],
        values: Callable[[ModuleType], ValueSource],
        calls: int,
        emitter: Emitter,
    ) -> None:
        self._emitter = emitter
        self._random = random.Random(spec["seed"])  # noqa: S311 (not for cryptography)
        self._name = spec["module"]
        self._module = importlib.import_module(spec["module"])
        self._values = values(self._module)
        self._calls = calls
        self._accepted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._constructions: dict[str, list[str]] = defaultdict(list)
        self._outcomes: set[tuple[Any, ...]] = set()
        self._results: dict[str, int] = defaultdict(int)
        self._tried: set[str] = set()

    def run(self) -> None:
        """Call until every target was called as often as agreed; constructors first in every round."""
        targets = discover(self._module)
        self._random.shuffle(targets)
        targets.sort(key=lambda target: not target.is_constructor)
        for number in range(self._calls):
            for target in targets:
                source = self._write(target, number)
                if source is not None and source not in self._tried:
                    self._tried.add(source)
                    self._call(target, source)

    def _write(self, target: Target, number: int) -> str | None:
        if target.owner and not target.is_constructor:
            instances = self._constructions.get(target.owner)
            if not instances:
                return None
            path = f"o{target.path}"
            prefix = f"o = {self._random.choice(instances)}\n"
        else:
            path, prefix = target.path, ""
        arguments, self._chosen = self._arguments(target, number)
        call = path if target.owner and not path.endswith(")") and not target.is_constructor else None
        if call is None:
            call = f"{path.removesuffix('()')}({', '.join(arguments)})"
        return f"{prefix}r = {call}"

    def _arguments(self, target: Target, number: int) -> tuple[list[str], list[tuple[str, str]]]:
        written, chosen = [], []
        is_skipping = False
        for parameter in target.parameters:
            if not parameter.is_required and self._random.random() < 0.5:
                is_skipping = is_skipping or not parameter.is_keyword
                continue
            if parameter.is_variadic and is_skipping:
                continue
            value = self._choose(target, parameter, number)
            by_name = parameter.is_keyword or (is_skipping and not parameter.is_variadic)
            written.append(f"{parameter.name}={value.expression}" if by_name else value.expression)
            chosen.append((parameter.name, value.type_name))
        return written, chosen

    def _choose(self, target: Target, parameter: Parameter, number: int) -> Value:
        pool = self._values(target, parameter)
        if len(target.parameters) == 1 and number < len(pool):
            return pool[number]
        scores = self._accepted[target.path, parameter.name]
        known = [name for name, score in scores.items() if score > 0]
        if known and self._random.random() < 0.7:
            wanted = self._random.choice(known)
            fitting = [value for value in pool if value.type_name == wanted]
            if fitting:
                return self._random.choice(fitting)
        return self._random.choice(pool)

    def _call(self, target: Target, source: str) -> None:
        namespace: dict[str, Any] = {"m": self._module, "__builtins__": builtins}
        error: BaseException | None = None
        try:
            with cpu_guard(CALL_SECONDS):
                exec(compile(source + "\n" + CONSUME, "<call>", "exec"), namespace)  # noqa: S102
        except CallTimeoutError:
            return
        except MemoryError:
            return
        except BaseException as raised:
            error = raised
        for chosen in self._chosen:
            self._accepted[target.path, chosen[0]][chosen[1]] += -1 if isinstance(error, TypeError) else 1
        if error is None and target.is_constructor and len(self._constructions[target.owner]) < 40:
            self._constructions[target.owner].append(source.removeprefix("r = "))
        if self._is_new(target, namespace.get("r"), error):
            self._emitter.emit("snapshot", f"{PROLOGUE.format(self._name)}{source}\n{CONSUME}")

    def _is_new(self, target: Target, result: object, error: BaseException | None) -> bool:
        if error is not None:
            outcome: tuple[Any, ...] = (target.path, target.owner, type(error), *self._lines(error))
        else:
            if self._results[target.owner + target.path] >= _DISTINCT_RESULTS:
                return False
            outcome = (target.path, target.owner, snapshot(result, depth=2)[:500])
        if outcome in self._outcomes:
            return False
        self._outcomes.add(outcome)
        self._results[target.owner + target.path] += error is None
        return True

    def _lines(self, error: BaseException) -> list[int]:
        lines: list[int] = []
        trace = error.__traceback__
        while trace is not None and len(lines) < 50:
            if trace.tb_frame.f_globals.get("__name__") == self._name:
                lines.append(trace.tb_lineno)
            trace = trace.tb_next
        return lines


PROLOGUE = "import importlib\nm = importlib.import_module({!r})\n"
"""What precedes every call; `import x.y as m` would find what the package calls `y`, often a function."""

CONSUME = 'if hasattr(r, "__next__"):\n    r = [v for v, _ in zip(r, range(20))]'
"""What follows every call: an iterator is run, twenty items at most, because creating it runs nothing."""
