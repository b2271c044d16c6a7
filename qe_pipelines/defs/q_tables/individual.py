"""Each agent's own Q-table, the exact solution of what its log observed.

What belongs here: the asset `individual_q_table`. What does not: the solution itself
(`qe_core.learning.empirical_mdp`) and the retry when a live writer got in between (`qe_core.store`).
"""

import dagster as dg

from qe_core.config import Settings
from qe_core.fleet import AgentContract
from qe_core.hierarchy.transfer import keep_priors
from qe_core.learning.empirical_mdp import q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.q_table import quantised_weights
from qe_core.runtime.parameters import caution, confidence_settings
from qe_core.store import PublishResult, Rebuild, Store, StoredTable
from qe_core.store.records import Source
from qe_pipelines.catalogue import OWNERS, Q_VALUE_COLUMNS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.pictures import q_value_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.tables import individual_table


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    deps=["experiences"],
    group_name=Stage.Q_TABLES,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=Q_VALUE_COLUMNS,
)
async def individual_q_table(
    context: dg.AssetExecutionContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Each agent's action values: the exact, cautious solution of the MDP its experiences describe.

    A function of the log, and of the summaries of what retention removed from it, so building it again
    changes nothing unless there is something new.
    """
    values = settings.values
    async with database.store() as store:
        for contract in selected_contracts(context):
            result = await rebuild(store, contract, values)
            stored = await individual_table(contract).load(store)
            context.add_asset_metadata(_metadata(stored, result), partition_key=contract.name)


async def rebuild(store: Store, contract: AgentContract, settings: Settings) -> PublishResult:
    """Publish an agent's table as its evidence determines it, again where a live writer was faster.

    The version is read before the log, and live writers commit their update and its experience together:
    whatever the version counts is in the log that is read after it, so nothing learned is ever lost.

    Raises:
        VersionConflictError: live writers were faster every time.
        LearningError: an experience does not fit the agent's contract.
    """
    declaration = individual_table(contract)
    discount = contract.discount_or(settings.learning.discount)
    tolerance = settings.learning.solver_residual_points

    async def recompute() -> Rebuild:
        """Read table and log afresh and solve."""
        stored = await declaration.load(store)
        observed = await store.experiences.load_mdp(
            contract.name, contract.fingerprint, contract.state_count, contract.action_count
        )
        solution = solve_empirical_mdp(observed, discount, caution(settings), tolerance)
        table = keep_priors(q_table_from_mdp(observed, solution, discount), stored.table)
        source: Source = {
            **stored.source,
            "version": stored.version + 1,
            "experiences": int(observed.count.sum()),
            "discount": discount,
            "bellman_residual": solution.residual,
        }
        weights = quantised_weights(table, confidence_settings(settings))
        return Rebuild(table, weights, stored.version, source)

    return await store.q_tables.publish_with_retry(await declaration.ensure(store), recompute)


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
