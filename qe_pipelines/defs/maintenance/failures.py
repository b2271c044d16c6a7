"""Saying so when a run has failed.

What belongs here: the sensor `run_failures`. What does not: retrying, which the instance does for runs that
crashed and the store for conflicts.
"""

import logging

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

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
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Log one error for each failed run, with its causes: with the tick, and where the process logs."""
    failed = [
        (event.step_key or "", cause_of(event.step_failure_data.error))
        for event in context.get_step_failure_events()
    ]
    summary = failure_summary(context.dagster_run.job_name, context.dagster_run.run_id, failed)
    context.log.error(summary)
    LOGGER.error(summary)
