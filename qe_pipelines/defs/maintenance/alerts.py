"""Telling people about alerts, and seeing what is open in the catalogue.

What belongs here: the sensor `alert_deliveries` and the check that nothing is open. What does not: when
alerts open and close (`convergence.sensors`, `failures`).
"""

import asyncio

import dagster as dg

from qe_core.config import configured_webhook_url, load_settings
from qe_core.config.monitoring import MonitoringSettings
from qe_core.runtime.delivery import Delivery, DeliveryReport
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict


@dg.sensor(
    minimum_interval_seconds=load_settings().values.monitoring.sensor_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers alerts to the log and to the webhook that QE_ALERT_WEBHOOK_URL names.",
)
def alert_deliveries(database: FleetDatabase, settings: FleetSettings) -> dg.SkipReason:
    """Deliver what is due, again where an earlier attempt failed or was lost."""
    report = asyncio.run(_delivered(database, settings.values.monitoring))
    return dg.SkipReason(
        f"{report.delivered} delivered, {report.postponed} postponed, {report.abandoned} given up"
    )


async def _delivered(database: FleetDatabase, settings: MonitoringSettings) -> DeliveryReport:
    async with database.store() as store:
        return await Delivery(store, settings, configured_webhook_url()).deliver_due()


@dg.asset_check(
    asset="convergence_statistics",
    description="No alert is open; each one names the page that says what to do.",
)
def no_alert_is_open(database: FleetDatabase) -> dg.AssetCheckResult:
    """List the open alerts of all kinds."""
    return asyncio.run(judged_alerts(database))


async def judged_alerts(database: FleetDatabase) -> dg.AssetCheckResult:
    """Return the verdict on the open alerts."""
    async with database.store() as store:
        found = await store.alerts.list_alerts()
    faults = [
        f"{alert.kind} of {alert.subject} ({alert.severity}) since {alert.opened_at:%F %T}: {alert.summary}; "
        f"see {alert.runbook}"
        for alert in found
    ]
    return verdict(faults, "all alerts", severity=dg.AssetCheckSeverity.WARN)
