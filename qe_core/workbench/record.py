"""Recording: every strategy on every module, several times, in the sandbox, resumable.

Belongs here: the plan of runs, carrying each out in its two phases and collecting what came out. Does not
belong here: what happens inside the sandbox (`inside/`) and the form of the result (`recordings`).
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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from qe_core.errors import WorkbenchError, nearest
from qe_core.workbench import sandbox
from qe_core.workbench.recordings import write_recordings
from qe_core.workbench.sandbox import Limits
from qe_core.workbench.subjects import SPLIT_RULE, Subject, fetch, load_subjects, select, split_of
from qe_core.workbench.tools import tools_python, versions

STRATEGIES = ("dynamosa", "mio", "literals", "edge-values", "doctests", "ghostwriter", "neighbour-tests")
"""The strategies, by the names the test-generator agent's actions have."""

MUTANTS = 20
"""Mutants of a module at most."""

_MEASURE = Limits(cpu_seconds=90.0, wall_seconds=240.0)
_SAVE_SECONDS = 60.0
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


def record(
    subjects: Sequence[Subject] | None = None,
    out: Path = Path("recordings"),
    *,
    packages: Sequence[str] | None = None,
    modules: Sequence[str] | None = None,
    strategies: Sequence[str] | None = None,
    repetitions: int = 3,
    workers: int | None = None,
    seconds: float = 8.0,
    resume: bool = True,
    work: Path | None = None,
    show_progress: bool = True,
) -> Path:
    """Record runs and write them as tables; the directory written to.

    Args:
        subjects: What to record on; the declared subjects by default.
        out: Directory of the tables; they are also written every minute while recording goes on.
        packages: Only these packages.
        modules: Only these modules.
        strategies: Only these strategies.
        repetitions: Runs of each strategy on each module, with different seeds.
        workers: Runs at a time; by default one less than there are processors.
        seconds: CPU seconds of a run.
        resume: Whether results from an interrupted recording are used; otherwise they are thrown away.
        work: Directory of tools, subjects and results so far; by default one of this user's beneath the
            system's directory for temporary files.
        show_progress: Whether to show a progress bar.

    Raises:
        WorkbenchError: If a name is unknown, a subject or tool cannot be fetched, or the sandbox cannot run.
    """
    chosen = select(subjects if subjects is not None else load_subjects(), packages, modules)
    names = _known_strategies(strategies)
    workers = workers or max(1, (os.cpu_count() or 2) - 1)
    workshop = _open_workshop(work, chosen, names, workers, seconds, resume)
    surveys = _survey(workshop, chosen, workers)
    cases = [
        Case(subject, module, strategy, repetition)
        for repetition in range(repetitions)
        for subject, module in _interleaved(chosen)
        if module in surveys
        for strategy in names
    ]
    manifest = _manifest(workshop, chosen, names, repetitions)
    runs: dict[Case, dict[str, Any]] = {}
    saved = time.monotonic()
    for case, result in _carry_out(workshop, cases, workers, show_progress):
        runs[case] = result
        if time.monotonic() - saved > _SAVE_SECONDS:
            write_recordings(out, _tables(chosen, surveys, runs), manifest)
            saved = time.monotonic()
    write_recordings(out, _tables(chosen, surveys, runs), manifest)
    return out


def _known_strategies(strategies: Sequence[str] | None) -> tuple[str, ...]:
    for name in strategies or ():
        if name not in STRATEGIES:
            raise WorkbenchError(f"There is no strategy {name!r}; {nearest(name, STRATEGIES)}.")
    return tuple(name for name in STRATEGIES if strategies is None or name in strategies)


def _open_workshop(
    work: Path | None,
    subjects: Sequence[Subject],
    strategies: Sequence[str],
    workers: int,
    seconds: float,
    resume: bool,
) -> Workshop:
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


def _interleaved(subjects: Sequence[Subject]) -> list[tuple[Subject, str]]:
    """All modules, the first of every package first, so that a partial recording knows all packages."""
    longest = max((len(subject.modules) for subject in subjects), default=0)
    return [
        (subject, subject.modules[index])
        for index in range(longest)
        for subject in subjects
        if index < len(subject.modules)
    ]


def _survey(workshop: Workshop, subjects: Sequence[Subject], workers: int) -> dict[str, dict[str, Any]]:
    """What is known of each module beforehand; modules without a branch to cover are left out."""

    def survey(subject: Subject, module: str) -> dict[str, Any] | None:
        path = workshop.results(module) / "survey.json"
        if not path.exists():
            with workshop.phase() as phase:
                result = str(phase.scratch.home / "survey.json")
                outcome = phase.run("survey", {**workshop.spec(subject, module), "result": result}, _MEASURE)
                content = phase.scratch.read("survey.json")
                if content is None:
                    raise WorkbenchError(
                        f"{module} cannot be surveyed; take it out of subjects.toml: {outcome.log}"
                    )
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found if found["branches"] else None

    pairs = _interleaved(subjects)
    with ThreadPoolExecutor(workers) as pool:
        surveys = pool.map(lambda pair: survey(*pair), pairs)
        return {module: found for (_, module), found in zip(pairs, surveys, strict=True) if found}


def _carry_out(
    workshop: Workshop, cases: Sequence[Case], workers: int, show_progress: bool
) -> Iterator[tuple[Case, dict[str, Any]]]:
    columns = (
        TextColumn("recording"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, disable=not show_progress) as progress, ThreadPoolExecutor(workers) as pool:
        bar = progress.add_task("recording", total=len(cases), last="")
        pending: dict[Future[dict[str, Any]], Case] = {
            pool.submit(_run, workshop, case): case for case in cases
        }
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    case = pending.pop(future)
                    progress.update(bar, advance=1, last=f"{case.module} {case.strategy}")
                    yield case, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run(workshop: Workshop, case: Case) -> dict[str, Any]:
    """One run, generated and measured, or what an earlier recording made of it."""
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
    limits = Limits(cpu_seconds=workshop.seconds, wall_seconds=max(45.0, 6 * workshop.seconds))
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
        "failure": failure or _failure(generated, bool(result["kept"])),
        "isolation": generated.isolation,
        "log": log if failure or not result["kept"] or generated.exit_code > 0 else "",
    }


def _failure(generated: sandbox.Outcome, has_tests: bool) -> str:
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


def _tables(
    subjects: Sequence[Subject], surveys: dict[str, dict[str, Any]], runs: dict[Case, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    splits = split_of([subject.name for subject in subjects])
    module_rows = [
        {
            "package": subject.name,
            "module": module,
            "split": splits[subject.name],
            "position": position,
            "branches": len(surveys[module]["branches"]),
            "mutants": len(surveys[module]["mutants"]),
            **surveys[module]["facts"],
        }
        for subject in subjects
        for position, module in enumerate(subject.modules)
        if module in surveys
    ]
    run_rows, outcome_rows = [], []
    for case, result in sorted(runs.items(), key=lambda item: _order(item[0])):
        key = {
            "package": case.subject.name,
            "module": case.module,
            "strategy": case.strategy,
            "repetition": case.repetition,
        }
        kept, branches, mutants = result["kept"], result["branches"], result["mutants"]
        run_rows.append(
            {
                **key,
                "seed": case.seed,
                **{name: result[name] for name in ("wall_seconds", "finished", "tests_generated", "failure")},
                "seconds": result["seconds"],
                "tests_kept": len(kept),
                "branches": len(branches),
                "mutants": len(mutants),
            }
        )
        for kind, items in (("branch", branches), ("mutant", mutants), ("test", dict(enumerate(kept)))):
            outcome_rows += [
                {**key, "kind": kind, "item": int(item), "seconds": at} for item, at in items.items()
            ]
    return {"modules": module_rows, "runs": run_rows, "outcomes": outcome_rows}


def _order(case: Case) -> tuple[str, int, int, int]:
    subject = case.subject
    return subject.name, subject.modules.index(case.module), STRATEGIES.index(case.strategy), case.repetition


def _manifest(
    workshop: Workshop, subjects: Sequence[Subject], strategies: Sequence[str], repetitions: int
) -> dict[str, Any]:
    fields = ("name", "version", "licence", "sha256")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"qe workbench record --repetitions {repetitions} --seconds {workshop.seconds:g}",
        "tools": versions(workshop.python),
        "strategies": list(strategies),
        "repetitions": repetitions,
        "limits": asdict(Limits(cpu_seconds=workshop.seconds)),
        "clock": "CPU seconds of the strategy's process and the children it waited for, from process start",
        "split_rule": SPLIT_RULE,
        "subjects": [{field: getattr(subject, field) for field in fields} for subject in subjects],
    }
