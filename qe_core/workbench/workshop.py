"""One run at a time: a strategy generates in the sandbox, then its tests are measured there.

Belongs here: the working directory with tools, subjects and results so far, and carrying out a single run.
Does not belong here: which runs to make, how many at once and what becomes of the results (`record`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qe_core.errors import WorkbenchError
from qe_core.workbench import sandbox
from qe_core.workbench.sandbox import Limits
from qe_core.workbench.subjects import Subject, fetch
from qe_core.workbench.tools import tools_python

STRATEGIES = ("dynamosa", "mio", "literals", "edge-values", "doctests", "ghostwriter", "neighbour-tests")
"""The strategies, by the names the test-generator agent's actions have."""

MUTANTS = 20
"""Mutants of a module at most."""

_MEASURE = Limits(cpu_seconds=90.0, wall_seconds=900.0)
_WALL_SHARE = 15.0
"""Wall-clock seconds a run may take for each CPU second: the machine may be busy with other work."""

_INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True)
class Case:
    """One run to make: a strategy on a module, for the n-th time."""

    subject: Subject
    module: str
    strategy: str
    repetition: int

    @property
    def seed(self) -> int:
        """The seed, drawn from what the run is."""
        text = f"{self.module} {self.strategy} {self.repetition}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where recording happens: the interpreter, the unpacked subjects, the results so far, the CPU limit."""

    python: Path
    directory: Path
    seconds: float
    slots: queue.SimpleQueue[int]

    def results(self, module: str) -> Path:
        """The directory of one module's results."""
        return self.directory / f"results-{self.seconds:g}s" / module

    def _source(self, subject: Subject) -> Path:
        return self.directory / "subjects" / f"{subject.name}-{subject.version}"

    def spec(self, subject: Subject, module: str) -> dict[str, Any]:
        """What every phase is told."""
        root = self._source(subject)
        return {
            "module": module,
            "sources": [str((root / subject.source).resolve()), str(root)],
            "shipped_tests": str(root / subject.tests) if subject.tests else "",
            "mutants": MUTANTS,
        }

    @contextlib.contextmanager
    def phase(self) -> Iterator[Phase]:
        """A sandboxed place to run phases in, with a worker's user to itself."""
        slot = self.slots.get()
        try:
            with sandbox.scratch(slot) as scratch:
                yield Phase(self, scratch, slot)
        finally:
            self.slots.put(slot)


@dataclass(frozen=True, slots=True)
class Phase:
    """A scratch directory in which one module's phases run after each other."""

    workshop: Workshop
    scratch: sandbox.Scratch
    slot: int

    def run(self, name: str, spec: dict[str, Any], limits: Limits) -> sandbox.Outcome:
        """Run one phase; what it wrote is in the home of its scratch directory afterwards."""
        path = self.scratch.write(f"{name}.json", json.dumps(spec).encode())
        main = self.workshop.directory / "inside" / "main.py"
        argv = [str(self.workshop.python), "-s", "-P", "-B", str(main), name, str(path)]
        return sandbox.run(
            argv, self.scratch.home, limits, {"COVERAGE_CORE": "ctrace"}, self.slot, [self.workshop.directory]
        )


def open_workshop(
    work: Path | None,
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    workers: int,
    seconds: float,
    resume: bool,
) -> Workshop:
    """The workshop in a working directory, with tools and subjects ready.

    Args:
        work: The directory; None for one of this user's beneath the system's directory for temporary files.
        subjects: What to fetch.
        strategies: What the tools have to be able to run.
        workers: How many runs there will be at a time.
        seconds: CPU seconds of a run.
        resume: Whether to keep the subjects' results of an earlier recording.

    Raises:
        WorkbenchError: If the directory is somebody else's or something cannot be fetched.
    """
    directory = work or Path(tempfile.gettempdir()) / f"qe-workbench-{os.getuid()}"
    directory.mkdir(parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise WorkbenchError(f"{directory} belongs to somebody else; name another working directory.")
    directory.chmod(0o755)
    (directory / "subjects").mkdir(exist_ok=True)
    shutil.rmtree(directory / "inside", ignore_errors=True)
    shutil.copytree(_INSIDE, directory / "inside", ignore=shutil.ignore_patterns("__pycache__"))
    python = tools_python(directory / "tools", strategies)
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(workers):
        slots.put(slot)
    workshop = Workshop(python, directory, seconds, slots)
    for subject in subjects:
        fetch(subject, directory / "subjects", python)
        if not resume:
            for module in subject.modules:
                shutil.rmtree(workshop.results(module), ignore_errors=True)
    return workshop


def survey(workshop: Workshop, subject: Subject, module: str) -> dict[str, Any] | None:
    """What is known of a module before any test is generated; None when it has no branch to cover.

    Raises:
        WorkbenchError: If the module cannot be imported in the sandbox.
    """
    path = workshop.results(module) / "survey.json"
    if not path.exists():
        with workshop.phase() as phase:
            result = str(phase.scratch.home / "survey.json")
            outcome = phase.run("survey", {**workshop.spec(subject, module), "result": result}, _MEASURE)
            content = phase.scratch.read("survey.json")
        if content is None:
            raise WorkbenchError(f"{module} cannot be surveyed; take it out of subjects.toml: {outcome.log}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found["branches"] else None


def run(workshop: Workshop, case: Case) -> dict[str, Any]:
    """One run, generated and measured, or what an earlier recording made of it.

    Returns:
        `kept` (CPU seconds of each kept test), `branches` and `mutants` (CPU seconds by number), `seconds`,
        `wall_seconds`, `finished`, `tests_generated`, `failure`, `isolation` and, where something went wrong,
        the end of what the tool printed as `log`.
    """
    path = workshop.results(case.module) / f"{case.strategy}-{case.repetition}.json"
    if path.exists():
        done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return done
    with workshop.phase() as phase:
        result = _generate_and_measure(workshop, case, phase)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, path)
    return result


def _generate_and_measure(workshop: Workshop, case: Case, phase: Phase) -> dict[str, Any]:
    scratch = phase.scratch
    spec = {
        **workshop.spec(case.subject, case.module),
        "strategy": case.strategy,
        "seed": case.seed,
        "seconds": workshop.seconds,
        "tests": str(scratch.home / "tests.jsonl"),
        "result": str(scratch.home / "measured.json"),
    }
    limits = Limits(cpu_seconds=workshop.seconds, wall_seconds=max(45.0, _WALL_SHARE * workshop.seconds))
    began = time.monotonic()
    generated = phase.run(case.strategy, spec, limits)
    wall = time.monotonic() - began
    lines = (scratch.read("tests.jsonl") or b"").splitlines()
    result: dict[str, Any] = {"kept": [], "branches": {}, "mutants": {}}
    log, failure = generated.log, ""
    if lines:
        survey = scratch.write("survey.json", (workshop.results(case.module) / "survey.json").read_bytes())
        measuring = phase.run("measure", {**spec, "survey": str(survey)}, _MEASURE)
        content = scratch.read("measured.json")
        result = json.loads(content) if content else result
        log, failure = (log, "") if content else (measuring.log, "unmeasured")
    return {
        **result,
        "seconds": generated.cpu_seconds,
        "wall_seconds": wall,
        "finished": generated.exit_code == 0,
        "tests_generated": len(lines),
        "failure": failure or failure_of(generated, bool(result["kept"])),
        "isolation": generated.isolation,
        "log": log if failure or not result["kept"] or generated.exit_code > 0 else "",
    }


def failure_of(generated: sandbox.Outcome, has_tests: bool) -> str:
    """Why a run went wrong; empty when it ended in order, or at its time limit with tests in hand."""
    match generated:
        case sandbox.Outcome(exit_code=3):
            return "memory"
        case sandbox.Outcome(exit_code=code) if code > 0:
            return "tool-error"
        case sandbox.Outcome(exit_code=0):
            return "" if has_tests else "no-tests"
        case sandbox.Outcome(expired=True):
            return "timeout"
        case sandbox.Outcome(is_out_of_cpu=True):
            return "" if has_tests else "timeout"
        case _:
            return "crash"
