"""What each table of the hierarchy is registered under, and reading those that are.

What belongs here: the names, shapes and contracts of tables, as they follow from who learns. What does not:
what is in them (`qe_core.store`), and what they are made of (`rebuilding`, `qe_pipelines`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.fleet import AgentContract, Approach, Category, FleetContext, shared_fingerprint
from qe_core.learning.q_table import QTable
from qe_core.runtime.tables import FLEET
from qe_core.store import Level, Store, StoredTable, TableHandle


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
