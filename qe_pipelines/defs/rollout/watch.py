"""Taking bad policies back: the sensor that watches every agent, every minute.

What belongs here: the sensor `policy_rollbacks`. What does not: when a policy is bad
(`qe_core.rollout.rollback`), reading what it is judged by and carrying a rollback out
(`qe_core.runtime.rollout`), and rollbacks by hand (`jobs`).

The tick itself acts. A run would wait in the queue behind whatever trains at the moment and take seconds to
start, and a rollback is one short transaction. A tick that is lost changes nothing: the next one sees the
same log.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from qe_core.config import Settings, configured_webhook_url, load_settings
from qe_core.runtime.delivery import Delivery
from qe_core.runtime.rollout.rollback_manager import PolicyRollbackManager, Watched
from qe_pipelines.defs.rollout.events import materialization
from qe_pipelines.resources import FleetDatabase, FleetSettings


@dg.sensor(
    minimum_interval_seconds=load_settings().values.monitoring.sensor_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes back policies that do harm: judges every agent's newest tasks and acts at once.",
)
def policy_rollbacks(
    context: dg.SensorEvaluationContext, database: FleetDatabase, settings: FleetSettings
) -> dg.SensorResult:
    """Look at every policy that decides; take back what does harm, and tell people at once."""
    seen = asyncio.run(_watched(database, settings.values))
    for one in seen:
        if one.decision.fired:
            context.log.warning(summary([one]))
    return dg.SensorResult(
        skip_reason=summary(seen),
        asset_events=[materialization(one.event) for one in seen if one.event is not None],
    )


async def _watched(database: FleetDatabase, settings: Settings) -> Sequence[Watched]:
    async with database.store() as store:
        delivery = Delivery(store, settings.monitoring, configured_webhook_url())
        manager = PolicyRollbackManager(store, settings, channels=delivery.channels)
        seen = await manager.watch(datetime.now(UTC))
        if any(one.event is not None for one in seen):
            await delivery.deliver_due()
    return seen


def summary(seen: Sequence[Watched]) -> str:
    """Return what a tick shows: how many were looked at, and each that does harm, taken back or not."""
    parts = [f"looked at {len(seen)} policies"]
    for one in seen:
        policy = "live table" if one.version is None else f"version {one.version}"
        if one.event is not None:
            parts.append(f"rolled back: {policy} of {one.agent} to version {one.event.to_version}")
            parts.append(one.decision.reason)
        elif one.trouble:
            parts.append(f"does harm: {policy} of {one.agent}, not rolled back: {one.trouble}")
    return "; ".join(parts)
