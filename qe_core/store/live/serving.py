"""What each agent serves at present, as one process knows it: aliases, mode, test, and the frozen rows.

What belongs here: hearing of changes, asking in case one was not heard, loading versions once. What does not:
which episode follows what (`qe_core.runtime.rollout`), and changing it (`qe_core.store.policies`).

Nothing here is waited for by a decision. A version that cannot be loaded is missing from what is at hand and
is tried again at the next look; meanwhile its users make do without it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields

from qe_core.errors import StoreError
from qe_core.store.live.frozen import FrozenPolicy
from qe_core.store.live.reader_settings import ReaderSettings
from qe_core.store.policies import PolicyStore, ServingState

LOGGER = logging.getLogger(__name__)

CHANNEL = "qe_serving"
"""Where changes of what an agent serves are announced, by its name."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one agent serves at one moment.

    Attributes:
        state: as it is in the database.
        policies: those of its versions that are at hand, by number.
    """

    state: ServingState
    policies: Mapping[int, FrozenPolicy]

    @property
    def is_complete(self) -> bool:
        """Whether every version it takes is at hand."""
        return self.state.numbers <= self.policies.keys()


@dataclass(slots=True)
class ServingCounters:
    """What watching has met.

    Attributes:
        looks: times the database was asked.
        failed_looks: among them those it did not answer.
        changes: of what an agent serves.
        loaded: versions loaded.
        not_loaded: times a version could not be loaded.
    """

    looks: int = 0
    failed_looks: int = 0
    changes: int = 0
    loaded: int = 0
    not_loaded: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counts now, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class ServingWatch:
    """Knows what the agents of this process serve; lives inside one event loop.

    Args:
        policies: where versions and aliases are.
        settings: how often to look.

    Attributes:
        counters: what has been met.
    """

    def __init__(self, policies: PolicyStore, settings: ReaderSettings) -> None:
        self.counters = ServingCounters()
        self._policies = policies
        self._check_seconds = settings.check_seconds
        self._served: dict[str, Served] = {}
        self._is_due = asyncio.Event()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look now and then; call it once, inside the event loop."""
        self._task = asyncio.create_task(self._run(), name="qe-live-serving")

    async def close(self) -> None:
        """Look no longer."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def of(self, agent: str) -> Served:
        """Return what a followed agent serves as last seen: the same object until that changes."""
        return self._served[agent]

    def heard(self, agent: str) -> None:
        """Take the news that what an agent serves has changed."""
        if agent in self._served:
            self._is_due.set()

    async def look(self, agent: str) -> Served:
        """Return what an agent serves now, and follow it from now on.

        Raises:
            DatabaseUnavailableError: nobody answers.
        """
        await self._look([agent])
        return self._served[agent]

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_seconds):
                    await self._is_due.wait()
            self._is_due.clear()
            if not self._served:
                continue
            try:
                await self._look(list(self._served))
            except Exception as error:
                # Whatever it is, the next look may succeed; until then what is known goes on holding.
                self.counters.failed_looks += 1
                LOGGER.warning("what agents serve is not known now: %r", error)

    async def _look(self, agents: Sequence[str]) -> None:
        async with self._looking:
            self.counters.looks += 1
            states = await self._policies.serving(agents)
            for agent in agents:
                await self._take(agent, states[agent])

    async def _take(self, agent: str, state: ServingState) -> None:
        """Keep what an agent serves, unless it is known already, with the versions that can be loaded."""
        known = self._served.get(agent)
        if known is not None and known.state == state and known.is_complete:
            return
        before = {} if known is None else known.policies
        policies = {number: before[number] for number in state.numbers & before.keys()}
        for number in sorted(state.numbers - policies.keys()):
            try:
                rows = await self._policies.rows(number)
                # A big table takes tens of milliseconds to turn into rows: beside the event loop.
                policies[number] = await asyncio.to_thread(FrozenPolicy.of, rows)
                self.counters.loaded += 1
            except StoreError as error:
                self.counters.not_loaded += 1
                LOGGER.warning("%s: policy version %d cannot be loaded now: %s", agent, number, error)
        if known is None or known.state != state or policies.keys() != before.keys():
            self._served[agent] = Served(state, policies)
            self.counters.changes += known is not None and known.state != state
