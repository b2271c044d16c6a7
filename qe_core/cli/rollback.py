"""`qe rollback`: takes an agent's policy back by hand.

What belongs here: the command. What does not: what a rollback is (`qe_core.store.rollbacks`) and the watch
that does it without being asked (`qe_core.runtime.rollout.rollback_manager`).
"""

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import say

if TYPE_CHECKING:
    from qe_core.store.policies import RollbackEvent


def rollback(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name, from qe status.")],
    why: Annotated[str, typer.Option("--why", help="Why; kept with the rollback and told in its alert.")],
    to: Annotated[
        int | None,
        typer.Option(
            "--to", metavar="VERSION", help="The version to go back to; the last good one by default."
        ),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take an agent's policy back to a version that was good.

    Its values are restored, a running test ends, updates on their way are refused, an alert is sent. Running
    agents follow with their next decision.

    Examples:
        qe rollback test-executor --why "skips failing suites since this morning"
        qe rollback test-executor --to 12 --why "the last one known to be good"
    """
    event = wait_for(_rolled_back(agent, to, why))
    if is_json:
        from qe_core.runtime.json_values import as_json

        typer.echo(json.dumps(as_json(event), indent=2))
        return
    found = "its live table" if event.served_version is None else f"version {event.served_version}"
    say(f"{escape(event.agent)} is back from {found} to version {event.to_version}")
    say(
        f"{event.rows_written:,} states restored, {event.rows_removed:,} removed; "
        f"rollback {event.rollback_id}"
    )


async def _rolled_back(agent: str, to: int | None, why: str) -> "RollbackEvent":
    from qe_core.config import configured_webhook_url, load_settings
    from qe_core.runtime.delivery import Delivery
    from qe_core.runtime.rollout.rollback_manager import PolicyRollbackManager

    settings = load_settings().values
    async with opened_store() as store:
        channels = Delivery(store, settings.monitoring, configured_webhook_url()).channels
        manager = PolicyRollbackManager(store, settings, channels=channels)
        return await manager.roll_back(agent, to=to, by=getpass.getuser(), why=why)
