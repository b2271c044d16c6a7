"""The three tables an agent decides by, under the contract it knows.

What belongs here: taking their handles, and telling when they must be taken anew. What does not: what is in
them (`qe_core.store`).
"""

from dataclasses import dataclass
from typing import Self

from qe_core.fleet.contract import AgentContract, shared_fingerprint
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Approach, FleetContext
from qe_core.store import Level, TableHandle
from qe_core.store.live import Live
from qe_core.store.live.cache import CachedTable

FLEET = "fleet"
"""The name of the one table of the fleet level."""


@dataclass(frozen=True, slots=True)
class AgentTables:
    """What an agent reads and writes.

    Attributes:
        handle: of its own table, and the epoch under which it writes.
        own: cached rows of that table.
        category: cached rows of its category's table.
        fleet: cached rows of the fleet's table.
    """

    handle: TableHandle
    own: CachedTable
    category: CachedTable
    fleet: CachedTable

    @classmethod
    async def take(cls, live: Live, contract: AgentContract) -> Self:
        """Return the current tables, registered if need be; none is replaced.

        Raises:
            FingerprintMismatchError: a table is in use under another contract.
            DatabaseUnavailableError: nobody answers.
        """
        names = contract.action_names
        own = await live.q_tables.ensure(
            *("individual", contract.name, contract.fingerprint, contract.state_count, names),
            may_replace=False,
        )
        category = await _shared(live, "category", contract.category.value, contract.category.context)
        fleet = await _shared(live, "fleet", FLEET, FleetContext)
        return cls(own, *(_current(live, handle) for handle in (own, category, fleet)))

    @property
    def is_superseded(self) -> bool:
        """Whether a table was restored or replaced since, as far as this process has heard."""
        own = self.own
        return not (
            own.epoch == self.handle.epoch
            and own.is_current
            and self.category.is_current
            and self.fleet.is_current
        )


def _current(live: Live, handle: TableHandle) -> CachedTable:
    """Return the cached rows of a table that is known to be current."""
    cached = live.reader.table(handle)
    cached.epoch, cached.is_current = handle.epoch, True
    return cached


async def _shared(live: Live, level: Level, name: str, context: type[StateModel]) -> TableHandle:
    approaches = tuple(approach.value for approach in Approach)
    return await live.q_tables.ensure(
        level, name, shared_fingerprint(context), context.space_size(), approaches, may_replace=False
    )
