"""`qe alerts`: what needs a person, who was told, and saying that it is over.

What belongs here: printing alerts and resolving one. What does not: when alerts open and close by themselves
(`qe_core.runtime.monitoring`).
"""

import getpass
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qe_core.cli.help import Command, Group
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import say, show_table

if TYPE_CHECKING:
    from qe_core.store.alerts import Alert, DeliveryState

SEVERITIES = {"critical": "[red]critical[/]", "warning": "[yellow]warning[/]"}
MOST_SHOWN = 1_000

app = typer.Typer(
    cls=Group, no_args_is_help=True, rich_markup_mode=None, help="Show and resolve what needs a person."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", cls=Command)
def list_alerts(
    is_all: Annotated[bool, typer.Option("--all", help="Resolved alerts, too.")] = False,
    is_json: AsJson = False,
) -> None:
    """List open alerts, the worst first; every alert names the page that says what to do.

    Examples:
        qe alerts list
        qe alerts list --all --json | jq '.[] | select(.severity == "critical")'
    """
    found = wait_for(_listed(is_all))
    if is_json:
        typer.echo(json.dumps([as_json(alert) for alert in found], indent=2))
        return
    if not found:
        say("no alerts" if is_all else "no open alerts")
        return
    rows = [
        (
            alert.alert_id,
            SEVERITIES[alert.severity],
            escape(alert.kind),
            escape(alert.subject),
            escape(alert.summary),
            alert.occurrences,
            f"{alert.opened_at:%F %T}",
            None if alert.resolved_at is None else f"{alert.resolved_at:%F %T}",
            escape(alert.runbook),
        )
        for alert in found
    ]
    headings = ["id", "severity", "kind", "of", "what", "times", "opened (UTC)", "resolved (UTC)", "runbook"]
    show_table("Alerts", headings, rows, right="id, times")


@app.command(cls=Command)
def show(
    alert_id: Annotated[int, typer.Argument(help="The alert's number, from qe alerts list.")],
    is_json: AsJson = False,
) -> None:
    """Show one alert, and who was told of it.

    Example:
        qe alerts show 7
    """
    alert, deliveries = wait_for(_shown(alert_id))
    if is_json:
        content = {**as_json(alert), "deliveries": [_plain(asdict(one)) for one in deliveries]}
        typer.echo(json.dumps(content, indent=2))
        return
    rows = [(name, escape(str(value))) for name, value in as_json(alert).items() if value is not None]
    show_table(f"Alert {alert.alert_id}", ["what", "is"], rows)
    told = [
        (
            one.event,
            one.channel,
            one.attempts,
            _state(one),
            None if one.last_error is None else escape(one.last_error),
        )
        for one in deliveries
    ]
    show_table("Deliveries", ["event", "channel", "attempts", "state", "last error"], told, right="attempts")


@app.command(cls=Command)
def resolve(
    alert_id: Annotated[int, typer.Argument(help="The alert's number, from qe alerts list.")],
    why: Annotated[str, typer.Option("--why", help="Why it is over; kept with the alert.")],
    is_json: AsJson = False,
) -> None:
    """Say that an alert is over. It opens again if what caused it is seen again.

    Example:
        qe alerts resolve 7 --why "the reward weights were wrong, corrected"
    """
    alert = wait_for(_resolved(alert_id, why))
    if is_json:
        typer.echo(json.dumps(as_json(alert), indent=2))
        return
    say(f"alert {alert.alert_id} ({escape(alert.kind)} of {escape(alert.subject)}) is resolved")


def as_json(alert: "Alert") -> dict[str, Any]:
    """Return an alert as JSON values, times in ISO 8601."""
    return _plain(asdict(alert))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


def _state(one: "DeliveryState") -> str:
    if one.delivered_at is not None:
        return f"[green]delivered[/] {one.delivered_at:%F %T}"
    if one.abandoned_at is not None:
        return f"[red]given up[/] {one.abandoned_at:%F %T}"
    return f"due {one.due_at:%F %T}"


async def _listed(is_all: bool) -> list["Alert"]:
    async with opened_store() as store:
        return await store.alerts.list_alerts(is_all=is_all, limit=MOST_SHOWN)


async def _shown(alert_id: int) -> tuple["Alert", list["DeliveryState"]]:
    async with opened_store() as store:
        return await store.alerts.get(alert_id), await store.alerts.deliveries(alert_id)


async def _resolved(alert_id: int, why: str) -> "Alert":
    from qe_core.config import configured_webhook_url, load_settings
    from qe_core.errors import StoreError
    from qe_core.runtime.delivery import Delivery

    async with opened_store() as store:
        alert = await store.alerts.get(alert_id)
        delivery = Delivery(store, load_settings().values.monitoring, configured_webhook_url())
        if not alert.is_open:
            raise StoreError(f"alert {alert_id} was resolved by {alert.resolved_by}: {alert.resolution}")
        who = getpass.getuser()
        resolved = await store.alerts.resolve(alert.kind, alert.subject, who, why, delivery.channels)
        if resolved is None:
            raise StoreError(f"alert {alert_id} was resolved by somebody else just now; list them again")
        return resolved
