"""The Dagster project, wired: every stage's definitions, the jobs over them, and their resources.

What belongs here: wiring. What does not: anything a stage can hold itself; a new module of a stage needs no
mention here unless it brings a sensor or a schedule.
"""

import dagster as dg

from qe_pipelines import automation, defs
from qe_pipelines.defs.convergence.schedules import replay_training, statistics_windows
from qe_pipelines.defs.convergence.sensors import divergence, stale_agents
from qe_pipelines.defs.experiences.sensors import new_experiences
from qe_pipelines.defs.maintenance.alerts import alert_deliveries
from qe_pipelines.defs.maintenance.failures import run_failures, run_recoveries
from qe_pipelines.defs.maintenance.retention import daily_retention
from qe_pipelines.defs.rollout.jobs import override_rollout, rollback_policy
from qe_pipelines.defs.rollout.schedules import hourly_snapshots, staged_rollout
from qe_pipelines.defs.rollout.watch import policy_rollbacks
from qe_pipelines.defs.team_sync.schedules import daily_team_build, daily_team_pull, weekly_contribution
from qe_pipelines.resources import FleetDatabase, FleetSettings

definitions = dg.Definitions(
    assets=dg.load_assets_from_package_module(defs),
    asset_checks=dg.load_asset_checks_from_package_module(defs),
    jobs=[*automation.JOBS, rollback_policy, override_rollout],
    schedules=[
        replay_training,
        statistics_windows,
        weekly_contribution,
        daily_team_build,
        daily_team_pull,
        hourly_snapshots,
        staged_rollout,
        daily_retention,
    ],
    sensors=[
        new_experiences,
        divergence,
        stale_agents,
        policy_rollbacks,
        alert_deliveries,
        run_failures,
        run_recoveries,
    ],
    resources={"database": FleetDatabase(), "settings": FleetSettings()},
)
