"""What the team knows, as it is in use here, and what became of the agents' own tables.

What belongs here: the asset `team_knowledge`. What does not: fetching, merging and undoing
(`qe_core.runtime.team`).
"""

from collections.abc import Sequence

import dagster as dg

from qe_core.fleet import registry
from qe_core.runtime.team.coordinator import TeamLearningCoordinator
from qe_core.runtime.team.reports import PullReport
from qe_core.store import Store
from qe_core.store.team import TeamEvent, TeamLogEntry, TeamTable
from qe_pipelines.catalogue import OWNERS, TEAM_TABLE_COLUMNS, Stage
from qe_pipelines.defs.team_sync.contribution import LOCAL_ONLY, SCHEDULE
from qe_pipelines.pictures import known_pairs_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings

SHOWN_CONFLICTS = 20
"""How many of the newest conflicts the table shows; the log has all."""


@dg.asset(
    deps=["team_tables"],
    group_name=Stage.TEAM,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=TEAM_TABLE_COLUMNS,
)
async def team_knowledge(database: FleetDatabase, settings: FleetSettings) -> dg.MaterializeResult[None]:
    """The team's newest tables, in use here: merged into own ones by precision, priors elsewhere.

    Own evidence stays untouched bit for bit. The same tables pulled again change nothing, and a pull can be
    undone. While the team's server is away, what was pulled before stays in use.
    """
    values = settings.values
    async with database.store() as store:
        if values.team.is_sharing:
            report = await TeamLearningCoordinator.of(store, values, by=SCHEDULE).sync_from_central()
            said = report.trouble or f"{len(report.changes)} tables are newer than before"
        else:
            report, said = PullReport(), LOCAL_ONLY
        held = await tables_in_use(store)
        conflicts = await store.team_log.entries(SHOWN_CONFLICTS, TeamEvent.CONFLICT)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(table.evidence.known_count for table in held),
            "what happened": said,
            "tables": len(held),
            "taken": sum(one.taken for one in report.rebuilt),
            "merged": sum(one.merged for one in report.rebuilt),
            "conflicts": sum(one.conflicts for one in report.rebuilt),
            "of another contract": ", ".join(report.ignored) or "none",
            "in use": dg.MetadataValue.md(table_list(held)),
            "rebuilt": dg.MetadataValue.md(rebuilt_table(report)),
            "newest conflicts": dg.MetadataValue.md(conflict_table(conflicts)),
            **({"pairs known": known_pairs_picture(known_pairs(held))} if held else {}),
        }
    )


async def tables_in_use(store: Store) -> list[TeamTable]:
    """Return the team's table of each agent that has one under its contract of today."""
    found = [await store.team_tables.current(one.name, one.fingerprint) for one in registry()]
    return [table for table in found if table is not None]


def known_pairs(held: Sequence[TeamTable]) -> dict[str, tuple[int, int]]:
    """Return how many pairs the team knows and does not know, by agent."""
    return {
        table.agent: (table.evidence.known_count, table.evidence.q.size - table.evidence.known_count)
        for table in held
    }


def table_list(held: Sequence[TeamTable]) -> str:
    """Return a Markdown table with one row for each table of the team."""
    rows = [
        f"| {table.agent} | {table.version} | {table.pulled_at:%F %T} | {table.evidence.known_count:,} "
        f"| {int(table.evidence.visits.sum()):,} |"
        for table in held
    ]
    head = "| agent | version | pulled, UTC | pairs known | worth visits without noise |"
    return "\n".join([head, "|---|--:|---|--:|--:|", *rows])


def rebuilt_table(report: PullReport) -> str:
    """Return a Markdown table of what the pull made of the agents' own tables."""
    rows = [
        f"| {one.agent} | {one.team_version} | {one.taken:,} | {one.merged:,} | {one.kept:,} "
        f"| {one.conflicts:,} |"
        for one in report.rebuilt
    ]
    head = "| agent | team's version | taken | merged | own alone | conflicts |"
    return "\n".join([head, "|---|--:|--:|--:|--:|--:|", *rows]) if rows else "no table had to be built again"


def conflict_table(entries: Sequence[TeamLogEntry]) -> str:
    """Return a Markdown table of pairs about which own and team's values contradicted each other."""
    rows = [
        f"| {entry.logged_at:%F %T} | {entry.details['agent']} | {pair['state']} | {pair['action']} "
        f"| {pair['own_q']:.1f} of {pair['own_visits']:,} visits | {pair['team_q']:.1f} of "
        f"{pair['team_visits']:,.0f} visits | {'own' if pair['is_own_kept'] else 'team'} |"
        for entry in entries
        for pair in entry.details["pairs"]
    ]
    head = "| when, UTC | agent | state | action | own value | the team's | kept |"
    shown = rows[:SHOWN_CONFLICTS]
    return "\n".join([head, "|---|---|--:|--:|---|---|---|", *shown]) if rows else "none so far"
