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

from qe_core.store import migrate
from qe_core.store.server import EmbeddedServer
from tests.faults.place import directory
from tests.faults_agents.run import Plan, run
from tests.faults_agents.verdict import Verdict

CONNECTIONS_EACH = 6
PATIENCE_SECONDS = 1_800.0


def main(
    seed: Annotated[int | None, typer.Option(help="Repeat these victims.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="At once.")] = 100,
    agents: Annotated[int, typer.Option(min=1, max=18, help="In each process.")] = 2,
    episodes: Annotated[int, typer.Option(min=1, help="Of each agent in each process.")] = 20,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs of processes that play.")] = 100,
    zombies: Annotated[int, typer.Option(min=0, help="Stopped, replaced, and woken up again.")] = 10,
    parent: Annotated[Path, typer.Option("--directory", help="On the disk to use.")] = Path("/var/tmp"),
) -> None:
    """Kill agents in the middle of their episodes, and prove that nothing is lost or counted twice."""
    console = Console()
    # Ending this command in the ordinary way stops its server and its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = secrets.randbits(31) if seed is None else seed
    console.print(f"seed {seed}")
    plan = Plan(seed, processes, agents, episodes, kills, zombies, PATIENCE_SECONDS)
    connections = str(CONNECTIONS_EACH * (processes + zombies) + 20)
    with directory(parent) as folder:
        data, files = folder / "server", folder / "files"
        for made in (data, files):
            made.mkdir(mode=0o711)
        with EmbeddedServer(data, settings={"max_connections": connections}) as server:
            url = server.url("agents")
            asyncio.run(migrate(url))
            result = run(plan, url, files)
        for errors in sorted(files.glob("*/errors")):
            if result.stuck and (text := errors.read_text()):
                console.print(text[-2_000:], markup=False, soft_wrap=True)
    console.print(
        f"{processes} processes of {agents} agents, {result.killed} killed ({result.zombies} of them "
        f"stopped, replaced and woken up first), {result.stuck} stuck, {result.seconds:.0f} s",
        soft_wrap=True,
    )
    for count in fields(Verdict):
        console.print(f"  {count.name.replace('_', ' '):12} {getattr(result.verdict, count.name)}")
    console.print("nothing lost" if result.is_clean else "FAILED")
    raise typer.Exit(0 if result.is_clean else 1)


if __name__ == "__main__":
    typer.run(main)
