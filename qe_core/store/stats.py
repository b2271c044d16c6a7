"""Statistics windows."""

from collections.abc import Sequence

from qe_core.store.records import StatsWindow


class StatsStore:
    """Statistics windows of all agents."""

    async def replace(self, agent: str, windows: Sequence[StatsWindow]) -> bool:
        """Make these the agent's windows; returns whether anything changed."""
        raise ConnectionError

    async def windows(self, agent: str) -> list[StatsWindow]:
        """Return an agent's windows, oldest first."""
        raise ConnectionError

    async def latest(self) -> dict[str, StatsWindow]:
        """Return each agent's newest window."""
        raise ConnectionError
