"""Which stored table belongs to whom: handles, parts and parameters that follow from contracts and settings.

What belongs here: translating a contract or a category into what the store and the learning core take. What
does not: loading, solving, aggregating and publishing themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract, Approach, Category, FleetContext, registry, shared_fingerprint
from qe_core.hierarchy.aggregate import Aggregate, AggregationPart
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.parameters import confidence_settings
from qe_core.store import Level, Store, StoredTable, TableHandle

FLEET = "fleet"
"""The name of the one table of the top level."""


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """What a table is registered under.

    Attributes:
        level: which floor of the hierarchy it belongs to.
        name: the agent's, the category's or the fleet's name.
        fingerprint: the contract its values are read under.
        state_count: number of states S.
        action_names: one name for each of the A columns.
    """

    level: Level
    name: str
    fingerprint: str
    state_count: int
    action_names: tuple[str, ...]

    async def ensure(self, store: Store) -> TableHandle:
        """Return the registered table, created if need be."""
        return await store.q_tables.ensure(
            self.level, self.name, self.fingerprint, self.state_count, self.action_names
        )

    async def load(self, store: Store) -> StoredTable:
        """Return the table as committed.

        Raises:
            StoreError: it is not registered, or under another contract.
        """
        return await store.q_tables.load(self.level, self.name, self.fingerprint)

    def empty(self) -> StoredTable:
        """Return what stands for the table as long as it is not registered: no evidence, version 0."""
        handle = TableHandle(
            0,
            self.level,
            self.name,
            self.fingerprint,
            self.state_count,
            self.action_names,
            epoch=0,
            version=0,
        )
        table = QTable.zeros(self.state_count, len(self.action_names))
        return StoredTable(handle, table, np.zeros_like(table.q))


def individual_table(contract: AgentContract) -> TableDeclaration:
    """Return what an agent's own table is registered under."""
    return TableDeclaration(
        "individual", contract.name, contract.fingerprint, contract.state_count, contract.action_names
    )


def category_table(category: Category) -> TableDeclaration:
    """Return what a category's table is registered under."""
    return _shared_table("category", category.value, category.context)


def fleet_table() -> TableDeclaration:
    """Return what the fleet's table is registered under."""
    return _shared_table("fleet", FLEET, FleetContext)


def _shared_table(level: Level, name: str, context: type[FleetContext]) -> TableDeclaration:
    approaches = tuple(approach.value for approach in Approach)
    return TableDeclaration(level, name, shared_fingerprint(context), context.space_size(), approaches)


async def load_tables(store: Store, declarations: Sequence[TableDeclaration]) -> list[StoredTable]:
    """Return these tables as committed, empty ones for those not registered under the contract of today.

    Reading registers nothing: whoever looks must not change what there is to see.
    """
    lines = await store.q_tables.list_tables()
    registered = {(line.level, line.name, line.fingerprint) for line in lines}
    return [
        await declaration.load(store)
        if (declaration.level, declaration.name, declaration.fingerprint) in registered
        else declaration.empty()
        for declaration in declarations
    ]


@dataclass(frozen=True, slots=True)
class Parts:
    """What an upper table is made of.

    Attributes:
        parts: the lower tables, with weights that follow from the evidence they hold now.
        versions: the version of each when it was read, for lineage.
    """

    parts: list[AggregationPart]
    versions: dict[str, int]

    @property
    def visits(self) -> int:
        """The sum of all visits."""
        return sum(int(part.table.visits.sum()) for part in self.parts)


async def category_parts(store: Store, category: Category, settings: Settings) -> Parts:
    """Return the tables of a category's agents as parts of its table.

    Their stored weights are as of their last publication; live updates come on top of that, so weights are
    taken from the evidence itself.
    """
    found = Parts([], {})
    contracts = registry().by_category(category)
    tables = await load_tables(store, [individual_table(contract) for contract in contracts])
    for contract, stored in zip(contracts, tables, strict=True):
        weights = quantised_weights(stored.table, confidence_settings(settings))
        divisor, approaches = contract.category_divisor, contract.approach_indices
        found.parts.append(AggregationPart(contract.name, stored.table, weights, divisor, approaches))
        found.versions[contract.name] = stored.version
    return found


async def fleet_parts(store: Store) -> Parts:
    """Return the tables of all categories as parts of the fleet's table."""
    found = Parts([], {})
    tables = await load_tables(store, [category_table(category) for category in Category])
    for category, stored in zip(Category, tables, strict=True):
        divisor = category.context.divisor_to(FleetContext)
        found.parts.append(Aggregate(stored.table, stored.weights).as_part(category.value, divisor))
        found.versions[category.value] = stored.version
    return found
