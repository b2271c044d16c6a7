"""When versions are frozen and rollouts go on by the clock.

What belongs here: the schedules of this stage. What does not: what runs then (`automation`), and the hours
(``learning.json``).
"""

import dagster as dg

from qe_core.config import load_settings
from qe_pipelines.automation import all_agents, rollouts, snapshots

_TIMES = load_settings().values.pipelines


@dg.schedule(
    job=snapshots, cron_schedule=_TIMES.snapshot_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def hourly_snapshots() -> dg.RunRequest:
    """Freeze what every agent decides by."""
    return all_agents()


@dg.schedule(
    job=rollouts, cron_schedule=_TIMES.staged_rollout_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def staged_rollout() -> dg.RunRequest:
    """Judge every running test, and have it go on, stay or end by its verdict."""
    return dg.RunRequest()
