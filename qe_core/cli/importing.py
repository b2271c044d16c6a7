"""`qe import`: bring in experiences from any system.

What belongs here: arguments and what is said afterwards. What does not: importing
(`qe_core.runtime.importing`).
"""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import progress_shown, say, show_table
from qe_core.runtime.formats import FileFormat

if TYPE_CHECKING:
    from qe_core.runtime.importing import ImportOptions, ImportReport
    from qe_core.store.identity import Identity

EXAMPLE_AGENT = "test-executor"


def import_files(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Files to import.")] = None,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="Format, where the extension does not say it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Source of rows that name none; import:<file name> by default.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Set bad rows aside in FILE.bad.EXT and import the others.")
    ] = False,
    developer: Annotated[
        str | None, typer.Option(help="Who made these experiences; only a keyed pseudonym is stored.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="What they are about; only a keyed pseudonym is stored.")
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the documented columns (JSON Schema with --json) and stop."),
    ] = False,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print the result, or the schema, as JSON.")
    ] = False,
) -> None:
    """Import experiences from JSON Lines, CSV or Parquet files.

    A file is checked whole before anything is written: a bad file names its first bad rows and changes
    nothing. An interrupted import continues where it stopped; a file imported before adds nothing. Afterwards
    `qe train --only-tables` or the web UI turns the experiences into Q-tables.

    Examples:
        qe import --schema                     the columns, their ranges and an example
        qe import --schema --format csv        example rows as CSV
        qe import --schema --json              JSON Schema of a row
        qe import runs.jsonl
        qe import --skip-bad nightly/*.parquet
        qe import --developer ada@example.com --project checkout runs.jsonl
    """
    if schema:
        _show_schema(file_format, is_json)
        return
    if not files:
        raise typer.BadParameter("name at least one file, or say --schema", param_hint="FILE")
    from qe_core.runtime.identity import named_identity  # keeps `qe --help` quick
    from qe_core.runtime.importing import ImportOptions

    options = ImportOptions(file_format, source, skip_bad)
    reports = wait_for(_import_all(files, options, named_identity(developer, project)))
    if is_json:
        typer.echo(json.dumps([_as_json(report) for report in reports], indent=2))
        return
    for report in reports:
        say(_sentence(report))


async def _import_all(
    files: list[Path], options: "ImportOptions", identity: "Identity"
) -> list["ImportReport"]:
    from qe_core.fleet import registry
    from qe_core.runtime.importing import import_file

    fleet, now = registry(), datetime.now(UTC)
    async with opened_store(identity) as store:
        with progress_shown() as progress:
            return [await import_file(store, path, fleet, now, options, progress) for path in files]


def _sentence(report: "ImportReport") -> str:
    parts = [f"{report.rows_new:,} new"]
    if report.rows_known:
        parts.append(f"{report.rows_known:,} already there")
    if report.rows_repeated:
        parts.append(f"{report.rows_repeated:,} repeated within the file")
    if report.rows_bad:
        parts.append(f"{report.rows_bad:,} bad, set aside in {report.bad_file}")
    resumed = f", continued after row {report.resumed_after_row:,}" if report.resumed_after_row else ""
    return escape(
        f"{report.file_name}: {report.rows_read:,} rows as {report.source}{resumed}: {', '.join(parts)}"
    )


def _as_json(report: "ImportReport") -> dict[str, str | int | None]:
    return {
        "file": report.file_name,
        "source": report.source,
        "rows": report.rows_read,
        "new": report.rows_new,
        "already_there": report.rows_known,
        "repeated": report.rows_repeated,
        "bad": report.rows_bad,
        "bad_file": None if report.bad_file is None else str(report.bad_file),
        "resumed_after_row": report.resumed_after_row,
    }


def _show_schema(file_format: FileFormat | None, is_json: bool) -> None:
    from qe_core.fleet import registry
    from qe_core.runtime.importing import COLUMNS, example_rows, json_schema

    fleet = registry()
    if is_json:
        typer.echo(json.dumps(json_schema(tuple(fleet)), indent=2))
        return
    rows = example_rows(fleet.get(EXAMPLE_AGENT))
    if file_format is FileFormat.CSV:
        typer.echo(_as_csv(rows), nl=False)
        return
    if file_format is not None:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    columns = [
        (column.name, column.kind, "yes" if column.is_required else "", column.meaning) for column in COLUMNS
    ]
    features = (
        "state.<feature>",
        "number or label",
        "",
        "instead of state: a number is binned, a label is taken as is",
    )
    show_table(
        "One experience: one step of one episode of one agent",
        ["column", "kind", "required", "meaning"],
        [tuple(escape(cell) for cell in row) for row in [*columns, features]],
    )
    agents = [
        (
            contract.name,
            contract.state_count,
            ", ".join(feature.name for feature in contract.state_model.features()),
            ", ".join(contract.action_names),
        )
        for contract in fleet
    ]
    show_table("The agents", ["agent", "states", "features", "actions"], agents, right="states")
    say("Example rows (JSON Lines):")
    for row in rows:
        typer.echo(json.dumps(row))


def _as_csv(rows: list[dict[str, object]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
