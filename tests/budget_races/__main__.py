"""The command ``python -m tests.budget_races``: releases at once, killed at every step, many times over.

What belongs here: options, a server of its own, what is printed. What does not: races (`races`).
"""

import asyncio
import secrets
import signal
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.budget_races.contributor import STEPS, Doom, Plant
from tests.budget_races.judge import Verdict
from tests.budget_races.races import PLANTED, Plan, Result, prepare, race
from tests.faults.place import Server, directory

RELEASES_SPARE = 6
"""The limit allows so many releases more than races have deaths that cost one."""


def main(
    seed: Annotated[int | None, typer.Option(help="Repeat these races.")] = None,
    races: Annotated[int, typer.Option(min=1, help="Each with two deaths at every step.")] = 12,
    processes: Annotated[int, typer.Option(min=2, help="At once.")] = 6,
    server_kills: Annotated[int, typer.Option(min=0, help="Of PostgreSQL, in each race.")] = 2,
    parent: Annotated[Path, typer.Option("--directory", help="On the disk to use.")] = Path("/var/tmp"),
) -> None:
    """Release from several processes while they die, and prove that nobody overspends or sends twice."""
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = secrets.randbits(31) if seed is None else seed
    console.print(f"seed {seed}")
    dooms = tuple(Doom(step, is_late) for step in STEPS for is_late in (False, True))
    plans = [
        Plan(seed + number, processes, len(STEPS) + RELEASES_SPARE + 0.5, dooms, server_kills)
        for number in range(races)
    ]
    began_at = time.monotonic()
    with directory(parent) as folder:
        server = Server(folder, folder / "log")
        server.start()
        try:
            results, unseen = asyncio.run(_all(plans, seed, server, folder, console))
        finally:
            server.embedded.stop()
    _show(console, results, time.monotonic() - began_at)
    is_clean = all(result.is_clean for result in results) and not unseen
    console.print(
        "nobody spent too much or sent twice; every planted fault was found" if is_clean else "FAILED"
    )
    raise typer.Exit(0 if is_clean else 1)


async def _all(
    plans: list[Plan], seed: int, server: Server, folder: Path, console: Console
) -> tuple[list[Result], list[Plant]]:
    """Return what came of all races, and which planted faults nobody saw."""
    await prepare(server)
    results = []
    for number, plan in enumerate(plans):
        results.append(await race(plan, server, _made(folder / f"race{number}")))
        console.print(
            f"race {number + 1}: {sum(results[-1].deaths.values())} deaths, {results[-1].verdict.faults}"
        )
        errors = folder / f"race{number}" / "errors"
        if results[-1].stuck and errors.exists():
            console.print(errors.read_text()[-2_000:], markup=False, soft_wrap=True)
    unseen = []
    for plant, planted in PLANTED.items():
        found = (await race(planted.plan(seed), server, _made(folder / plant.name))).verdict.faults
        console.print(f"planted: {plant.value}: found as {found}")
        if planted.is_found_as not in found:
            unseen.append(plant)
    return results, unseen


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _show(console: Console, results: list[Result], seconds: float) -> None:
    """Print what came of all races together."""
    table = Table("what", "count")
    table.columns[1].justify = "right"
    deaths: Counter[str] = Counter()
    for result in results:
        deaths += result.deaths
    table.add_row("races", f"{len(results)}")
    for step in STEPS:
        table.add_row(f"deaths {step}", f"{deaths[step]}")
    table.add_row("deaths that nobody came to", f"{sum(len(result.unmet) for result in results)}")
    table.add_row("PostgreSQL killed", f"{sum(result.server_kills for result in results)}")
    table.add_row("releases refused: nothing left", f"{sum(result.refused for result in results)}")
    table.add_row("releases refused: tasks taken", f"{sum(result.overtaken for result in results)}")
    table.add_row("stuck", f"{sum(result.stuck for result in results)}")
    for count in fields(Verdict):
        total = sum(getattr(result.verdict, count.name) for result in results)
        table.add_row(count.name.replace("_", " "), f"{total:,}")
    table.add_row("seconds", f"{seconds:.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
