"""What a run's tests are worth: which branches each is first to cover, and which mutants it kills.

Belongs here: replaying the emitted tests off the clock, keeping those that add a branch and whose outcome
repeats, and running mutants against the kept ones. Does not belong here: generating, and how a test is run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .guard import CallTimeoutError, cpu_guard
from .mutation import Changed, Patcher
from .oracles import NoOutcomeError, run_test
from .universe import Arc, Meter, Universe

TEST_SECONDS = {"snapshot": 0.5, "doctest": 2.0, "property": 6.0, "shipped": 2.0}
"""CPU seconds of one test by kind."""

_MUTANT_SECONDS, _MUTANT_SLOWNESS = 0.5, 10.0
"""A test on a mutant gets this many CPU seconds and in addition this many times those on the original."""

_STALL_SECONDS = 60.0
"""Wall-clock seconds without progress after which a replay hangs in code that no signal reaches."""

_TESTS_A_MUTANT = {"snapshot": 40, "doctest": 40, "property": 3, "shipped": 10}
"""Kept tests tried on one mutant at most by kind, in the order they were found: some take seconds each."""


def in_fork(action: Callable[[], object], seconds: float) -> Any:
    """The action's result from a forked copy of this process; None when it crashed or ran out of time.

    The result comes back as JSON: tuples become lists.
    """
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ready)
            signal.setitimer(signal.ITIMER_PROF, seconds + 1)
            text = json.dumps(action()).encode()
            with os.fdopen(done, "wb") as pipe:
                pipe.write(text)
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(done)
    chunks = []
    while select.select([ready], [], [], _STALL_SECONDS)[0] and (chunk := os.read(ready, 1 << 16)):
        chunks.append(chunk)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    text = b"".join(chunks)
    return json.loads(text) if text else None


@dataclass
class Kept:
    """A test that adds branches: its expected outcome, its CPU seconds, what it covers and runs through."""

    test: dict[str, Any]
    outcome: str
    seconds: float
    branches: list[Arc]
    lines: set[int]


class Bench:
    """Measures the tests of one run on one module."""

    def __init__(self, spec: dict[str, Any], items: dict[str, Any]) -> None:
        self._module = spec["module"]
        self._items = items
        file = importlib.import_module(self._module).__file__
        if file is None:
            raise ModuleNotFoundError(self._module)
        self._file = file
        self._universe = Universe.of(file)
        survey = json.loads(Path(spec["survey"]).read_text(encoding="utf-8"))
        self._branch_ids = {
            (first, second): number for number, (first, second) in enumerate(survey["branches"])
        }
        self._mutants = survey["mutants"]
        self._meter = Meter(file)
        self._meter.measure(lambda: None)

    def _run(self, test: dict[str, Any], seconds: float = math.inf) -> str:
        with cpu_guard(min(seconds, TEST_SECONDS[test["kind"]])):
            return run_test(test, self._module, self._items)

    def _timed(self, test: dict[str, Any]) -> tuple[str, float]:
        began = time.process_time()
        return self._run(test), time.process_time() - began

    def _credited(self, arcs: set[Arc]) -> set[Arc]:
        return self._universe.credited(arcs) & self._branch_ids.keys()

    def promising(self, tests: list[dict[str, Any]]) -> list[int]:
        """Positions of the tests that cover something new when replayed one after another in one process."""
        found: list[int] = []
        start = 0
        while start < len(tests):
            start = self._replay(tests, start, found)
        return found

    def _replay(self, tests: list[dict[str, Any]], start: int, found: list[int]) -> int:
        """Replay from a position in a fork until the end or until it hangs or dies; where to go on."""
        ready, done = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ready)
            try:
                self._replay_all(tests, start, found, done)
            finally:
                os._exit(0)
        os.close(done)
        position = start
        buffer = b""
        while select.select([ready], [], [], _STALL_SECONDS)[0] and (chunk := os.read(ready, 1 << 16)):
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"+"):
                    found.append(int(line))
                else:
                    position = int(line)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        return position + 1

    def _replay_all(self, tests: list[dict[str, Any]], start: int, found: list[int], pipe: int) -> None:
        meter = Meter(self._file)
        covered: set[Arc] = set()
        arc_count = 0
        for position in [*found, *range(start, len(tests))]:
            if position >= start:
                os.write(pipe, f"{position}\n".encode())
            outcome = "failed"
            with contextlib.suppress(Exception, CallTimeoutError):
                outcome = meter.measure(functools.partial(self._run, tests[position]))
            if outcome == "failed":
                meter, arc_count = Meter(self._file), 0
                continue
            arcs = meter.arcs()
            if len(arcs) == arc_count:  # arcs only ever grow: nothing new
                continue
            arc_count = len(arcs)
            credited = self._credited(arcs)
            if position >= start and not credited <= covered:
                os.write(pipe, f"+{position}\n".encode())
            covered |= credited

    def verify(self, test: dict[str, Any]) -> Kept | None:
        """The test as kept, run alone twice; None when it has no outcome or not the same one twice."""

        def measured() -> object:
            meter = self._meter
            outcome = meter.measure(lambda: self._run(test))
            arcs = meter.arcs()
            return (
                outcome,
                sorted(self._credited(arcs)),
                sorted({abs(line) for arc in arcs for line in arc}),
            )

        seconds = TEST_SECONDS[test["kind"]] * 2
        first = in_fork(measured, seconds)
        if first is None or first[0] == "failed":
            return None
        second = in_fork(lambda: self._timed(test), seconds)
        if second is None or second[0] != first[0]:
            return None
        return Kept(test, first[0], second[1], [(start, end) for start, end in first[1]], set(first[2]))

    def keep(self, tests: list[dict[str, Any]]) -> tuple[list[Kept], dict[int, float]]:
        """The kept tests, and for each branch (by number) the CPU second at which it was first covered."""
        kept: list[Kept] = []
        seconds: dict[int, float] = {}
        for position in self.promising(tests):
            candidate = self.verify(tests[position])
            new = (
                {self._branch_ids[arc] for arc in candidate.branches} - seconds.keys() if candidate else set()
            )
            if candidate is not None and new:
                kept.append(candidate)
                seconds |= dict.fromkeys(new, candidate.test["seconds"])
        return kept, seconds

    def kill(self, kept: list[Kept]) -> dict[int, float]:
        """For each killed mutant (by number) the CPU second at which the test that kills it was found."""
        patcher = Patcher(self._file, Path(self._file).read_text(encoding="utf-8"))
        killed: dict[int, float] = {}
        for number, mutant in enumerate(self._mutants):
            covering = [test for test in kept if mutant["line"] in test.lines]
            covering = covering[: _TESTS_A_MUTANT[covering[0].test["kind"]]] if covering else []
            changed = patcher.changed(mutant["number"]) if covering else {}
            for test in covering:
                if self._outcome(patcher, changed, test) != test.outcome:
                    killed[number] = test.test["seconds"]
                    break
        return killed

    def _outcome(self, patcher: Patcher, changed: Changed, kept: Kept) -> Any:
        """What a kept test makes of a mutant; one that takes far longer than the original has no outcome."""
        seconds = _MUTANT_SECONDS + _MUTANT_SLOWNESS * kept.seconds

        def mutated() -> object:
            patcher.exchange(changed)
            try:
                return self._run(kept.test, seconds)
            except (NoOutcomeError, CallTimeoutError):
                return "no outcome"

        return in_fork(mutated, seconds)


def _measure(spec: dict[str, Any], tests: list[dict[str, Any]], items: dict[str, Any]) -> None:
    bench = Bench(spec, items)
    kept, branches = bench.keep(tests)
    result = {
        "kept": [test.test["seconds"] for test in kept],
        "branches": branches,
        "mutants": bench.kill(kept),
    }
    Path(spec["result"]).write_text(json.dumps(result), encoding="utf-8")


def _read(path: str, seconds: float) -> Iterator[dict[str, Any]]:
    """The passing tests that were found in time; the last line may be torn, its writer having been killed."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            test = json.loads(line)
        except json.JSONDecodeError:
            return
        if test["passed"] and test["seconds"] <= seconds:
            yield test


def run(spec: dict[str, Any]) -> None:
    """Measure the tests of one run and write the result as JSON."""
    tests = list(_read(spec["tests"], spec["seconds"]))
    sys.setrecursionlimit(1000)
    if any(test["kind"] == "property" for test in tests):
        from .strategies.ghostwriter import warm_up

        warm_up()
    if not any(test["kind"] == "shipped" for test in tests):
        _measure(spec, tests, {})
        return
    import pytest

    from .strategies.neighbour_tests import pytest_arguments

    class Loop:
        """Replaces pytest's loop over the collected tests."""

        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            """Measure with the collected tests at hand."""
            _measure(spec, tests, {item.nodeid: item for item in session.items})
            return True

    files = sorted({test["name"] for test in tests})
    pytest.main([*pytest_arguments(spec["shipped_tests"]), *files], plugins=[Loop()])
