"""A world of any size to learn in: random, sparse, seeded, and what its experiences look like.

What belongs here: drawing transitions that several learning benchmarks share. What does not: measuring.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qe_core.learning.experience import Transitions

SUCCESSORS = 5
TERMINATION = 0.05
NOISE_POINTS = 10.0
DISCOUNT = 0.95
ROWS_DRAWN = 65_536


@dataclass(frozen=True, slots=True)
class World:
    """Pairs lead to a few successors each, with a mean reward of their own and noise on top.

    Attributes:
        state_count: S.
        action_count: A.
        seed: of the world and everything drawn from it.
        is_scattered: whether any state may follow instead, so that hardly two transitions are alike.
    """

    state_count: int
    action_count: int
    seed: int = 7
    is_scattered: bool = False

    def batches(self, row_count: int) -> Iterator[Transitions]:
        """Yield so many transitions from uniformly drawn pairs, always the same ones, batch by batch."""
        generator = np.random.default_rng(self.seed)
        pairs = self.state_count * self.action_count
        successor = generator.integers(0, self.state_count, (pairs, SUCCESSORS))
        mean = generator.normal(0.0, NOISE_POINTS, pairs)
        for first in range(0, row_count, ROWS_DRAWN):
            count = min(ROWS_DRAWN, row_count - first)
            pair = generator.integers(0, pairs, count)
            following = (
                generator.integers(0, self.state_count, count)
                if self.is_scattered
                else successor[pair, generator.integers(0, SUCCESSORS, count)]
            )
            yield Transitions(
                pair // self.action_count,
                (pair % self.action_count).astype(np.int16),
                mean[pair] + generator.normal(0.0, NOISE_POINTS, count),
                following,
                generator.random(count) < TERMINATION,
                np.zeros(count, dtype=np.bool_),
            )

    def log(self, row_count: int) -> Transitions:
        """Return the transitions of ``batches`` in one piece."""
        return Transitions.concatenate(list(self.batches(row_count)))
