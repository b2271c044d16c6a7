"""What this database contributes to its team, and what that costs.

What belongs here: the asset `team_contribution`. What does not: counting, noise, budget and sending
(`qe_core.runtime.team`).

It is no part of the whole graph: a release spends privacy that never comes back, so it is made by its own
schedule, by a command or by hand, and not because somebody built tables again.
"""

from collections.abc import Sequence

import dagster as dg

from qe_core.privacy.accounting import epsilon_of
from qe_core.runtime.team.auditing import release_state
from qe_core.runtime.team.coordinator import TeamLearningCoordinator
from qe_core.store.team import ReleaseRecord
from qe_pipelines.catalogue import OWNERS, RELEASE_COLUMNS, Stage
from qe_pipelines.resources import FleetDatabase, FleetSettings

SCHEDULE = "Dagster"
"""Who is named in the log of team learning for what the graph does."""

LOCAL_ONLY = "local only: nothing left this machine"

SHOWN_RELEASES = 20
"""How many of the newest the table shows."""


@dg.asset(
    deps=["experiences"],
    group_name=Stage.TEAM,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=RELEASE_COLUMNS,
)
async def team_contribution(database: FleetDatabase, settings: FleetSettings) -> dg.MaterializeResult[None]:
    """What the team was told: clipped counts with noise over public state spaces, paid for from a budget.

    Nothing new means nothing is released. While the team's server is away, releases wait and are sent later
    with the same noise. Where team learning is off, nothing leaves and nothing connects.
    """
    values = settings.values
    async with database.store() as store:
        if values.team.is_sharing:
            coordinator = TeamLearningCoordinator.of(store, values, by=SCHEDULE)
            report = await coordinator.push_to_central()
            said, tasks = report.words, report.prepared.task_count
            sent = len(report.sent) + len(report.known)
        else:
            said, tasks, sent = LOCAL_ONLY, 0, 0
        entries = await store.privacy_ledger.entries()
        releases = await store.releases.all()
    delta = values.team.privacy_delta
    spent = entries[-1].spent_nano_rho if entries else 0
    left = entries[-1].left_nano_rho if entries else None
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(releases),
            "what happened": said,
            "tasks": tasks,
            "delivered now": sent,
            "pending": sum(not (one.sent_at or one.withdrawn_at) for one in releases),
            "epsilon over its lifetime": epsilon_of(spent, delta) if spent else 0.0,
            "epsilon of a lifetime": values.team.privacy_epsilon_lifetime,
            "budget left, nano-rho": "all of it" if left is None else left,
            "releases": dg.MetadataValue.md(release_table(releases[::-1][:SHOWN_RELEASES])),
        }
    )


def release_table(releases: Sequence[ReleaseRecord]) -> str:
    """Return a Markdown table with one row for each release."""
    rows = [
        f"| {one.made_at:%F %T} | {one.header.protected_unit} | {one.header.privacy_epsilon:g} "
        f"| {one.header.privacy_delta:g} | {len(one.header.agents)} | {release_state(one)} |"
        for one in releases
    ]
    head = "| made, UTC | protected | ε | δ | agents | state |"
    return "\n".join([head, "|---|---|--:|--:|--:|---|", *rows])
