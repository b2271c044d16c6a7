"""Removing old experiences on schedule, with a check that nothing they taught is lost.

What belongs here: the asset `experience_retention`, its check and its schedule. What does not: how it is done
(`qe_core.store.retention`).
"""

import asyncio
from collections.abc import Iterator, Mapping

import dagster as dg

from qe_core.config import load_settings
from qe_core.fleet import AgentContract, registry
from qe_core.runtime.table_declarations import individual_table, load_tables
from qe_core.store import StoredTable
from qe_pipelines.automation import retention
from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict


@dg.asset(
    deps=["individual_q_table", "convergence_statistics"],
    group_name=Stage.MAINTENANCE,
    owners=OWNERS,
    kinds={"postgres"},
)
async def experience_retention(
    database: FleetDatabase, settings: FleetSettings
) -> dg.MaterializeResult[None]:
    """Experiences older than the setting, counted in summaries and removed.

    Each agent's newest stay raw for replay. Tables are solved from summaries and log together, so they stay
    the same; it runs after the statistics windows, which stay as they were computed.
    """
    values = settings.values
    async with database.store() as store:
        report = await store.retention.run(
            values.retention.experiences_days, values.replay.capacity_transitions
        )
        evidence = await store.retention.evidence()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(line.live for line in evidence),
            "oldest day kept": report.oldest_day.isoformat(),
            "experiences folded": report.experiences_folded,
            "older experiences kept for replay": report.experiences_kept,
            "partitions dropped": ", ".join(report.partitions_dropped) or "none",
            "partitions made": report.partitions_made,
            "flushes forgotten": report.flushes_forgotten,
            "experiences in summaries": sum(line.summarised for line in evidence),
        }
    )


@dg.asset_check(
    asset=experience_retention,
    description="Whatever a table was built from is still counted, in the log or in the summaries.",
)
def nothing_is_lost(database: FleetDatabase) -> dg.AssetCheckResult:
    """Compare every agent's table as published with the evidence there is now."""
    return asyncio.run(judged_evidence(database))


async def judged_evidence(database: FleetDatabase) -> dg.AssetCheckResult:
    """Return the verdict on all agents' evidence."""
    async with database.store() as store:
        tables = await load_tables(store, [individual_table(contract) for contract in registry()])
        counted = {(line.agent, line.fingerprint): line.total for line in await store.retention.evidence()}
    faults = [fault for pair in zip(registry(), tables, strict=True) for fault in lost(*pair, counted)]
    return verdict(faults, f"{sum(counted.values()):,} experiences of {len(tables)} agents")


def lost(
    contract: AgentContract, stored: StoredTable, counted: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    """Yield that an agent's table was built from more experiences than are counted now."""
    used = int(stored.source.get("experiences") or 0)
    left = counted.get((contract.name, contract.fingerprint), 0)
    if left < used:
        yield f"{contract.name}: {used} experiences made its table, {left} are left; restore a backup"


@dg.schedule(
    job=retention,
    cron_schedule=load_settings().values.pipelines.retention_cron,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_retention() -> dg.RunRequest:
    """Make partitions for the days to come and remove what has grown old."""
    return dg.RunRequest()
