"""Many developers who share a database, drawn from a few who were played.

What belongs here: what a database of thousands would count where one developer is protected. What does not:
playing (`qe_core.environments`), noise (`qe_core.privacy.mechanism`).

Thousands of developers with a hundred tasks each cannot be played in an experiment. Each is drawn instead as
one of those played, with chances of their own for which of their pairs count, and which visit of a pair does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from qe_core.environments.rollouts import EpisodeLog
from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound


@dataclass(frozen=True, slots=True)
class Developer:
    """What one developer did with one agent.

    Attributes:
        pairs: visited, ascending, int64[K].
        mean: reward of a visit to each, hundredths of points, float64[K].
        spread: standard deviation of that, float64[K].
        rows: rows of successors seen, ascending, int64[R].
        outcomes: chance of each successor, float64[R, M + 1].
    """

    pairs: Int64Array
    mean: Float64Array
    spread: Float64Array
    rows: Int64Array
    outcomes: Float64Array


@dataclass(frozen=True, slots=True)
class Crowd:
    """Developers to draw from.

    Attributes:
        space: the agent's.
        bound: how much of a developer counts.
        agent_count: agents they work with alike, among which their counted pairs are spread.
        developers: those that were played.
    """

    space: PublicSpace
    bound: ContributionBound
    agent_count: int
    developers: tuple[Developer, ...]

    @classmethod
    def of(
        cls,
        space: PublicSpace,
        logs: Sequence[EpisodeLog],
        task_count: int,
        bound: ContributionBound,
        agent_count: int,
    ) -> Self:
        """Return the crowd of those who did the first tasks of each log."""
        return cls(
            space, bound, agent_count, tuple(_developer(space, log, task_count, bound) for log in logs)
        )

    def statistics(self, count: int, rng: np.random.Generator) -> AgentStatistics:
        """Return what a database of this many developers counts, without noise."""
        space = self.space
        visits, rewards = np.zeros(space.pair_count, dtype=np.int64), np.zeros(space.pair_count)
        transitions = np.zeros((space.row_count, space.outcome_count), dtype=np.int64)
        units = 0
        drawn = np.bincount(rng.integers(0, len(self.developers), count), minlength=len(self.developers))
        for one, times in zip(self.developers, drawn.tolist(), strict=True):
            chance = min(1.0, self.bound.pairs / (self.agent_count * len(one.pairs)))
            seen = rng.binomial(times, chance, len(one.pairs))
            units += int(rng.binomial(times, 1.0 - (1.0 - chance) ** len(one.pairs)))
            visits[one.pairs] += seen
            rewards[one.pairs] += seen * one.mean + np.sqrt(seen) * one.spread * rng.standard_normal(
                len(seen)
            )
            moved = rng.binomial(
                times, min(1.0, self.bound.pairs / (self.agent_count * len(one.rows))), len(one.rows)
            )
            transitions[one.rows] += rng.multinomial(moved, one.outcomes)
        shape = (space.state_count, space.action_count)
        whole = np.rint(rewards).astype(np.int64)
        return AgentStatistics(units, visits.reshape(shape), whole.reshape(shape), transitions)


def _developer(space: PublicSpace, log: EpisodeLog, task_count: int, bound: ContributionBound) -> Developer:
    steps = log.transitions.slice(0, int(np.searchsorted(log.episode, task_count)))
    pairs, of_pair = np.unique(steps.state * space.action_count + steps.action, return_inverse=True)
    reward = 100.0 * np.clip(steps.reward, -bound.clip_bound, bound.clip_bound)
    visits = np.bincount(of_pair)
    mean = np.bincount(of_pair, weights=reward) / visits
    spread = np.sqrt(np.bincount(of_pair, weights=(reward - mean[of_pair]) ** 2) / visits)
    rows, of_row = np.unique(space.part[steps.state] * space.action_count + steps.action, return_inverse=True)
    ahead = np.where(steps.terminated, space.part_count, space.part[steps.next_state])
    outcomes = np.zeros((len(rows), space.outcome_count))
    np.add.at(outcomes, (of_row, ahead), 1.0)
    return Developer(pairs, mean, spread, rows, outcomes / outcomes.sum(axis=1, keepdims=True))
