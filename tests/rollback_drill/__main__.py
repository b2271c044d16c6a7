"""The command ``python -m tests.rollback_drill``: 200 tasks at work, policies poisoned, the server killed.

What belongs here: options, what is printed, the exit code. What does not: the drill (`run`), the kills
(`kills`), the deployment (`deployment`).
"""

import asyncio
import secrets
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qe_core.store import migrate
from tests.faults.place import Server, directory
from tests.receiving import receivers
from tests.rollback_drill.deployment import deployed
from tests.rollback_drill.kills import Killed, kill_at
from tests.rollback_drill.run import Plan, Result, drill

AGENTS = ("test-executor", "quality-gate", "flaky-test-hunter", "chaos-engineer", "fleet-commander")
PATIENCE_SECONDS = 600.0
SENSOR = "policy_rollbacks"


def main(
    seed: Annotated[int | None, typer.Option(help="Repeat these tasks.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Of agents, at once.")] = 4,
    tasks: Annotated[int, typer.Option(min=1, help="At once, of each agent in each process.")] = 10,
    work_seconds: Annotated[float, typer.Option(min=0.0, help="A step of a task takes at most.")] = 0.5,
    healthy_tasks: Annotated[int, typer.Option(min=400, help="Of each agent before it is poisoned.")] = 600,
    parent: Annotated[Path, typer.Option("--directory", help="On the disk to use.")] = Path("/var/tmp"),
) -> None:
    """Poison the policies of agents at work on a real deployment, and time what it takes to be safe again."""
    console = Console(highlight=False)
    # Ending this command in the ordinary way stops its deployment, its server and its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = secrets.randbits(31) if seed is None else seed
    console.print(f"seed {seed}")
    plan = Plan(seed, AGENTS, processes, tasks, work_seconds, healthy_tasks, PATIENCE_SECONDS)
    with directory(parent) as folder, receivers() as start:
        home, diaries, data = folder / "home", folder / "diaries", folder / "killed"
        for made in (home, diaries, data):
            made.mkdir(mode=0o711)
        receiver = start(200)
        with deployed(home, receiver.url, {}) as deployment:
            console.print(f"deployment: {deployment.url}")
            url = deployment.database_url
            result = drill(plan, url, diaries, receiver, lambda: time.sleep(0.5), console.print)
            ticks = [
                tick["endTimestamp"] - tick["timestamp"]
                for tick in deployment.ticks(SENSOR) if tick["endTimestamp"]
            ]  # fmt: skip
        show(console, result, ticks)
        killed = killed_servers(data, console)
    show_kills(console, killed)
    is_safe = result.is_safe and all(one.is_right for one in killed)
    console.print("safe" if is_safe else "FAILED")
    raise typer.Exit(0 if is_safe else 1)


def killed_servers(folder: Path, console: Console) -> list[Killed]:
    """Kill a server of its own at every point of the transaction; return what was left."""
    server = Server(folder, folder / "server.log")
    server.start()
    try:
        url = server.url("drill")
        asyncio.run(migrate(url))
        console.print("killing a database server in the middle of rollbacks")
        return list(kill_at(server, url))
    finally:
        server.embedded.stop()


def show(console: Console, result: Result, ticks: Sequence[float]) -> None:
    """Print what came of the drill."""
    plan = result.plan
    console.print(
        f"{plan.tasks_at_once} tasks at once in {plan.processes} processes; {result.tasks_finished:,} done; "
        f"false alarms before: {', '.join(result.false_alarms) or 'none'}"
    )
    table = Table("agent", "follows", title="seconds from the first decision by the bad policy")
    for heading in (
        "rolled back", "last bad decision", "alert arrived", "tasks harmed", "updates refused",
        "processes on the restored policy", "restored",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for one in result.recoveries:
        table.add_row(
            one.agent,
            "promoted version" if one.mode == "serving" else "live table",
            f"{one.rolled_back_at - one.first_harm_at:.1f}",
            f"{one.harm_to_safe_seconds:.1f}",
            f"{one.alert_at - one.first_harm_at:.1f}",
            f"{one.tasks_harmed:,}",
            f"{one.updates_refused:,}",
            f"{one.processes} of {plan.processes}",
            "yes" if one.is_restored else "NO",
        )
    console.print(table)
    late = [one.safe_at - one.rolled_back_at for one in result.recoveries]
    if late:
        console.print(
            f"last bad decision: {max(late) * 1000:+.0f} ms from the rollback's event, at the latest; "
            f"a tick of the watch takes {statistics.median(ticks):.1f} s"
        )
    for one in result.recoveries:
        console.print(f"{one.agent}: {one.reason}", soft_wrap=True)
    if result.errors:
        console.print(result.errors[-2_000:], markup=False, soft_wrap=True)


def show_kills(console: Console, killed: Sequence[Killed]) -> None:
    """Print what the kills left."""
    table = Table("agent follows", "server killed while the rollback was", "state found", "repeated")
    for one in killed:
        where = f"writing {one.point}" if "_" in one.point or one.point == "alerts" else one.point
        follows = "promoted version" if one.mode == "serving" else "live table"
        table.add_row(follows, where, one.state, "yes" if one.is_repeatable else "NO")
    console.print(table)
    counts = Counter(one.state for one in killed)
    slowest = max(one.restart_seconds for one in killed)
    console.print(f"{dict(counts)}; the server answered again after {slowest:.2f} s at most")


if __name__ == "__main__":
    typer.run(main)
