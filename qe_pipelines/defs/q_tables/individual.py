"""Each agent's own Q-table, the exact solution of what its log observed.

What belongs here: the asset `individual_q_table`. What does not: how a table is built
(`qe_core.runtime.rebuilding`).
"""

import dagster as dg

from qe_core.runtime.rebuilding import rebuild
from qe_core.runtime.table_declarations import individual_table
from qe_core.store import PublishResult, StoredTable
from qe_pipelines.catalogue import OWNERS, Q_VALUE_COLUMNS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.pictures import q_value_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    deps=["experiences", "team_knowledge"],
    group_name=Stage.Q_TABLES,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=Q_VALUE_COLUMNS,
)
async def individual_q_table(
    context: dg.AssetExecutionContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Each agent's action values: the exact, cautious solution of the MDP its experiences describe.

    A function of the log, of the summaries of what retention removed from it, and of what a team knows where
    it is part of one, so building it again changes nothing unless there is something new.
    """
    values = settings.values
    async with database.store() as store:
        for contract in selected_contracts(context):
            result = await rebuild(store, contract, values)
            stored = await individual_table(contract).load(store)
            context.add_asset_metadata(_metadata(stored, result), partition_key=contract.name)


def _metadata(stored: StoredTable, result: PublishResult) -> dict[str, dg.MetadataValue]:
    visits = stored.table.visits
    return {
        "dagster/row_count": dg.MetadataValue.int(int((visits.sum(axis=1) > 0).sum())),
        "visits": dg.MetadataValue.int(int(visits.sum())),
        "pairs visited": dg.MetadataValue.int(int((visits > 0).sum())),
        "bellman residual": dg.MetadataValue.float(float(stored.source.get("bellman_residual") or 0.0)),
        "version": dg.MetadataValue.int(result.version),
        "rows written": dg.MetadataValue.int(result.rows_written),
        "attempts": dg.MetadataValue.int(result.attempts),
        "fingerprint": dg.MetadataValue.text(stored.handle.fingerprint),
        "Q-values": q_value_picture(stored.table),
        "read on in": dg.MetadataValue.asset(dg.AssetKey("fleet_report")),
    }
