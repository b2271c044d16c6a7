"""`qe team`: learning together with others through one server.

What belongs here: printing, and what a contributor does. What does not: what the server's curator does
(`team_server`), privacy (`privacy`), pushing and pulling themselves (`qe_core.runtime.team`).
"""

import getpass
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from qe_core.cli import team_server
from qe_core.cli.help import Command, Group
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import progress_shown, say, show_table

if TYPE_CHECKING:
    from qe_core.runtime.team.coordinator import TeamLearningCoordinator
    from qe_core.runtime.team.reports import PullReport, PushReport, TeamStatus
    from qe_core.store.team import TeamEvent, TeamLogEntry

MOST_SHOWN = 1_000
DETAIL_CHARACTERS = 100

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn together with others: noisy counts leave, one table for all comes back.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST_SHOWN, help="At most so many lines.")]
Kind = Annotated[
    str | None, typer.Option("--kind", metavar="KIND", help="Only these: release, push, pull, refusal, …")
]

app.command("found", cls=Command)(team_server.found)
app.command("invite", cls=Command)(team_server.invite)
app.command("revoke", cls=Command)(team_server.revoke)
app.command("members", cls=Command)(team_server.members)
app.command("build", cls=Command)(team_server.build)


@app.command(cls=Command)
def status(is_json: AsJson = False) -> None:
    """Show what waits to be shared, what was, and what came back.

    Examples:
        qe team status
        qe team status --json | jq '.tables[] | select(.newer != null) | .agent'
    """
    found = wait_for(_status())
    if is_json:
        print_json(found)
        return
    _say_status(found)
    rows = [
        (
            escape(table.agent),
            table.version or None,
            table.newer,
            f"{table.known_pairs:,}",
            "[green]yes[/]" if table.is_merged else "[yellow]no: qe team pull[/]",
        )
        for table in found.tables
        if table.version or table.newer
    ]
    if rows:
        headings = ["agent", "version", "newer on the server", "pairs known", "merged"]
        show_table("What the team knows", headings, rows, right="version, newer on the server, pairs known")


@app.command(cls=Command)
def push(is_json: AsJson = False) -> None:
    """Release what has ended since the last push, with noise, and send it.

    Each release costs privacy, as qe privacy status shows; too few tasks wait for more. What could not be
    sent waits and goes with the next push. Pushing twice changes nothing. The graph does this on schedule.

    Examples:
        qe team push
        qe team push --json | jq -r .prepared.outcome
    """
    report = wait_for(_pushed())
    if is_json:
        print_json(report)
    else:
        say(escape(report.words))
    if report.is_refused:
        raise typer.Exit(1)


@app.command(cls=Command)
def pull(
    again: Annotated[
        bool, typer.Option("--again", help="Bring tables too that qe team undo took back.")
    ] = False,
    is_json: AsJson = False,
) -> None:
    """Bring the team's newest tables and merge them into what the agents learned themselves.

    Own evidence stays as it is. The graph does this on its schedule.

    Examples:
        qe team pull
        qe team pull --again
    """
    _show_pull(wait_for(_pulled(again)), is_json, "nothing newer on the team's server")


@app.command(cls=Command)
def undo(
    pull_id: Annotated[
        UUID | None,
        typer.Argument(metavar="PULL", help="Which pull, from qe team log; the newest by default."),
    ] = None,
    is_json: AsJson = False,
) -> None:
    """Take a pull back: agents' tables are built again as if it had not been.

    Works with the server away. The same tables come back only with qe team pull --again.

    Example:
        qe team undo
    """
    _show_pull(wait_for(_undone(pull_id)), is_json, "nothing had changed since")


@app.command(cls=Command)
def log(kind: Kind = None, limit: Limit = 50, is_json: AsJson = False) -> None:
    """Show everything that passed between this database and its team, the newest first.

    Pushes, pulls, undoing, refusals, conflicts with both sides' figures, opt-outs and what each release cost.

    Examples:
        qe team log
        qe team log --kind conflict --json | jq '.[0].details.pairs[0]'
    """
    show_log(wait_for(_entries(kind, limit)), is_json)


def show_log(entries: list["TeamLogEntry"], is_json: bool) -> None:
    """Print lines of the log of team learning."""
    if is_json:
        print_json(entries)
        return
    if not entries:
        say("nothing has passed between this database and a team")
        return
    rows = [
        (f"{entry.logged_at:%F %T}", entry.kind.value, escape(entry.logged_by), escape(_told(entry)))
        for entry in entries
    ]
    show_table("Team learning, the newest first", ["when (UTC)", "what", "by", "details"], rows)


def _told(entry: "TeamLogEntry") -> str:
    text = ", ".join(f"{name}: {value}" for name, value in plain(dict(entry.details)).items())
    return text if len(text) <= DETAIL_CHARACTERS else text[: DETAIL_CHARACTERS - 1] + "…"


def _say_status(found: "TeamStatus") -> None:
    if not found.is_sharing:
        say("sharing is [yellow]off[/]: nothing leaves this database (team.is_sharing in learning.json)")
    if found.server is None:
        say("no team's server is named (QE_TEAM_URL)")
    else:
        state = f"[red]away[/]: {escape(found.trouble)}" if found.trouble else _members(found.members)
        say(f"the team's server {escape(found.server)} {state}")
    say(
        f"{found.task_count:,} finished tasks wait for a release; {found.sent} releases sent, "
        f"{found.pending} waiting to be sent"
    )


def _members(members: int | None) -> str:
    return "was not asked" if members is None else f"has {members} contributors"


def _show_pull(report: "PullReport", is_json: bool, when_none: str) -> None:
    if is_json:
        print_json(report)
        return
    if report.trouble:
        say(escape(report.trouble))
    elif not report.changes and not report.rebuilt:
        say(when_none)
    if report.ignored:
        say(f"left alone, for their contracts differ from those here: {escape(', '.join(report.ignored))}")
    if report.rebuilt:
        rows = [
            (escape(one.agent), one.team_version or None, one.taken, one.merged, one.kept, one.conflicts)
            for one in report.rebuilt
        ]
        headings = ["agent", "team's version", "taken", "merged", "own alone", "conflicts"]
        right = ", ".join(headings[1:])
        show_table("Agents' tables built again, pairs", headings, rows, right=right)


def log_kind(name: str) -> "TeamEvent":
    """Return the kind of line of that name.

    Raises:
        ConfigError: there is none.
    """
    from qe_core.errors import ConfigError, nearest
    from qe_core.store.team import TeamEvent

    known = [kind.value for kind in TeamEvent]
    if name not in known:
        raise ConfigError(f"the log knows no {name!r}; {nearest(name, known, len(known))}")
    return TeamEvent(name)


def plain(value: Any) -> Any:
    """Return a report as JSON values."""
    from qe_core.runtime.json_values import as_json

    return as_json(value)


def print_json(value: Any) -> None:
    """Print a report as JSON."""
    typer.echo(json.dumps(plain(value), indent=2))


@asynccontextmanager
async def opened_coordinator() -> AsyncIterator["TeamLearningCoordinator"]:
    """Yield the coordinator of the project's database, with this process's key and server."""
    from qe_core.config import load_settings  # keeps `qe --help` quick
    from qe_core.runtime.team.coordinator import TeamLearningCoordinator

    async with opened_store() as store:
        yield TeamLearningCoordinator.of(store, load_settings().values, by=getpass.getuser())


async def _status() -> "TeamStatus":
    async with opened_coordinator() as coordinator:
        return await coordinator.status()


async def _pushed() -> "PushReport":
    with progress_shown() as progress:
        async with opened_coordinator() as coordinator:
            return await coordinator.push_to_central(progress)


async def _pulled(again: bool) -> "PullReport":
    async with opened_coordinator() as coordinator:
        return await coordinator.sync_from_central(again=again)


async def _undone(pull_id: UUID | None) -> "PullReport":
    async with opened_coordinator() as coordinator:
        return await coordinator.undo_pull(pull_id)


async def _entries(kind: str | None, limit: int) -> list["TeamLogEntry"]:
    wanted = None if kind is None else log_kind(kind)
    async with opened_store() as store:
        return await store.team_log.entries(limit, wanted)
