"""Jobs: which parts of the graph run together, on whose call.

What belongs here: selections, and what the schedules and sensors of all stages share. What does not: when a
stage runs, which is in its own folder.
"""

from typing import Any

import dagster as dg

from qe_pipelines.catalogue import Stage
from qe_pipelines.partitions import AGENTS, range_tags

IN_PROCESS: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}
"""Small graphs finish sooner in one process; a run's configuration may ask for ``multiprocess`` instead."""

on_demand = dg.AssetSelection.groups(Stage.EXPERIMENTS)
"""What only somebody who wants it starts: it takes minutes and depends on nothing that is stored."""

whole_graph = dg.define_asset_job(
    "whole_graph",
    selection=dg.AssetSelection.all() - on_demand - dg.AssetSelection.assets("team_contribution"),
    description="Everything from the log to the report, for all agents; nothing is shared by it.",
    config=IN_PROCESS,
)
learn = dg.define_asset_job(
    "learn",
    selection=dg.AssetSelection.groups(Stage.EXPERIENCES, Stage.Q_TABLES)
    | dg.AssetSelection.assets("convergence_statistics"),
    description="From the log to tables and verdicts; views need no rebuilding, they read the tables.",
    config=IN_PROCESS,
)
replay = dg.define_asset_job(
    "replay",
    selection=dg.AssetSelection.groups(Stage.EXPERIENCES, Stage.Q_TABLES)
    | dg.AssetSelection.assets("replayed_policy"),
    description="Bring the tables up to date and train again from the newest experiences beside them.",
    config=IN_PROCESS,
)
statistics = dg.define_asset_job(
    "statistics",
    selection=dg.AssetSelection.assets("convergence_statistics") | dg.AssetSelection.groups(Stage.REPORTING),
    description="Statistics windows, verdicts, and the views and report that show them.",
    config=IN_PROCESS,
)
retention = dg.define_asset_job(
    "retention",
    selection=dg.AssetSelection.assets("experience_retention"),
    description="Count old experiences in summaries, remove them, and check that nothing is lost.",
    config=IN_PROCESS,
)
team_push = dg.define_asset_job(
    "team_push",
    selection=dg.AssetSelection.assets("team_contribution"),
    description="Contribute what was learned to the team, at a price in privacy that never comes back.",
    config=IN_PROCESS,
)
team_build = dg.define_asset_job(
    "team_build",
    selection=dg.AssetSelection.assets("team_tables"),
    description="Make tables of what members contributed, where this database is a team's server.",
    config=IN_PROCESS,
)
team_pull = dg.define_asset_job(
    "team_pull",
    selection=dg.AssetSelection.assets("team_knowledge") | dg.AssetSelection.groups(Stage.Q_TABLES),
    description="Fetch what the team knows, and build and aggregate the tables that follow from it.",
    config=IN_PROCESS,
)
snapshots = dg.define_asset_job(
    "snapshots",
    selection=dg.AssetSelection.assets("policy_snapshots"),
    description="Freeze what every agent decides by; let outgrown versions go.",
    config=IN_PROCESS,
)
rollouts = dg.define_asset_job(
    "rollouts",
    selection=dg.AssetSelection.assets("ab_results", "rollout_state", "rollback_events"),
    description="Judge every running A/B test and have its rollout go on, stay or end.",
    config=IN_PROCESS,
)
checks = dg.define_asset_job(
    "checks",
    selection=dg.AssetSelection.all_asset_checks()
    - dg.AssetSelection.checks_for_assets(
        "convergence_experiment", "transfer_experiment", "hierarchy_experiment"
    ),
    description="Every asset check, over what is in the database now.",
    config=IN_PROCESS,
)
experiments = dg.define_asset_job(
    "experiments",
    selection=on_demand,
    description="What learning and sharing are worth, in simulated worlds; configure worlds and seeds.",
    config=IN_PROCESS,
)

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
"""The states of a run that has yet to end."""

JOBS = [
    *(whole_graph, learn, replay, statistics, team_push, team_build, team_pull, snapshots, rollouts),
    *(retention, checks, experiments),
]


def all_agents(run_key: str | None = None) -> dg.RunRequest:
    """Return a request for one run that covers every agent."""
    roster = AGENTS.get_partition_keys()
    return dg.RunRequest(run_key=run_key, tags=range_tags(roster[0], roster[-1]))
