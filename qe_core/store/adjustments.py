"""Adjustments to how agents learn, in PostgreSQL: who changed what, when, why, from what.

What belongs here: storing and reading them. What does not: deciding on them (`qe_core.learning`) and applying
them (`qe_core.runtime`).
"""

from dataclasses import dataclass
from datetime import datetime

from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.store.connection import Connection, Database
from qe_core.store.statements import STATEMENTS


@dataclass(frozen=True, slots=True)
class AdjustmentRecord:
    """One change to how an agent learns.

    Attributes:
        adjustment_id: its number, in order.
        agent: whose learning was changed.
        adjusted_at: when, UTC.
        adjusted_by: who.
        verdict: the verdict it answers.
        reason: why, for people.
        learning_rate_factor_before: factor on learning rates before, in (0, 1].
        learning_rate_factor: factor on learning rates from then on, in (0, 1].
        exploration_floor_before: least exploration rate before, in [0, 1].
        exploration_floor: least exploration rate from then on, in [0, 1].
    """

    adjustment_id: int
    agent: str
    adjusted_at: datetime
    adjusted_by: str
    verdict: str
    reason: str
    learning_rate_factor_before: float
    learning_rate_factor: float
    exploration_floor_before: float
    exploration_floor: float

    @property
    def before(self) -> Adjustment:
        """What held until then."""
        return Adjustment(self.learning_rate_factor_before, self.exploration_floor_before)

    @property
    def after(self) -> Adjustment:
        """What holds from then on."""
        return Adjustment(self.learning_rate_factor, self.exploration_floor)


class AdjustmentStore:
    """The adjustments of all agents.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def present(self, agent: str) -> Adjustment:
        """Return what holds for an agent now; neutral where nothing was ever adjusted."""
        async with self._database.connection() as connection:
            return await _present(connection, agent)

    async def adjust(
        self, agent: str, wanted: Adjustment, by: str, verdict: str, reason: str
    ) -> AdjustmentRecord | None:
        """Make an adjustment hold and return the record of it; None where it holds already.

        Args:
            agent: whose learning.
            wanted: what shall hold.
            by: who asks for it.
            verdict: the verdict it answers.
            reason: for people.
        """

        async def store() -> AdjustmentRecord | None:
            """Compare and record, alone on this agent's adjustments."""
            async with self._database.transaction() as connection:
                await connection.execute(STATEMENTS["lock_adjustments"], agent)
                before = await _present(connection, agent)
                if before == wanted:
                    return None
                row = await connection.fetchrow(
                    STATEMENTS["insert_adjustment"],
                    *(agent, by, verdict, reason),
                    *(before.learning_rate_factor, wanted.learning_rate_factor),
                    *(before.exploration_floor, wanted.exploration_floor),
                )
                return AdjustmentRecord(**dict(row))

        return await self._database.repeated(store)

    async def history(self, agent: str | None = None, limit: int = 1_000) -> list[AdjustmentRecord]:
        """Return the adjustments of an agent, or of all, the newest first.

        Args:
            agent: whose; None for all.
            limit: at most so many.
        """
        rows = await self._database.fetch("read_adjustments", agent, limit)
        return [AdjustmentRecord(**dict(row)) for row in rows]


async def _present(connection: Connection, agent: str) -> Adjustment:
    row = await connection.fetchrow(STATEMENTS["read_present_adjustment"], agent)
    return NEUTRAL if row is None else Adjustment(row["learning_rate_factor"], row["exploration_floor"])
