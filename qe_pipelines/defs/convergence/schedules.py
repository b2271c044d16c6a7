"""When replay and statistics run by the clock.

What belongs here: the schedules of this stage. What does not: what runs then (`automation`), and the hours
(``learning.json``).
"""

import dagster as dg

from qe_core.config import load_settings
from qe_pipelines.automation import all_agents, replay, statistics

_TIMES = load_settings().values.pipelines


@dg.schedule(
    job=replay, cron_schedule=_TIMES.replay_training_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def replay_training() -> dg.RunRequest:
    """Bring every table up to date and train again from the newest experiences."""
    return all_agents()


@dg.schedule(
    job=statistics, cron_schedule=_TIMES.statistics_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def statistics_windows() -> dg.RunRequest:
    """Compute statistics windows and verdicts, and refresh what shows them."""
    return all_agents()
