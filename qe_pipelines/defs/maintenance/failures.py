"""Saying so when a run has failed.

What belongs here: the sensor `run_failures`. What does not: retrying, which the instance does for runs that
crashed and the store for conflicts.
"""

import dagster as dg


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
    """Log one error for each failed run, with its causes."""
    failed = [
        (event.step_key or "", event.step_failure_data.error_display_string.splitlines()[0])
        for event in context.get_step_failure_events()
    ]
    context.log.error(failure_summary(context.dagster_run.job_name, context.dagster_run.run_id, failed))
