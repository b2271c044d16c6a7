"""The command ``python -m tests.faults_agents``: a hundred processes of agents, killed at random.

What belongs here: options, a server of its own, what is printed, the exit code. What does not: runs (`run`).
"""

import asyncio
import secrets
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qe_core.store import migrate
from qe_core.store.server import EmbeddedServer
from tests.faults.place import directory
from tests.faults_agents.phases import Phase
from tests.faults_agents.run import Result, run
from tests.faults_agents.schedule import Plan
from tests.faults_agents.verdict import Verdict

CONNECTIONS_EACH = 5
PATIENCE_SECONDS = 1_800.0
TOLD_EVERY = 10
"""Blows after which a line is printed."""


def main(
    seed: Annotated[int | None, typer.Option(help="Repeat these victims.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="At once.")] = 100,
    agents: Annotated[int, typer.Option(min=1, max=18, help="In each process.")] = 2,
    episodes: Annotated[int, typer.Option(min=1, help="Of each agent in each process.")] = 20,
    kills: Annotated[int, typer.Option(min=0, help="Of processes that play, one seat after another.")] = 100,
    relapses: Annotated[int, typer.Option(min=0, help="Of those, killed again while recovering.")] = 30,
    zombies: Annotated[int, typer.Option(min=0, help="Stopped, replaced, and woken up again.")] = 10,
    parent: Annotated[Path, typer.Option("--directory", help="On the disk to use.")] = Path("/var/tmp"),
) -> None:
    """Kill agents in the middle of their episodes, and prove that nothing is lost or counted twice."""
    console = Console(highlight=False)
    if relapses > kills:
        raise typer.BadParameter(f"at most {kills} of {kills} killed processes can be killed again")
    # Ending this command in the ordinary way stops its server and its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = secrets.randbits(31) if seed is None else seed
    console.print(f"seed {seed}")
    plan = Plan(seed, processes, agents, episodes, kills, relapses, zombies, PATIENCE_SECONDS)

    def tell(blows: int) -> None:
        """Say now and then how far it is."""
        if blows % TOLD_EVERY == 0:
            console.print(f"{blows} of {plan.blows} processes hit")

    connections = str(CONNECTIONS_EACH * (processes + zombies) + 20)
    with directory(parent) as folder:
        data, files = folder / "server", folder / "files"
        for made in (data, files):
            made.mkdir(mode=0o711)
        with EmbeddedServer(data, settings={"max_connections": connections}) as server:
            url = server.url("agents")
            asyncio.run(migrate(url))
            result = run(plan, url, files, tell)
        for errors in sorted(files.glob("*/errors")):
            if result.stuck and (text := errors.read_text()):
                console.print(text[-2_000:], markup=False, soft_wrap=True)
    show(console, result)
    raise typer.Exit(0 if result.is_clean else 1)


def show(console: Console, result: Result) -> None:
    """Print what came of a run."""
    plan, table = result.plan, Table("what", "count")
    table.columns[1].justify = "right"
    table.add_row("processes at once, agents in each", f"{plan.processes} × {plan.agents}")
    table.add_row("processes hit while they played", f"{result.killed}")
    table.add_row("  different seats among them", f"{result.seats_hit}")
    table.add_row("  stopped, replaced, woken up and killed later", f"{plan.zombies}")
    for phase in Phase:
        table.add_row(f"agents hit {phase.value}", f"{result.hit_while[phase]}")
    for count in fields(Verdict):
        table.add_row(count.name.replace("_", " "), f"{getattr(result.verdict, count.name):,}")
    table.add_row("stuck", f"{result.stuck}")
    table.add_row("seconds", f"{result.seconds:.0f}")
    console.print(table)
    console.print("nothing lost" if result.is_clean else "FAILED")


if __name__ == "__main__":
    typer.run(main)
