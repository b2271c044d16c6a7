"""The command ``python -m tests.gates``: options, progress, the tables, the exit code.

What belongs here: what a person sees and gives. What does not: the gates (`rates`, `checks`).
"""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tests.gates.checks import faults, naive_rules, sound_ramps, tuning
from tests.gates.rates import false_discoveries, false_ships, power
from tests.gates.sizes import LONG, SHORT, Row
from tests.gates.table import as_markdown, as_records, is_clean

DEFAULT_SEED = 20_251
GATES = (false_ships, false_discoveries, power, faults, sound_ramps, naive_rules, tuning)


def main(
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = DEFAULT_SEED,
    short: Annotated[bool, typer.Option(help="A hundredth of it, in well under a minute.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="A gate, such as power. Repeat for more.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where gates.json and gates.md go.")] = None,
) -> None:
    """Play tens of thousands of A/B tests through the decision code and count its mistakes."""
    chosen = [gate for gate in GATES if not only or gate.__name__ in only]
    if only and len(chosen) < len(set(only)):
        raise typer.BadParameter(f"known gates: {', '.join(gate.__name__ for gate in GATES)}")
    sizes = SHORT if short else LONG
    console = Console(stderr=True)
    began_at = time.monotonic()
    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=None if only else sizes.total)
        for gate in chosen:
            progress.update(task, description=gate.__name__)
            rows += gate(sizes, seed, lambda: progress.advance(task))
    lasted = round(time.monotonic() - began_at)
    typer.echo(as_markdown(rows))
    typer.echo(f"seed {seed}, {lasted} s: {'every gate holds' if is_clean(rows) else 'A GATE DOES NOT HOLD'}")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "gates.md").write_text(as_markdown(rows))
        record = {"seed": seed, "seconds": lasted, "is_short": short, "rows": as_records(rows)}
        (output / "gates.json").write_text(json.dumps(record, indent=1) + "\n")
    raise typer.Exit(0 if is_clean(rows) else 1)


if __name__ == "__main__":
    typer.run(main)
