"""`python -m tests.team_interleavings`: the long form, many teams and many steps each, with a tally.

What belongs here: the command. What does not: rules and checks (`machine`).
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import typer
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from qe_core.store import migrate
from qe_core.store.server import EmbeddedServer
from tests.conftest import TEMPLATE, THROWAWAY_SETTINGS, memory_directory
from tests.team_interleavings.machine import machine


def main() -> None:
    """Play as many teams as asked for; fails with the shortest story that breaks a rule."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--teams", type=int, default=30, help="stories to play (default: 30)")
    parser.add_argument("--steps", type=int, default=25, help="longest story (default: 25)")
    wanted = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="qe-interleavings-", dir=memory_directory()))
    directory.chmod(0o711)
    long = settings(
        max_examples=wanted.teams,
        stateful_step_count=wanted.steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    began = time.monotonic()
    try:
        with EmbeddedServer(directory / "postgres", settings=THROWAWAY_SETTINGS) as server:
            asyncio.run(migrate(server.url(TEMPLATE)))
            played = machine(server)
            run_state_machine_as_test(played, settings=long)
    finally:
        shutil.rmtree(directory)
    for what, times in sorted(played.tally.items()):
        typer.echo(f"{times:6,} {what}")
    typer.echo(f"all agree, nothing counted twice ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
