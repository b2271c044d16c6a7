"""Recording: every strategy on every module, several times, in the sandbox, resumable.

Belongs here: the plan of runs, carrying them out in parallel, and collecting what came out. Does not belong
here: how a single run goes (`workshop`) and the form of the result (`recordings`).
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
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
from qe_core.workbench.recordings import write_recordings
from qe_core.workbench.sandbox import Limits
from qe_core.workbench.subjects import SPLIT_RULE, Split, Subject, load_subjects, select, split_of
from qe_core.workbench.tools import versions
from qe_core.workbench.workshop import STRATEGIES, Case, Workshop, open_workshop, run, survey

_SAVE_SECONDS = 60.0


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
    declared = subjects if subjects is not None else load_subjects()
    chosen = select(declared, packages, modules)
    names = _known_strategies(strategies)
    workers = workers or max(1, (os.cpu_count() or 2) - 1)
    workshop = open_workshop(work, chosen, names, workers, seconds, resume)
    surveys = _survey(workshop, chosen, workers)
    cases = [
        Case(subject, module, strategy, repetition)
        for repetition in range(repetitions)
        for subject, module in _interleaved(chosen)
        if module in surveys
        for strategy in names
    ]
    command = _command(packages, modules, strategies, repetitions, seconds)
    runs: dict[Case, dict[str, Any]] = {}

    def save() -> None:
        tables = {
            "modules": _module_rows(chosen, surveys, split_of([subject.name for subject in declared])),
            **_run_rows(runs),
        }
        write_recordings(out, tables, {"command": command, **_manifest(workshop, chosen, runs)})

    saved = time.monotonic()
    for case, result in _carry_out(workshop, cases, workers, show_progress):
        runs[case] = result
        if time.monotonic() - saved > _SAVE_SECONDS:
            save()
            saved = time.monotonic()
    save()
    return out


def _known_strategies(strategies: Sequence[str] | None) -> tuple[str, ...]:
    for name in strategies or ():
        if name not in STRATEGIES:
            raise WorkbenchError(f"There is no strategy {name!r}; {nearest(name, STRATEGIES)}.")
    return tuple(name for name in STRATEGIES if strategies is None or name in strategies)


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
    pairs = _interleaved(subjects)
    with ThreadPoolExecutor(workers) as pool:
        surveys = pool.map(lambda pair: survey(workshop, *pair), pairs)
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
            pool.submit(run, workshop, case): case for case in cases
        }
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    case = pending.pop(future)
                    progress.update(bar, advance=1, last=f"{case.module} {case.strategy}")
                    yield case, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _module_rows(
    subjects: Sequence[Subject], surveys: Mapping[str, dict[str, Any]], splits: Mapping[str, Split]
) -> list[dict[str, Any]]:
    return [
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


def _run_rows(runs: Mapping[Case, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables of runs and of outcomes, in an order that does not depend on who finished first."""
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
    return {"runs": run_rows, "outcomes": outcome_rows}


def _order(case: Case) -> tuple[str, int, int, int]:
    subject = case.subject
    return subject.name, subject.modules.index(case.module), STRATEGIES.index(case.strategy), case.repetition


def _command(
    packages: Sequence[str] | None,
    modules: Sequence[str] | None,
    strategies: Sequence[str] | None,
    repetitions: int,
    seconds: float,
) -> str:
    """The command that makes the same recording, but for its place."""
    words = ["qe", "workbench", "record", "--repetitions", str(repetitions), "--seconds", f"{seconds:g}"]
    for option, values in (("--package", packages), ("--module", modules), ("--strategy", strategies)):
        for value in values or ():
            words += [option, value]
    return shlex.join(words)


def _manifest(
    workshop: Workshop, subjects: Sequence[Subject], runs: Mapping[Case, dict[str, Any]]
) -> dict[str, Any]:
    fields = ("name", "version", "licence", "sha256")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "tools": versions(workshop.python),
        "strategies": [name for name in STRATEGIES if any(case.strategy == name for case in runs)],
        "repetitions": max((case.repetition + 1 for case in runs), default=0),
        "limits": asdict(Limits(cpu_seconds=workshop.seconds)),
        "isolation": sorted({granted for result in runs.values() for granted in result["isolation"]}),
        "clock": "CPU seconds of the strategy's process and the children it waited for, from process start",
        "split_rule": SPLIT_RULE,
        "subjects": [{field: getattr(subject, field) for field in fields} for subject in subjects],
    }
