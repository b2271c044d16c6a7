"""The command ``python -m tests.secrets``: plant a thousand secrets, share, and search the team's server.

What belongs here: options, the table, the exit code. What does not: the search (`run`).
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from qe_core.store.server import EmbeddedServer
from tests.secrets.run import searched
from tests.secrets.table import as_markdown, is_clean, kinds


def main(
    seed: Annotated[int, typer.Option(min=0, help="Of the secrets.")] = 20_261,
    rounds: Annotated[int, typer.Option(min=1, help="Searches, each with other secrets.")] = 1,
) -> None:
    """Search every byte that reached the team's server for 1,000 planted secrets."""
    is_good = True
    for number in range(rounds):
        began_at = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="qe-secrets-") as place:
            Path(place).chmod(0o755)
            with EmbeddedServer(Path(place) / "local", settings={"fsync": "off"}) as local:
                evidence = asyncio.run(searched(Path(place), local, seed + number))
        typer.echo(as_markdown(evidence))
        said = evidence.said
        typer.echo(
            f"the contributor sent {said['sent']} releases, pulled {said['pulled']} tables, was refused "
            f"{said['refused']} times, and did not get through {sum(map(bool, said['trouble']))} times"
        )
        typer.echo(f"secrets: {kinds(evidence)}")
        typer.echo(
            f"seed {seed + number}, {evidence.pattern_count:,} forms, {evidence.releases} releases, "
            f"{round(time.monotonic() - began_at)} s: "
            f"{'nothing found' if is_clean(evidence) else 'A SECRET OR THE CONTROL DOES NOT HOLD'}"
        )
        is_good &= is_clean(evidence)
    raise typer.Exit(0 if is_good else 1)


if __name__ == "__main__":
    typer.run(main)
