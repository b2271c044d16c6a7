"""`qe config`: the effective settings and where each came from.

What belongs here: showing settings. What does not: their meaning (`qe_core.config`).
"""

import json
from typing import Annotated

import typer
from rich.markup import escape

from qe_core.cli.help import Command
from qe_core.cli.screen import show_table

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show the effective settings.")


@app.command(cls=Command)
def show(
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON: key, value, origin.")] = False,
) -> None:
    """Show every setting, its value and where that came from.

    Values come from defaults, then learning.json in the working directory (or the file QE_SETTINGS names),
    then variables like QE_LEARNING__DISCOUNT.

    Examples:
        qe config show
        QE_LEARNING__DISCOUNT=0.9 qe config show --json
    """
    from qe_core.config import flatten, load_settings  # keeps `qe --help` quick

    loaded = load_settings()
    values = flatten(loaded.values)
    if is_json:
        rows = [
            {"key": key, "value": value, "origin": str(loaded.origins[key])} for key, value in values.items()
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    shown = [
        (key, escape(str(value)), escape(str(loaded.origins[key])) if loaded.origins[key].name else "default")
        for key, value in values.items()
    ]
    show_table("Settings", ["setting", "value", "origin"], shown)


@app.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of learning.json.

    Example:
        qe config schema > learning.schema.json
    """
    from qe_core.config import settings_schema

    typer.echo(json.dumps(settings_schema(), indent=2))
