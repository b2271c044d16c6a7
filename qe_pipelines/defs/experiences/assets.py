"""The log of experiences as the graph sees it.

What belongs here: the asset `experiences`. What does not: writing the log, which agents and imports do.
"""

import dagster as dg

from qe_pipelines.catalogue import EXPERIENCE_COLUMNS, OWNERS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.resources import FleetDatabase


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    group_name=Stage.EXPERIENCES,
    owners=OWNERS,
    kinds={"postgres"},
    metadata=EXPERIENCE_COLUMNS,
)
async def experiences(context: dg.AssetExecutionContext, database: FleetDatabase) -> None:
    """What each agent has experienced, as far as it was there to be checked.

    The metadata names the high-water mark: the blocking checks of this run looked at everything up to it.
    """
    async with database.store() as store:
        counts = {line.agent: line for line in await store.experiences.counts()}
        for contract in selected_contracts(context):
            line = counts.get(contract.name)
            context.add_asset_metadata(
                {
                    "dagster/row_count": line.experiences if line else 0,
                    "episodes": line.episodes if line else 0,
                    "checked up to experience": line.last_experience_id if line else 0,
                    "newest": dg.MetadataValue.timestamp(line.last_occurred_at) if line else "none yet",
                    "fingerprint": contract.fingerprint,
                },
                partition_key=contract.name,
            )
