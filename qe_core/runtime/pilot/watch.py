"""Watching the pilot while it plays: the graph looks at the log, the monitor at what the graph found.

What belongs here: rounds of the graph beside the playing, and what is seen after each. What does not: what a
round is (`qe_core.runtime.graph`), the monitor's rules (`qe_core.runtime.monitoring`).
"""

import asyncio
from contextlib import suppress

from qe_core.config import Settings
from qe_core.environments.world import World
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.graph import Rounds
from qe_core.runtime.monitoring import Observation, QLearningMonitor
from qe_core.runtime.training import table_so_far
from qe_core.runtime.value_reached import ValueReached
from qe_core.store import Store


class Watch:
    """Lets the graph look at the log beside the playing, and says what it and the monitor see.

    Args:
        store: where the pilot's log and tables are.
        settings: of monitoring.
        rounds: of the graph.
        world: whose exact values judge the table; None where there is no simulated world.

    Attributes:
        seen: what the monitor saw last.
        count: rounds that ended.
    """

    def __init__(self, store: Store, settings: Settings, rounds: Rounds, world: World | None) -> None:
        self._store = store
        self._monitor = QLearningMonitor(store, settings)
        self._discount = TEST_GENERATOR.discount_or(settings.learning.discount)
        self._rounds = rounds
        self._world = world
        self._under_way: asyncio.Task[None] | None = None
        self.seen: Observation | None = None
        self.count = 0

    async def begin_round(self) -> None:
        """Begin a round, after the one under way."""
        await self.ended()
        self._under_way = asyncio.create_task(self._round())

    async def round(self) -> None:
        """Wait for a whole round that begins now."""
        await self.begin_round()
        await self.ended()

    async def ended(self) -> None:
        """Wait for the round under way."""
        if self._under_way is not None:
            await self._under_way
            self._under_way = None

    async def cancel(self) -> None:
        """Give up the round under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            with suppress(asyncio.CancelledError):
                await self._under_way

    async def look(self) -> Observation:
        """Return what the monitor sees, after it answered divergence."""
        self.seen = await self._monitor.observe(TEST_GENERATOR.name)
        await self._monitor.respond(self.seen)
        return self.seen

    async def reached(self) -> ValueReached | None:
        """Return what the table is worth now, in the simulated world."""
        if self._world is None:
            return None
        table = (await table_so_far(self._store, TEST_GENERATOR)).table
        return ValueReached.of(self._world, table, self._discount)

    async def _round(self) -> None:
        await self._rounds.materialize()
        self.count += 1
        await self.look()
