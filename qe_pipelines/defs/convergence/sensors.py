"""Watching verdicts: divergence is answered, alerts open and close.

What belongs here: the sensors `divergence` and `stale_agents`. What does not: what is done about a verdict
(`qe_core.runtime.monitoring`), and telling people (`maintenance.alerts`).
"""

import asyncio
from collections.abc import Collection

import dagster as dg

from qe_core.config import Settings, configured_webhook_url, load_settings
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.delivery import Delivery
from qe_core.runtime.monitoring import QLearningMonitor, WatchReport
from qe_pipelines.resources import FleetDatabase, FleetSettings

_EVERY_SECONDS = load_settings().values.monitoring.sensor_interval_seconds


@dg.sensor(
    minimum_interval_seconds=_EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lowers learning rates and raises exploration while agents diverge; opens and closes alerts.",
)
def divergence(database: FleetDatabase, settings: FleetSettings) -> dg.SkipReason:
    """Look at every agent's verdicts; answer those that diverge and report those that take too long."""
    return summary(watched(database, settings, (AlertKind.AGENT_DIVERGING, AlertKind.AGENT_SLOW)))


@dg.sensor(
    minimum_interval_seconds=_EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens an alert for every agent without new experiences, and closes it when there are some.",
)
def stale_agents(database: FleetDatabase, settings: FleetSettings) -> dg.SkipReason:
    """Look at when each agent was last heard of."""
    return summary(watched(database, settings, (AlertKind.AGENT_STALE,)))


def watched(database: FleetDatabase, settings: FleetSettings, kinds: Collection[AlertKind]) -> WatchReport:
    """Return what one look at the whole fleet led to."""
    return asyncio.run(_watched(database, settings.values, kinds))


async def _watched(database: FleetDatabase, settings: Settings, kinds: Collection[AlertKind]) -> WatchReport:
    async with database.store() as store:
        channels = Delivery(store, settings.monitoring, configured_webhook_url()).channels
        return await QLearningMonitor(store, settings, channels=channels).watch(kinds)


def summary(report: WatchReport) -> dg.SkipReason:
    """Return what a tick shows: nothing is run, everything that was done is named."""
    parts = [f"looked at {len(report.observations)} agents"]
    parts += [f"open: {alert.kind} of {alert.subject} ({alert.severity})" for alert in report.open_alerts]
    parts += [f"over: {alert.kind} of {alert.subject}" for alert in report.resolved]
    parts += [
        f"adjusted: {record.agent} to {record.learning_rate_factor:g} of its learning rate, at least "
        f"{record.exploration_floor:g} exploration"
        for record in report.adjusted
    ]
    return dg.SkipReason("; ".join(parts))
