"""`qe export`: write experiences or learned values to a file.

What belongs here: arguments and what is said afterwards. What does not: exporting
(`qe_core.runtime.exporting`).
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import progress_shown, say
from qe_core.runtime.formats import FileFormat, format_of


class Exported(StrEnum):
    """What can be exported."""

    EXPERIENCES = "experiences"
    Q_TABLES = "q-tables"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; .jsonl, .csv or .parquet.")],
    what: Annotated[Exported, typer.Option(help="What to export.")] = Exported.EXPERIENCES,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent's.")] = None,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="Format, where the extension does not say it.")
    ] = None,
) -> None:
    """Export experiences or Q-tables; the file appears when it is complete.

    Exported experiences can be imported elsewhere and give the same rows there.

    Examples:
        qe export runs.parquet
        qe export runs.jsonl --agent test-generator
        qe export values.csv --what q-tables
    """
    chosen = format_of(file, file_format)
    rows = wait_for(_export(file, what, agent, chosen))
    say(escape(f"{rows:,} rows in {file}"))


async def _export(file: Path, what: Exported, agent: str | None, file_format: FileFormat) -> int:
    from qe_core.fleet import registry  # keeps `qe --help` quick
    from qe_core.runtime.exporting import export_experiences, export_q_tables

    run = export_experiences if what is Exported.EXPERIENCES else export_q_tables
    async with opened_store() as store:
        with progress_shown() as progress:
            return await run(store, registry(), agent, file, file_format, progress)
