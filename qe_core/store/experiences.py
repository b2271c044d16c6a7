"""The append-only log of experiences."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy.typing as npt
import pyarrow as pa

from qe_core.learning.experience import Transitions
from qe_core.store.records import EpisodeReturns, ExperienceCounts

ExperienceColumns: TypeAlias = pa.Table | pa.RecordBatch | Mapping[str, npt.ArrayLike]
"""occurred_at (aware, timestamp[us, UTC]), agent, episode, step, state, action, reward, next_state, terminated,
truncated, propensity, fingerprint, source required; exploration_rate, success, policy_version may be absent or null.
A mapping may hold scalars for columns that are the same in every row."""


class ExperienceLog:
    """All transitions of all agents."""

    async def append(self, rows: ExperienceColumns) -> int:
        """Store rows not in the log yet and return how many those were."""
        raise ConnectionError

    async def load_transitions(
        self, agent: str, fingerprint: str, after_id: int = 0, up_to_id: int | None = None
    ) -> Transitions:
        """Return an agent's transitions under one contract in canonical order."""
        raise ConnectionError

    async def counts(self) -> list[ExperienceCounts]:
        """Return how much each agent has, by name."""
        raise ConnectionError

    async def episode_returns(self, agent: str, fingerprint: str | None = None) -> EpisodeReturns:
        """Return one entry for each episode in the order of their last steps."""
        raise ConnectionError
