"""The command ``python -m tests.faults``: options, progress, the table, the exit code.

What belongs here: what a person sees and gives. What does not: runs (`run`) and their judgement (`oracle`).
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.faults.place import Server, directory
from tests.faults.run import run
from tests.faults.schedule import KILLS, Fault, Plan, long_form, short_form
from tests.faults.small_disk import FullDisk, small_disk
from tests.faults.table import as_markdown, as_record, as_table, is_clean, total_of

DEFAULT_DIRECTORY = Path("/var/tmp")
"""On a disk nearly everywhere, and the server's own account can enter it."""

LONG_MINUTES = 10.0
"""About what the long form takes on four cores."""

_WIDE = 210


def main(
    seed: Annotated[int | None, typer.Option(help="Repeat this schedule of faults.")] = None,
    kills: Annotated[int, typer.Option(min=1, help="SIGKILLs in total; all else in proportion.")] = KILLS,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="About how long, instead of kills.")] = None,
    short: Annotated[bool, typer.Option(help="One run, every fault once.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="A fault, or: all mixed. Repeat for more.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where faults.json and faults.md go.")] = None,
    parent: Annotated[Path, typer.Option("--directory", help="On the disk to use.")] = DEFAULT_DIRECTORY,
    cannot_mount: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Write from several processes while things break, and prove that nothing is lost."""
    console = Console()
    seed = secrets.randbits(31) if seed is None else seed
    share = kills / KILLS if minutes is None else minutes / LONG_MINUTES
    plans = _chosen(seed, share, short, set(only or ()), bool(cannot_mount))
    not_run = {Fault.DISK_FULL.value: cannot_mount} if cannot_mount else {}
    console.print(f"seed {seed}; repeat with: python -m tests.faults --seed {seed}{' --short' * short}")
    began_at = time.monotonic()
    records = _carry_out(plans, parent, not cannot_mount, console)
    (console if console.is_terminal else Console(width=_WIDE)).print(as_table(records, not_run))
    for record in records:
        for finding in record["findings"]:
            console.print(f"{record['fault']}: {finding}", markup=False, soft_wrap=True)
    lasted = round(time.monotonic() - began_at)
    verdict = "nothing lost" if is_clean(records) else "FAILED"
    console.print(f"{total_of(records)['kills']} kills in {lasted} s: {verdict}")
    if output is not None:
        _write(output, {"seed": seed, "seconds": lasted, "not_run": not_run, "runs": records})
    raise typer.Exit(0 if is_clean(records) else 1)


def _chosen(seed: int, share: float, is_short: bool, only: set[str], is_without_disk: bool) -> list[Plan]:
    kinds = [kind for kind in Fault if not (is_without_disk and kind is Fault.DISK_FULL)]
    plans = short_form(seed, kinds) if is_short else long_form(seed, share, kinds, is_mixed=True)
    unknown = only - {plan.name for plan in plans}
    if unknown:
        known = ", ".join(plan.name for plan in plans)
        raise typer.BadParameter(f"there is no run called {', '.join(sorted(unknown))}; there are {known}")
    return [plan for plan in plans if not only or plan.name in only]


def _carry_out(
    plans: list[Plan], parent: Path, has_small_disk: bool, console: Console
) -> list[dict[str, Any]]:
    records = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    total = sum(len(plan.strikes) for plan in plans)
    with directory(parent) as folder, Progress(*columns, console=console) as progress, ExitStack() as servers:
        bar = progress.add_task("", total=total)
        running: dict[bool, tuple[Server, FullDisk | None]] = {}
        for number, plan in enumerate(plans):
            progress.update(bar, description=plan.name)
            fills = has_small_disk and any(strike.fault is Fault.DISK_FULL for strike in plan.strikes)
            if fills not in running:
                running[fills] = servers.enter_context(_server(folder, fills))
            journals = folder / f"run{number}"
            journals.mkdir()
            outcome = asyncio.run(run(plan, *running[fills], journals, lambda _: progress.advance(bar)))
            records.append(as_record(outcome))
            if not console.is_terminal:
                progress.console.print(f"{plan.name}: {len(outcome.struck)} faults, {outcome.seconds:.0f} s")
    return records


@contextmanager
def _server(folder: Path, is_small: bool) -> Iterator[tuple[Server, FullDisk | None]]:
    """Yield a running server on the large disk, or on a small one that can be filled."""
    with ExitStack() as stack:
        place = folder / ("small" if is_small else "large")
        if is_small:
            stack.enter_context(small_disk(place))
        else:
            place.mkdir(mode=0o711)
        server = Server(place, folder / f"{place.name}.log")
        server.start()
        stack.callback(server.embedded.stop)
        yield server, FullDisk(place) if is_small else None


def _write(output: Path, report: dict[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "faults.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "faults.md").write_text(as_markdown(report["runs"], report["not_run"]))
