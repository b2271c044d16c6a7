"""The tables agents share: one for each category, and one for the fleet.

What belongs here: the assets below `category_q_table` and `fleet_q_table`. What does not: the aggregation
itself (`qe_core.hierarchy`).
"""

from collections.abc import Awaitable, Callable, Sequence

import dagster as dg

from qe_core.config import load_settings
from qe_core.fleet import Category, registry
from qe_core.hierarchy.aggregate import aggregate
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.runtime.table_declarations import TableDeclaration, category_table, fleet_table
from qe_core.store import Rebuild, Store
from qe_pipelines.catalogue import OWNERS, Q_VALUE_COLUMNS, Stage
from qe_pipelines.partitions import category_key, transfer_key
from qe_pipelines.pictures import q_value_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.tables import Parts, category_parts, fleet_parts


def transfers_into(agents: Sequence[str]) -> list[dg.AssetKey]:
    """Return the transfers that write to these agents' tables.

    Priors have no weight in a shared table, but writing them is a new version of the agent's own.
    """
    groups = TransferLearningManager.of(registry(), load_settings().values).groups
    return [
        transfer_key(name)
        for name, members in groups.items()
        if any(member.name in agents for member in members)
    ]


def category_asset(category: Category) -> dg.AssetsDefinition:
    """Return the asset that holds one category's table; it depends on its agents alone."""
    agents = [contract.name for contract in registry().by_category(category)]

    @dg.asset(
        key=category_key(category),
        deps=[
            dg.AssetDep(
                "individual_q_table", partition_mapping=dg.SpecificPartitionsPartitionMapping(agents)
            ),
            *transfers_into(agents),
        ],
        group_name=Stage.Q_TABLES,
        owners=OWNERS,
        kinds={"python", "postgres"},
        metadata=Q_VALUE_COLUMNS,
        description=f"What the {category} agents have learned together: {', '.join(agents)}.",
    )
    async def category_q_table(
        database: FleetDatabase, settings: FleetSettings
    ) -> dg.MaterializeResult[None]:
        """Publish the category's table as its agents' tables determine it."""
        values = settings.values
        async with database.store() as store:
            return await publish_aggregate(
                store, category_table(category), lambda: category_parts(store, category, values)
            )

    return category_q_table


category_q_tables = [category_asset(category) for category in Category]


@dg.asset(
    deps=[category_key(category) for category in Category],
    group_name=Stage.Q_TABLES,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=Q_VALUE_COLUMNS,
)
async def fleet_q_table(database: FleetDatabase) -> dg.MaterializeResult[None]:
    """What the whole fleet has learned, over what every agent knows about its subject."""
    async with database.store() as store:
        return await publish_aggregate(store, fleet_table(), lambda: fleet_parts(store))


async def publish_aggregate(
    store: Store, declaration: TableDeclaration, load_parts: Callable[[], Awaitable[Parts]]
) -> dg.MaterializeResult[None]:
    """Publish a shared table as its parts determine it, and return what there is to see of it.

    Raises:
        VersionConflictError: somebody else published the same table every time in between.
    """

    async def recompute() -> Rebuild:
        """Read table and parts afresh and add up."""
        stored = await declaration.load(store)
        lower = await load_parts()
        whole = aggregate(lower.parts, declaration.state_count)
        return Rebuild(whole.table, whole.weights, stored.version, {**lower.versions})

    result = await store.q_tables.publish_with_retry(await declaration.ensure(store), recompute)
    stored = await declaration.load(store)
    visits = stored.table.visits
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": int((visits.sum(axis=1) > 0).sum()),
            "visits": int(visits.sum()),
            "weight": float(stored.weights.sum()),
            "versions of its parts": dg.MetadataValue.json(stored.source),
            "version": result.version,
            "rows written": result.rows_written,
            "Q-values": q_value_picture(stored.table),
        }
    )
