"""`qe privacy`: what leaves this database, what that costs, and who does not take part.

What belongs here: printing, and a person's choices. What does not: making releases
(`qe_core.runtime.team.privacy_manager`), pushing and pulling (`team`).
"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.help import Command, Group
from qe_core.cli.opening import wait_for
from qe_core.cli.screen import say, show_table
from qe_core.cli.team import AsJson, Kind, Limit, log_kind, opened_coordinator, print_json, show_log

if TYPE_CHECKING:
    from qe_core.runtime.team.reports import Audit, OptOutReport, PrivacyStatus
    from qe_core.store.team import OptOut, OptOutKind

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Say what leaves this database, what it costs, and who does not take part.",
)
Developer = Annotated[
    str | None, typer.Option("--developer", metavar="NAME", help="A developer, by the name in the settings.")
]
Project = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="A project, by the name in the settings.")
]
AgentName = Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="An agent, from qe status.")]
Everything = Annotated[bool, typer.Option("--everything", help="This whole database.")]


@app.command(cls=Command)
def status(is_json: AsJson = False) -> None:
    """Show what is protected, what all releases have cost, what is left, and what would leave next.

    Examples:
        qe privacy status
        qe privacy status --json | jq .releases_left
    """
    found = wait_for(_status())
    if is_json:
        print_json(found)
        return
    rules = found.rules
    rows = [
        ("sharing", "on" if rules.is_sharing else "off: nothing leaves (team.is_sharing, QE_TEAM_URL)"),
        ("protected", f"one {rules.protected_unit}: at most {found.pairs} pairs of it count in a release"),
        ("ε of one release", f"{rules.privacy_epsilon_per_release:g} at δ = {rules.privacy_delta:g}"),
        (
            "ε of all so far",
            f"{found.spent_epsilon:.2f} of {rules.privacy_epsilon_lifetime:g}, as if the same "
            f"{rules.protected_unit} had been in each; {found.next_epsilon:.2f} after one more",
        ),
        ("releases left", f"{found.releases_left:,}"),
        ("releases", f"{len(found.sent)} sent, {len(found.pending)} waiting to be sent"),
        ("waiting", f"{found.task_count:,} finished tasks"),
        (
            "noise on each count",
            f"±{found.scales.visits:.0f} visits, ±{found.scales.rewards / 100:,.0f} points of reward",
        ),
        ("next push", escape(found.next_words)),
    ]
    show_table("Privacy", ["what", "is"], rows)
    if found.opt_outs:
        lines = [
            (one.kind.value, escape(one.subject), escape(one.opted_out_by), f"{one.opted_out_at:%F %T}")
            for one in found.opt_outs
        ]
        show_table("Who does not take part", ["kind", "pseudonym or name", "by", "since (UTC)"], lines)


@app.command("opt-out", cls=Command)
def opt_out(
    developer: Developer = None,
    project: Project = None,
    agent: AgentName = None,
    is_everything: Everything = False,
    is_json: AsJson = False,
) -> None:
    """Keep a developer, a project, an agent or everything out of all releases from now on.

    It holds for the very next release, also for one that is being made. Releases that wait to be sent are
    withdrawn. What the team has already cannot be recalled.

    Examples:
        qe privacy opt-out --developer ada
        qe privacy opt-out --agent quality-gate
        qe privacy opt-out --everything
    """
    kind, name = _subject(developer, project, agent, is_everything)
    report = wait_for(_opted_out(kind, name))
    if is_json:
        print_json(report)
        return
    say(f"{_named(kind, name)} is in no release any more, beginning with the next")
    if report.withdrawn:
        say(f"{len(report.withdrawn)} releases that waited are withdrawn; what they cost stays spent")
    if report.being_sent:
        say(f"{len(report.being_sent)} releases were being sent at this moment and count as sent")
    if report.maybe_sent:
        say(f"{len(report.maybe_sent)} releases had been cut off while being sent; the team may have them")
    if report.sent_before:
        say(f"{report.sent_before} releases were sent before; they cannot be recalled")


@app.command("opt-in", cls=Command)
def opt_in(
    developer: Developer = None,
    project: Project = None,
    agent: AgentName = None,
    is_everything: Everything = False,
    is_json: AsJson = False,
) -> None:
    """Take an opt-out back, for what is recorded from now on; what was covered by it stays here for good.

    Example:
        qe privacy opt-in --developer ada
    """
    kind, name = _subject(developer, project, agent, is_everything)
    lifted = wait_for(_opted_in(kind, name))
    if is_json:
        print_json(lifted)
        return
    say(f"{_named(kind, name)} takes part again, with what is recorded from now on")


@app.command(cls=Command)
def audit(kind: Kind = None, limit: Limit = 50, is_json: AsJson = False) -> None:
    """Show every release with its price, whether ledger and releases agree, and the log.

    Examples:
        qe privacy audit
        qe privacy audit --json | jq .faults
    """
    found = wait_for(_audited(kind, limit))
    if is_json:
        print_json(found)
    else:
        rows = [
            (
                str(line.release_id),
                f"{line.made_at:%F %T}",
                f"{line.nano_rho / 1e9:.6f}",
                f"{line.spent_epsilon:.2f}",
                line.state,
            )
            for line in found.releases
        ]
        headings = ["release", "made (UTC)", "ρ", "ε of all so far", "state"]
        show_table("Releases, the oldest first", headings, rows, right="ρ, ε of all so far")
        for fault in found.faults:
            say(f"[red]{escape(fault)}[/]")
        if not found.faults:
            say(
                f"[green]ledger and releases agree[/]; ε = {found.spent_epsilon:.2f} of "
                f"{found.lifetime_epsilon:g} spent"
            )
        show_log(list(found.log), is_json=False)
    if found.faults:
        raise typer.Exit(1)


def _subject(
    developer: str | None, project: str | None, agent: str | None, is_everything: bool
) -> tuple["OptOutKind", str | None]:
    from qe_core.store.team import OptOutKind

    named = {OptOutKind.DEVELOPER: developer, OptOutKind.PROJECT: project, OptOutKind.AGENT: agent}
    chosen: list[tuple[OptOutKind, str | None]] = [
        (kind, name) for kind, name in named.items() if name is not None
    ]
    if is_everything:
        chosen.append((OptOutKind.DATABASE, None))
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --developer, --project, --agent, --everything")
    return chosen[0]


def _named(kind: "OptOutKind", name: str | None) -> str:
    return "this database" if name is None else f"{kind} {escape(name)}"


async def _status() -> "PrivacyStatus":
    async with opened_coordinator() as coordinator:
        return await coordinator.privacy.status()


async def _opted_out(kind: "OptOutKind", name: str | None) -> "OptOutReport":
    async with opened_coordinator() as coordinator:
        return await coordinator.privacy.opt_out(kind, name)


async def _opted_in(kind: "OptOutKind", name: str | None) -> "OptOut":
    async with opened_coordinator() as coordinator:
        return await coordinator.privacy.lift(kind, name)


async def _audited(kind: str | None, limit: int) -> "Audit":
    wanted = None if kind is None else log_kind(kind)
    async with opened_coordinator() as coordinator:
        return await coordinator.privacy.audit(limit, wanted)
