"""Saying so when a run has failed, and when the same job succeeds again.

What belongs here: the sensors `run_failures` and `run_recoveries`. What does not: retrying, which the
instance does for runs that crashed and the store for conflicts, and telling people (`alerts`).
"""

import asyncio
import logging

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from qe_core.config import configured_webhook_url
from qe_core.config.monitoring import MonitoringSettings
from qe_core.errors import QEError
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.delivery import Delivery
from qe_core.runtime.monitoring import MONITOR
from qe_core.store.alerts import Alert, Sighting
from qe_pipelines.resources import FleetDatabase, FleetSettings

LOGGER = logging.getLogger(__name__)


def cause_of(error: SerializableErrorInfo | None) -> str:
    """Return what first went wrong, without the layers that passed it on."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no cause was recorded"


def failure_summary(job_name: str, run_id: str, failed_steps: list[tuple[str, str]]) -> str:
    """Return one line that names the run, each failed step with its cause, and what to do.

    Args:
        job_name: the run's job.
        run_id: the run's id.
        failed_steps: (step, cause) of each failed step; none where the run broke off between steps.
    """
    causes = "; ".join(f"{step}: {cause.strip()}" for step, cause in failed_steps) or "it ended between steps"
    return (
        f"run {run_id} of {job_name} failed: {causes}. Parts that finished keep their results; mend the "
        "cause and run it again, which repeats nothing that is up to date"
    )


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def run_failures(
    context: dg.RunFailureSensorContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Log one error for each failed run, with its causes, and open an alert of its job."""
    failed = [
        (event.step_key or "", cause_of(event.step_failure_data.error))
        for event in context.get_step_failure_events()
    ]
    run = context.dagster_run
    summary = failure_summary(run.job_name, run.run_id, failed)
    context.log.error(summary)
    LOGGER.error(summary)
    kind = AlertKind.RUN_FAILED
    sighting = Sighting(kind, run.job_name, "critical", summary, kind.runbook, f"run {run.run_id}")
    try:
        asyncio.run(_opened(database, settings.values.monitoring, sighting))
    except QEError as error:
        # The database may be why the run failed: what is known of that has been said above.
        context.log.warning(f"no alert was opened: {error}")


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, default_status=dg.DefaultSensorStatus.RUNNING)
def run_recoveries(
    context: dg.RunStatusSensorContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Close the alert of a job whose runs had failed, once one has succeeded."""
    run = context.dagster_run
    over = asyncio.run(_closed(database, settings.values.monitoring, run.job_name, run.run_id))
    if over is not None:
        context.log.info(f"alert {over.alert_id} is over: {over.resolution}")


async def _opened(database: FleetDatabase, settings: MonitoringSettings, sighting: Sighting) -> Alert:
    async with database.store() as store:
        channels = Delivery(store, settings, configured_webhook_url()).channels
        return await store.alerts.see(sighting, channels)


async def _closed(
    database: FleetDatabase, settings: MonitoringSettings, job_name: str, run_id: str
) -> Alert | None:
    async with database.store() as store:
        channels = Delivery(store, settings, configured_webhook_url()).channels
        why = f"run {run_id} succeeded"
        return await store.alerts.resolve(AlertKind.RUN_FAILED, job_name, MONITOR, why, channels)
