"""Checks of the tables, blocking: a table at fault is not aggregated any further.

What belongs here: loading tables and judging them. What does not: the judgement of an aggregation
(`qe_core.hierarchy`).

A table of an outdated contract blocks nothing, because nothing reads it; it is rebuilt when its agent's turn
comes.

Agents go on learning while the graph runs. A table that is exactly as published must satisfy a check exactly;
one that live updates have moved on since must stay within what they can explain.
"""

import asyncio
from collections.abc import Iterator

import dagster as dg
import numpy as np
import numpy.typing as npt

from qe_core.config import Settings
from qe_core.fleet import AgentContract, Category, registry
from qe_core.hierarchy.aggregate import Aggregate, verify_aggregation
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.parameters import confidence_settings, value_limit
from qe_core.runtime.table_declarations import category_table, fleet_table, individual_table, load_tables
from qe_core.store import Store, StoredTable, TableSummary
from qe_pipelines.partitions import category_key
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.tables import Parts, category_parts, fleet_parts
from qe_pipelines.verdicts import verdict

Result = dg.AssetCheckResult

SUM_TOLERANCE = 1e-9
"""Relative difference allowed between sums of products taken in different orders."""

CONTRACT = dg.AssetCheckSpec(
    "contract_fingerprint",
    asset="individual_q_table",
    description="Every table was learned under the contract its agent has today.",
)
BOUNDS = dg.AssetCheckSpec(
    "values_are_bounded",
    asset="individual_q_table",
    blocking=True,
    description="Values are finite and within the largest reward for ever: limit / (1 - discount).",
)
VISITS = dg.AssetCheckSpec(
    "visits_are_conserved",
    asset="individual_q_table",
    blocking=True,
    description="The visits in a table are exactly the experiences it was built from.",
)
WEIGHTS = dg.AssetCheckSpec(
    "weights_follow_evidence",
    asset="individual_q_table",
    blocking=True,
    description="Published weights are confidence times visits, in whole multiples of 2^-20.",
)
FLEET = dg.AssetCheckSpec(
    "adds_up",
    asset="fleet_q_table",
    blocking=True,
    description="Weights, counts, values and statistics are exactly those of the category tables together.",
)
STATISTICS = dg.AssetCheckSpec(
    "statistics_are_conserved",
    asset="fleet_q_table",
    blocking=True,
    description="Count, sum and sum of squares of all learning targets are the same on all three levels.",
)


@dg.multi_asset_check(specs=[CONTRACT, BOUNDS, VISITS, WEIGHTS], name="individual_table_checks")
def individual_table_checks(database: FleetDatabase, settings: FleetSettings) -> Iterator[Result]:
    """Judge every agent's table, whichever agents the run covers."""
    yield from asyncio.run(judged_agents(database, settings.values))


async def judged_agents(database: FleetDatabase, values: Settings) -> list[Result]:
    """Return the verdicts on all agents' tables."""
    async with database.store() as store:
        lines = await store.q_tables.list_tables()
        registered = {line.name: line for line in lines if line.level == "individual"}
        contract_faults = list(fingerprint_faults(registered))
        tables = await load_tables(store, [individual_table(contract) for contract in registry()])
        evidence = await store.retention.evidence()
    logged = {(line.agent, line.fingerprint): line.total for line in evidence}
    total = sum(int(stored.table.visits.sum()) for stored in tables)
    looked_at = f"{len(tables)} tables, {total:,} visits"
    bounds: list[str] = []
    visits: list[str] = []
    weights: list[str] = []
    for contract, stored in zip(registry(), tables, strict=True):
        bounds += bound_faults(contract, stored, values)
        visits += visit_faults(contract, stored, logged.get((contract.name, contract.fingerprint), 0))
        weights += weight_faults(contract, stored, values)
    return [
        verdict(contract_faults, looked_at, CONTRACT),
        verdict(bounds, looked_at, BOUNDS),
        verdict(visits, looked_at, VISITS),
        verdict(weights, looked_at, WEIGHTS),
    ]


def category_check(category: Category) -> dg.AssetChecksDefinition:
    """Return the check that adds up the tables of one category's agents again."""

    @dg.asset_check(
        asset=category_key(category),
        name="adds_up",
        blocking=True,
        description="Weights, counts, values and statistics are exactly those of its agents' tables.",
    )
    def adds_up(database: FleetDatabase, settings: FleetSettings) -> Result:
        return asyncio.run(judged_category(database, settings.values, category))

    return adds_up


async def judged_category(database: FleetDatabase, values: Settings, category: Category) -> Result:
    """Return the verdict on one category's table."""
    async with database.store() as store:
        [stored] = await load_tables(store, [category_table(category)])
        lower = await category_parts(store, category, values)
    looked_at = f"{len(lower.parts)} agents, {lower.visits:,} visits"
    return verdict(aggregation_faults(stored, lower), looked_at)


category_checks = [category_check(category) for category in Category]


@dg.multi_asset_check(specs=[FLEET, STATISTICS], name="fleet_table_checks")
def fleet_table_checks(database: FleetDatabase, settings: FleetSettings) -> Iterator[Result]:
    """Add up the category tables again, and compare the fleet's statistics with the agents' own."""
    yield from asyncio.run(judged_fleet(database, settings.values))


async def judged_fleet(database: FleetDatabase, values: Settings) -> list[Result]:
    """Return the verdicts on the fleet's table."""
    async with database.store() as store:
        [stored] = await load_tables(store, [fleet_table()])
        categories = await fleet_parts(store)
        agents = [await category_parts(store, category, values) for category in Category]
        is_moving = await moved_on(store, agents)
    looked_at = f"{len(categories.parts)} categories, {categories.visits:,} visits"
    faults = list(statistics_faults(stored, agents, is_moving=is_moving))
    return [
        verdict(aggregation_faults(stored, categories), looked_at, FLEET),
        verdict(faults, looked_at, STATISTICS),
    ]


def fingerprint_faults(registered: dict[str, TableSummary]) -> Iterator[str]:
    """Yield agents whose table was learned under another contract than they have today."""
    for contract in registry():
        line = registered.get(contract.name)
        if line is not None and line.fingerprint != contract.fingerprint:
            yield (
                f"{contract.name}: learned under contract {line.fingerprint}, the agent has "
                f"{contract.fingerprint}; materialise its table again"
            )


def is_as_published(stored: StoredTable) -> bool:
    """Return whether nothing has changed the table since its last publication."""
    return stored.version == stored.source.get("version", 0)


def bound_faults(contract: AgentContract, stored: StoredTable, settings: Settings) -> Iterator[str]:
    """Yield values no sum of discounted rewards can reach."""
    discount = contract.discount_or(settings.learning.discount)
    limit = value_limit(stored.table.statistics, discount, settings)
    q = stored.table.q
    largest = float(np.abs(q).max())
    if not np.isfinite(q).all():
        yield f"{contract.name}: {int((~np.isfinite(q)).sum())} values are not finite"
    elif largest > limit * (1 + SUM_TOLERANCE):
        yield f"{contract.name}: a value of {largest:.6g} points, more than {limit:.6g} can ever be earned"


def visit_faults(contract: AgentContract, stored: StoredTable, logged: int) -> Iterator[str]:
    """Yield that visits and experiences do not agree."""
    visits = int(stored.table.visits.sum())
    used = int(stored.source.get("experiences") or 0)
    if is_as_published(stored) and visits != used:
        yield f"{contract.name}: {visits} visits from {used} experiences"
    elif not used <= visits <= logged:
        yield f"{contract.name}: {visits} visits, {used} experiences when published, {logged} counted now"


def weight_faults(contract: AgentContract, stored: StoredTable, settings: Settings) -> Iterator[str]:
    """Yield how many published weights are not what the evidence gives."""
    expected = quantised_weights(stored.table, confidence_settings(settings))
    if is_as_published(stored) and not np.array_equal(stored.weights, expected):
        different = int((stored.weights != expected).sum())
        yield f"{contract.name}: {different} weights are not confidence times visits"


def aggregation_faults(stored: StoredTable, lower: Parts) -> list[str]:
    """Return what contradicts that a shared table is exactly its parts together.

    A part that moved on since can only have gained evidence: then the sum must not exceed the parts.
    """
    faults = verify_aggregation(Aggregate(stored.table, stored.weights), lower.parts)
    if not faults or stored.source == lower.versions:
        return faults
    visits = int(stored.table.visits.sum())
    return [f"{visits} visits, more than {lower.visits} in its parts"] if visits > lower.visits else []


async def moved_on(store: Store, agents: list[Parts]) -> bool:
    """Return whether an agent has learned since its category's table was built."""
    tables = await load_tables(store, [category_table(category) for category in Category])
    return any(stored.source != lower.versions for stored, lower in zip(tables, agents, strict=True))


def statistics_faults(stored: StoredTable, agents: list[Parts], *, is_moving: bool) -> Iterator[str]:
    """Yield which sums over all learning targets differ between the agents' tables and the fleet's."""
    tables = [part.table for lower in agents for part in lower.parts]
    below = np.sum([target_sums(table) for table in tables], axis=0)
    above = target_sums(stored.table)
    if is_moving:
        if above[0] > below[0]:
            yield f"{above[0]:.0f} targets in the fleet's table, {below[0]:.0f} in the agents'"
        return
    scale = np.array([0.0, np.sqrt(below[0] * below[2]), below[2]])
    for name, whole, parts, size in zip(("count", "sum", "sum of squares"), above, below, scale, strict=True):
        if abs(whole - parts) > SUM_TOLERANCE * size:
            yield f"{name} of the targets is {whole:.9g} in the fleet's table, {parts:.9g} in the agents'"


def target_sums(table: QTable) -> npt.NDArray[np.float64]:
    """Return count, sum and sum of squares of all learning targets of a table, float64[3]."""
    count, mean = table.visits, table.target_mean
    return np.array([count.sum(), (count * mean).sum(), (table.target_m2 + count * mean**2).sum()])
