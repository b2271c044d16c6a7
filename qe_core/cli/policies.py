"""`qe policy`: frozen versions of what agents decide by, and which of them serve.

What belongs here: printing, and a person's changes. What does not: tests of candidates (`ab_tests`) and
taking a policy back (`rollback`).
"""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qe_core.cli.help import Command, Group
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import say, show_table

if TYPE_CHECKING:
    from qe_core.runtime.rollout.snapshots import Snapshot
    from qe_core.store.policies import PolicyChange, PolicyVersion, RollbackEvent, ServingState

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Freeze what agents decide by, and say which version serves.",
)
AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name, from qe status.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", help="The version's number, from qe policy list.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept with the change.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", cls=Command)
def list_policies(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="Whose versions; all agents by default.")
    ] = None,
    is_json: AsJson = False,
) -> None:
    """Show what agents serve, or the versions of one.

    Examples:
        qe policy list
        qe policy list test-executor
        qe policy list --json | jq '.[] | select(.mode == "serving")'
    """
    if agent is None:
        states = wait_for(_states())
        if is_json:
            typer.echo(json.dumps(_plain(states), indent=2))
            return
        rows = [(escape(of.agent), _mode(of), of.stable, of.candidate, _test(of)) for of in states]
        show_table("Policies", ["agent", "mode", "stable", "candidate", "A/B test"], rows)
        return
    state, versions, rollbacks = wait_for(_versions(agent))
    if is_json:
        content = {"serving": state, "versions": versions, "rollbacks": rollbacks}
        typer.echo(json.dumps(_plain(content), indent=2))
        return
    say(f"{escape(agent)} is {_mode(state)}")
    names = {state.stable: "stable", state.candidate: "candidate"}
    lines = [
        (
            version.number,
            names.get(version.number),
            f"{version.created_at:%F %T}",
            f"{version.states:,}",
            f"{version.visits:,}",
            _condition(version),
            escape(version.created_by),
            escape(version.reason),
        )
        for version in versions
    ]
    headings = ["version", "is", "frozen (UTC)", "states", "visits", "condition", "by", "reason"]
    show_table("Versions, the newest first", headings, lines, right="version, states, visits")
    if rollbacks:
        show_table(*_rollback_table(rollbacks))


@app.command(cls=Command)
def show(number: Number, is_json: AsJson = False) -> None:
    """Show one version.

    Example:
        qe policy show 12
    """
    version = wait_for(_version(number))
    content = _plain(version)
    if is_json:
        typer.echo(json.dumps(content, indent=2))
        return
    rows = [(name, escape(str(value))) for name, value in content.items() if value is not None]
    show_table(f"Version {number}", ["what", "is"], rows)


@app.command(cls=Command)
def snapshot(
    agents: Annotated[
        list[str] | None,
        typer.Argument(metavar="AGENT...", help="Whose; all that have experienced anything by default."),
    ] = None,
    why: Annotated[str, typer.Option("--why", help="Why; kept with the version.")] = "on demand",
    is_json: AsJson = False,
) -> None:
    """Freeze what agents decide by now.

    What has not changed gets no new version. The graph does this hourly.

    Examples:
        qe policy snapshot
        qe policy snapshot test-executor --why "before the import"
    """
    found = wait_for(_snapshot(agents or None, why))
    if is_json:
        typer.echo(json.dumps(_plain([one.version for one in found]), indent=2))
        return
    if not found:
        say("no agent has experienced anything yet; qe train or qe import first")
        return
    rows = [
        (escape(one.version.agent), one.version.number, "yes" if one.is_new else "no, unchanged")
        for one in found
    ]
    show_table("Versions", ["agent", "version", "new"], rows, right="version")


@app.command(cls=Command)
def promote(agent: AgentName, number: Number, why: Why, is_json: AsJson = False) -> None:
    """Have an agent serve a version from now on.

    Whatever its tests say; running agents follow within seconds. Safer: qe ab start tries a version on a few
    tasks first and promotes it if it proves better.

    Example:
        qe policy promote test-executor 12 --why "proved better on staging"
    """
    state = wait_for(_promoted(agent, number, why))
    if is_json:
        typer.echo(json.dumps(_plain(state), indent=2))
        return
    say(f"{escape(agent)} serves version {state.stable}")


@app.command(cls=Command)
def mode(
    agent: AgentName,
    wanted: Annotated[str, typer.Argument(metavar="MODE", help="learning or serving.")],
    why: Why,
    is_json: AsJson = False,
) -> None:
    """Have an agent learn or serve.

    Learning follows its live table, serving its stable version.

    Examples:
        qe policy mode test-executor learning --why "a new suite, everything has to be learned again"
        qe policy mode test-executor serving --why "it has settled"
    """
    state = wait_for(_switched(agent, wanted, why))
    if is_json:
        typer.echo(json.dumps(_plain(state), indent=2))
        return
    say(f"{escape(agent)} is {_mode(state)}")


@app.command(cls=Command)
def history(agent: AgentName, is_json: AsJson = False) -> None:
    """Show who changed what an agent serves, when and why.

    Example:
        qe policy history test-executor
    """
    changes = wait_for(_history(agent))
    if is_json:
        typer.echo(json.dumps(_plain(changes), indent=2))
        return
    if not changes:
        say(f"{escape(agent)} has always followed its live table")
        return
    rows = [
        (f"{of.changed_at:%F %T}", of.what, of.before, of.after, escape(of.changed_by), escape(of.why))
        for of in changes
    ]
    show_table(f"{escape(agent)}, the newest first", ["when (UTC)", "what", "from", "to", "by", "why"], rows)


def _rollback_table(rollbacks: list["RollbackEvent"]) -> tuple[str, list[str], list[tuple[object, ...]]]:
    rows: list[tuple[object, ...]] = [
        (
            f"{event.happened_at:%F %T}",
            event.served_version,
            event.to_version,
            escape(event.rolled_back_by),
            escape(event.trigger),
            event.refused_updates,
        )
        for event in rollbacks
    ]
    return (
        "Rollbacks, the newest first",
        ["when (UTC)", "from", "to", "by", "trigger", "updates refused"],
        rows,
    )


def _mode(state: "ServingState") -> str:
    return "[green]serving[/]" if state.mode == "serving" else "[cyan]learning[/]"


def _test(state: "ServingState") -> str | None:
    return None if state.test is None else f"{state.test.experiment_id} at {state.test.stage:d} %"


def _condition(version: "PolicyVersion") -> str:
    if not version.is_current:
        return "[yellow]old contract[/]"
    return "[red]withdrawn[/]" if version.is_withdrawn else "[green]good[/]"


def _plain(value: Any) -> Any:
    from qe_core.runtime.json_values import as_json

    return as_json(value)


async def _states() -> list["ServingState"]:
    from qe_core.fleet import registry

    names = registry().names()
    async with opened_store() as store:
        states = await store.policies.serving(names)
        return [states[name] for name in names]


async def _versions(
    agent: str,
) -> tuple["ServingState", list["PolicyVersion"], list["RollbackEvent"]]:
    from qe_core.fleet import registry

    name = registry().get(agent).name
    async with opened_store() as store:
        policies = store.policies
        state = (await policies.serving([name]))[name]
        return state, await policies.versions(name), await policies.rollbacks(name)


async def _version(number: int) -> "PolicyVersion":
    async with opened_store() as store:
        return await store.policies.version(number)


async def _snapshot(agents: list[str] | None, why: str) -> list["Snapshot"]:
    from qe_core.config import load_settings
    from qe_core.runtime.rollout.snapshots import PolicySnapshots

    async with opened_store() as store:
        snapshots = PolicySnapshots(store, load_settings().values)
        return await snapshots.take(agents, reason=why, by=getpass.getuser())


async def _promoted(agent: str, number: int, why: str) -> "ServingState":
    from qe_core.fleet import registry

    name = registry().get(agent).name
    async with opened_store() as store:
        return await store.policies.promote(name, number, by=getpass.getuser(), why=why)


async def _switched(agent: str, wanted: str, why: str) -> "ServingState":
    from qe_core.errors import ConfigError, nearest
    from qe_core.fleet import registry
    from qe_core.store.policies import Mode

    name = registry().get(agent).name
    if wanted not in set(Mode):
        raise ConfigError(f"{wanted!r} is not a mode; {nearest(wanted, [str(one) for one in Mode])}")
    async with opened_store() as store:
        return await store.policies.set_mode(name, Mode(wanted), by=getpass.getuser(), why=why)


async def _history(agent: str) -> list["PolicyChange"]:
    from qe_core.fleet import registry

    name = registry().get(agent).name
    async with opened_store() as store:
        return await store.policies.history(name)
