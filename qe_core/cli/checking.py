"""`qe checks`: run every asset check, with an exit code.

What belongs here: printing verdicts. What does not: the checks (`qe_pipelines`).
"""

import json
from collections import Counter
from typing import Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import wait_for
from qe_core.cli.screen import progress_shown, say, show_table
from qe_core.runtime.graph import GraphError, Message, run_program

VERDICTS = {"passed": "[green]passed[/]", "warning": "[yellow]warning[/]", "failed": "[red]failed[/]"}


def checks(
    is_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list, one object for each check.")
    ] = False,
) -> None:
    """Run all asset checks on what is stored; exit code 1 when one of severity ERROR fails.

    Examples:
        qe checks
        qe checks --json
    """
    results: list[Message] = []
    errors: list[str] = []

    def hear(message: Message) -> None:
        if "error" in message:
            errors.append(str(message["error"]))
        if "check" in message:
            results.append(message)
            progress("checking", len(results), None)

    with progress_shown() as progress:
        progress("starting Dagster", 0, None)
        code, words = wait_for(run_program("qe_pipelines.checks", [], hear))
    if code and not results:
        raise GraphError("the checks could not run: " + ("\n".join(errors) or words))
    if is_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        _show(results)
    if code:
        raise typer.Exit(code)


def _show(results: list[Message]) -> None:
    rows = [
        (
            escape(str(result.get("asset", ""))),
            escape(str(result["check"])),
            VERDICTS[_verdict(result)],
            escape(str(result.get("description") or "")),
        )
        for result in sorted(results, key=lambda result: bool(result.get("passed")))
    ]
    show_table("Checks", ["asset", "check", "result", "what it says"], rows)
    count = Counter(map(_verdict, results))
    warned, failed = count["warning"], count["failed"]
    say(f"{len(results)} checks: {count['passed']} passed, {warned} with a warning, {failed} failed")


def _verdict(result: Message) -> str:
    if result.get("passed"):
        return "passed"
    return "warning" if result.get("severity") == "WARN" else "failed"
