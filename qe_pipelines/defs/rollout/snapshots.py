"""Freezing what each agent decides by, hourly: what a rollback goes back to.

What belongs here: the asset `policy_snapshots`. What does not: how rows are frozen and thinned
(`qe_core.store`), and for how long versions are kept (`qe_core.runtime.rollout`).
"""

from datetime import UTC, datetime

import dagster as dg

from qe_core.runtime.rollout.snapshots import PolicySnapshots
from qe_pipelines.catalogue import OWNERS, POLICY_VERSION_COLUMNS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.resources import FleetDatabase, FleetSettings


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    deps=["individual_q_table", "fleet_q_table"],
    group_name=Stage.ROLLOUT,
    owners=OWNERS,
    kinds={"postgres"},
    metadata=POLICY_VERSION_COLUMNS,
)
async def policy_snapshots(
    context: dg.AssetExecutionContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """What each agent decides by, frozen as a version that can be restored exactly; old ones thinned.

    Only rows that changed are stored, and nothing at all where none did or nothing was experienced yet.
    """
    async with database.store() as store:
        snapshots = PolicySnapshots(store, settings.values)
        lived = {line.agent for line in await store.experiences.counts()}
        for contract in selected_contracts(context):
            if contract.name not in lived:
                continue
            [frozen] = await snapshots.take([contract.name])
            kept = await store.policies.versions(contract.name)
            context.add_asset_metadata(
                {
                    "dagster/row_count": len(kept),
                    "version": frozen.version.number,
                    "is new": frozen.is_new,
                    "states": frozen.version.states,
                    "visits": frozen.version.visits,
                },
                partition_key=contract.name,
            )
        thinned = await snapshots.thin(datetime.now(UTC))
    context.add_asset_metadata(
        {
            "versions thinned": thinned.versions,
            "frozen tables thinned": thinned.snapshots,
            "rows thinned": thinned.rows,
        }
    )
