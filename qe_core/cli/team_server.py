"""`qe team found | invite | revoke | members | build`: looking after the team's server.

What belongs here: the commands of whoever owns the central database. What does not: a contributor's own
commands (`team`), and what is done (`qe_core.store.central`, `qe_core.runtime.team.building`).
"""

import getpass
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import wait_for
from qe_core.cli.screen import note, progress_shown, say, show_table

if TYPE_CHECKING:
    from qe_core.runtime.team.building import AgentBuild, BuildReport
    from qe_core.store.central import Member, TeamCuration

MemberName = Annotated[
    str, typer.Argument(metavar="NAME", help="A machine's or person's name; contributors never see it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def found(
    name: Annotated[
        str | None, typer.Option("--name", help="The team's name, for people; the database's by default.")
    ] = None,
) -> None:
    """Make this project's database the team's server.

    Creates the roles of members and closes everything else to them. Safe to repeat; repeat it after a restore
    or an upgrade.

    Examples:
        qe team found --name payments
        QE_DATABASE_URL=postgresql://owner@db.example/qe_team qe team found
    """
    is_new, openings = wait_for(_founded(name))
    say("this database is the team's server now" if is_new else "roles and rights are as they should be")
    for opening in openings:
        note(f"this login could not close: {opening}; see docs/how-to/run-a-team-server.md")
    if is_new:
        say("next: qe team invite NAME")


def invite(
    name: MemberName,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST[:PORT]",
            help="The server as the member sees it; as from here by default.",
        ),
    ] = None,
) -> None:
    """Create a login for one contributor, and print its address once.

    The address holds the password, which is kept nowhere: hand it over by a channel you trust, to be set as
    QE_TEAM_URL there. One login for each machine and each runner. If it is lost, revoke and invite again.

    Examples:
        qe team invite ada-laptop
        qe team invite ci --address db.example:5432 > ci.url
    """
    typer.echo(wait_for(_invited(name, address)))


def revoke(
    name: MemberName,
    is_left_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave out of further builds all that this member ever sent."),
    ] = False,
) -> None:
    """End a member's login and its sessions, at once.

    What the member sent still counts, unless it is left out. Tables that were published stay as they are;
    the next build publishes new ones.

    Examples:
        qe team revoke ada-laptop
        qe team revoke ci --leave-out && qe team build
    """
    count = wait_for(_revoked(name, is_left_out))
    say(
        f"{escape(name)} cannot log in any more"
        + (f"; {count:,} contributions are left out" if count else "")
    )


def members(is_json: AsJson = False) -> None:
    """Show who was invited, and how much came from each.

    Examples:
        qe team members
        qe team members --json | jq '.[] | select(.releases == 0).name'
    """
    known = wait_for(_members())
    if is_json:
        typer.echo(json.dumps(_plain(known), indent=2))
        return
    rows = [
        (
            escape(member.name),
            "yes" if member.is_active else "revoked",
            f"{member.invited_at:%F %T}",
            None if member.last_submitted_at is None else f"{member.last_submitted_at:%F %T}",
            f"{member.releases:,}",
            f"{member.bytes:,}",
        )
        for member in known
    ]
    columns = ["member", "may log in", "invited (UTC)", "last release (UTC)", "releases", "bytes"]
    show_table("Members", columns, rows, right="releases, bytes")


def build(is_json: AsJson = False) -> None:
    """Make tables of what members contributed, for everybody to pull.

    Nothing new, nothing published. The graph does this by itself on the team's server.

    Examples:
        qe team build
        qe team build --json | jq '.[] | select(.refusal)'
    """
    report = wait_for(_built())
    if is_json:
        typer.echo(json.dumps(_plain(report.agents), indent=2))
        return
    rows = [
        (
            one.agent,
            _outcome(one),
            f"{one.known_pairs:,}",
            one.contributors,
            one.left_out,
            len(one.set_aside),
        )
        for one in report.agents
    ]
    columns = ["agent", "table", "known pairs", "contributors", "left out", "set aside"]
    show_table("The team's tables", columns, rows, right="known pairs, contributors, left out, set aside")
    refusals = [one.refusal.removeprefix(f"{one.agent}: ") for one in report.agents if one.refusal]
    for refusal in dict.fromkeys(refusals):
        note(f"{refusals.count(refusal)} of {len(report.agents)} agents: {refusal}")
    for one in report.agents:
        for release_id, why in one.set_aside:
            note(f"{one.agent}: release {release_id} was set aside: {why}")


@asynccontextmanager
async def opened_curation() -> AsyncIterator["TeamCuration"]:
    """Yield this project's database as its curator; an embedded server is started and brought up to date.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
    """
    from qe_core.cli.opening import project_database  # keeps `qe --help` quick
    from qe_core.store.central import TeamCuration

    async with TeamCuration.connect(await project_database()) as curation:
        yield curation


async def _founded(name: str | None) -> tuple[bool, list[str]]:
    from qe_core.config import configured_database_url
    from qe_core.runtime.team.spaces import shareable_spaces

    async with opened_curation() as curation:
        is_new = await curation.found(getpass.getuser(), name)
        if configured_database_url() is None:  # nobody else has anything on the embedded server
            await curation.close_other_databases()
        await curation.register(shareable_spaces().values(), getpass.getuser())
        return is_new, await curation.openings()


async def _invited(name: str, address: str | None) -> str:
    async with opened_curation() as curation:
        return await curation.invite(name, getpass.getuser(), address)


async def _revoked(name: str, is_left_out: bool) -> int:
    async with opened_curation() as curation:
        return await curation.revoke(name, getpass.getuser(), is_left_out=is_left_out)


async def _members() -> list["Member"]:
    async with opened_curation() as curation:
        return await curation.members()


async def _built() -> "BuildReport":
    from qe_core.config import load_settings
    from qe_core.runtime.team.building import build as build_tables

    settings = load_settings().values
    async with opened_curation() as curation:
        with progress_shown() as progress:
            return await build_tables(curation, settings, progress=progress, by=getpass.getuser())


def _outcome(one: "AgentBuild") -> str:
    if one.refusal is not None:
        return "too little"
    return "unchanged" if one.version is None else f"version {one.version}"


def _plain(value: object) -> object:
    from qe_core.runtime.json_values import as_json

    return as_json(value)
