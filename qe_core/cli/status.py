"""`qe status`: what each agent knows.

What belongs here: printing the overview. What does not: gathering it (`qe_core.runtime.overview`).
"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import show_table

if TYPE_CHECKING:
    from qe_core.runtime.overview import Overview

VERDICT_STYLES = {"converged": "green", "diverging": "red", "stale": "yellow", "learning": "cyan"}


def status(
    is_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list, one object for each agent.")
    ] = False,
) -> None:
    """Show what each agent has experienced and learned, and the tables it shares.

    Examples:
        qe status
        qe status --json | jq '.[] | select(.convergence == "converged") | .agent'
    """
    overview = wait_for(_overview())
    if is_json:
        typer.echo(json.dumps([line.as_json() for line in overview.agents], indent=2))
        return
    rows = [
        (
            line.agent,
            line.category,
            f"{line.experiences:,}",
            f"{line.episodes:,}",
            f"{line.updates:,}",
            f"{line.states_visited:,}",
            styled_verdict(line.convergence),
        )
        for line in overview.agents
    ]
    headings = ["agent", "category", "experiences", "episodes", "updates", "states", "convergence"]
    show_table("Agents", headings, rows, right="experiences, episodes, updates, states")
    shared = [
        (
            table.level,
            table.name,
            f"{table.states:,}",
            f"{table.updates:,}",
            table.version,
            f"{table.updated_at:%F %T}",
        )
        for table in overview.shared_tables
    ]
    if not shared:
        return
    headings = ["level", "table", "states", "updates", "version", "changed (UTC)"]
    show_table("Shared tables", headings, shared, right="states, updates, version")


def styled_verdict(verdict: str) -> str:
    """Return a convergence verdict with the colour it has everywhere."""
    style = VERDICT_STYLES.get(verdict)
    return f"[{style}]{verdict}[/]" if style else verdict


async def _overview() -> "Overview":
    from qe_core.fleet import registry  # keeps `qe --help` quick
    from qe_core.runtime.overview import fleet_overview

    async with opened_store() as store:
        return await fleet_overview(store, registry())
