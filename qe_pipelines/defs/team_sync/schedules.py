"""When this database contributes, when the team's server builds, and when knowledge is fetched.

What belongs here: the schedules of this stage. What does not: what runs then (`automation`), and the hours
(``learning.json``).
"""

import dagster as dg

from qe_core.config import load_settings
from qe_pipelines.automation import all_agents, team_build, team_pull, team_push

_TIMES = load_settings().values.pipelines


@dg.schedule(
    job=team_push, cron_schedule=_TIMES.team_push_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def weekly_contribution() -> dg.RunRequest:
    """Contribute what was learned since the last time, and send what still waits."""
    return dg.RunRequest()


@dg.schedule(
    job=team_build, cron_schedule=_TIMES.team_build_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def daily_team_build() -> dg.RunRequest:
    """Make tables of what members contributed, where this database is a team's server."""
    return dg.RunRequest()


@dg.schedule(
    job=team_pull, cron_schedule=_TIMES.team_pull_cron, default_status=dg.DefaultScheduleStatus.RUNNING
)
def daily_team_pull() -> dg.RunRequest:
    """Fetch what the team knows, and aggregate what follows from it."""
    return all_agents()
