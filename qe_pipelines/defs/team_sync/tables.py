"""What the team's server makes of its members' contributions, where this database is one.

What belongs here: the asset `team_tables` and its checks. What does not: combining and publishing
(`qe_core.runtime.team.building`). Every deployment has this asset; where no team was founded in its
database it has nothing to do and says so.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg

from qe_core.runtime.team.building import AgentBuild, build
from qe_core.store.central import Member, Publication, SetAside, TeamCuration
from qe_pipelines.catalogue import OWNERS, TEAM_TABLE_COLUMNS, Stage
from qe_pipelines.defs.team_sync.contribution import SCHEDULE
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict

NO_SERVER = "no team was founded in this database; contributors need not do anything here"

LONGEST_UNUSED = timedelta(days=2)
"""A contribution that is older and in no table has missed the daily build."""

USED = dg.AssetCheckSpec(
    "contributions_are_sound",
    asset="team_tables",
    description="No contribution had to be set aside.",
)
FRESH = dg.AssetCheckSpec(
    "contributions_are_used",
    asset="team_tables",
    description="Tables are not older than the newest contribution by more than a build.",
)


@dg.asset(
    deps=["team_contribution"],
    group_name=Stage.TEAM,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=TEAM_TABLE_COLUMNS,
)
async def team_tables(database: FleetDatabase, settings: FleetSettings) -> dg.MaterializeResult[None]:
    """One table for each agent, of what enough members contributed; only on the team's server.

    Members' noisy counts are added up, none with more than its share, and solved as an agent's own log is.
    Nothing new makes no new version.
    """
    async with TeamCuration.connect(database.resolved_url) as curation:
        if not await curation.is_founded():
            return dg.MaterializeResult(metadata={"dagster/row_count": 0, "what happened": NO_SERVER})
        report = await build(curation, settings.values, by=SCHEDULE)
        members = await curation.members()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(one.known_pairs for one in report.agents),
            "what happened": f"{len(report.published)} tables are new",
            "members": sum(member.is_active for member in members),
            "refused": sum(one.refusal is not None for one in report.agents),
            "tables": dg.MetadataValue.md(build_table(report.agents)),
        }
    )


def build_table(agents: Sequence[AgentBuild]) -> str:
    """Return a Markdown table with one row for each agent; no names of members."""
    rows = [
        f"| {one.agent} | {one.version or 'as before'} | {one.contributors} | {one.left_out} "
        f"| {len(one.set_aside)} | {one.known_pairs:,} | {one.refusal or ''} |"
        for one in agents
    ]
    head = "| agent | version | members counted | left out | set aside | pairs known | refused because |"
    return "\n".join([head, "|---|--:|--:|--:|--:|--:|---|", *rows])


@dg.multi_asset_check(specs=[USED, FRESH], name="team_table_checks")
def team_table_checks(database: FleetDatabase) -> Iterator[dg.AssetCheckResult]:
    """Judge what the team's server holds; nothing where there is none."""
    yield from asyncio.run(judged_server(database))


async def judged_server(database: FleetDatabase) -> list[dg.AssetCheckResult]:
    """Return the verdicts on contributions."""
    async with TeamCuration.connect(database.resolved_url) as curation:
        is_server = await curation.is_founded()
        aside = await curation.all_set_aside() if is_server else []
        members = await curation.members() if is_server else []
        published = await curation.publications() if is_server else []
    releases = sum(member.releases for member in members)
    looked_at = f"{releases} releases of {len(members)} members" if is_server else NO_SERVER
    return [
        verdict(list(aside_faults(aside)), looked_at, USED, dg.AssetCheckSeverity.WARN),
        verdict(list(unused_faults(members, published)), looked_at, FRESH, dg.AssetCheckSeverity.WARN),
    ]


def aside_faults(aside: Sequence[SetAside]) -> Iterator[str]:
    """Yield what no build uses."""
    for one in aside:
        yield f"{one.agent} of release {one.release_id} is set aside: {one.why}"


def unused_faults(members: Sequence[Member], published: Sequence[Publication]) -> Iterator[str]:
    """Yield that a contribution came and no table followed."""
    came = [member.last_submitted_at for member in members if member.last_submitted_at is not None]
    made = [publication.published_at for publication in published]
    if came and made and max(came) - max(made) > LONGEST_UNUSED:
        yield (
            f"the newest contribution is of {max(came):%F %T}, the newest table of {max(made):%F %T}; "
            "build again with qe team build, and see why it was not built before"
        )
