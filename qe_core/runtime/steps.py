"""From decisions and outcomes to experiences and the updates they cause.

What belongs here: reward, target and learning rate of each step, from rows that hold this process's own
updates already. What does not: when to record (`learner`), and storing (`qe_core.store`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from qe_core.fleet.contract import AgentContract
from qe_core.learning.updates import LearningRate
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.store.live import Experience, Reader, UpdateBatch
from qe_core.store.live.cache import CachedTable
from qe_core.store.live.packing import microseconds
from qe_core.store.live.rows import Row, row_after

COST = "cost_efficiency"
"""The measurement, actual over expected cost, that tells what a unit of an A/B test cost."""


class Taken(Protocol):
    """What a step needs to know of a decision; see `learner.Decision`."""

    @property
    def step(self) -> int:
        """Position in the episode."""

    @property
    def state(self) -> int:
        """Code of the state."""

    @property
    def action(self) -> int:
        """Index of the chosen action."""

    @property
    def propensity(self) -> float:
        """Probability with which it was chosen."""

    @property
    def exploration_rate(self) -> float:
        """Of the decision."""

    @property
    def policy_version(self) -> int | None:
        """The frozen version followed, if any."""


class Step(NamedTuple):
    """One transition and the update it causes.

    Attributes:
        experience: for the log.
        target: TD target, points.
        learning_rate: in [0, 1].
    """

    experience: Experience
    target: float
    learning_rate: float


Happened: TypeAlias = tuple[Taken, Outcome, Episode, int]
"""A decision, its outcome, its episode, and the code of the state that followed (its own where none did)."""


class StepLearner:
    """Computes steps of one agent.

    Args:
        reader: answers rows that are not cached.
        contract: the agent's.
        discount: γ in [0, 1).
        learning_rate: by visits.

    Attributes:
        learning_rate: in use; may be replaced at any time.
    """

    def __init__(
        self, reader: Reader, contract: AgentContract, discount: float, learning_rate: LearningRate
    ) -> None:
        self._reader = reader
        self._contract = contract
        self._discount = discount
        self.learning_rate = learning_rate

    async def prepare(
        self, table: CachedTable, happened: Sequence[Happened], clock: Callable[[], datetime]
    ) -> list[Step]:
        """Return the steps in order, each computed with the updates of those before it.

        The rewards enter their episodes. Nothing is awaited once the rows are at hand.

        Args:
            table: the agent's own.
            happened: in the order in which to learn from it.
            clock: dates outcomes without a date.

        Raises:
            RewardError: a measurement cannot be used.
            DatabaseUnavailableError: a row is not cached and the database did not answer in time.
        """
        rewards = [outcome.reward(self._contract.reward) for _, outcome, _, _ in happened]
        rows = await self._rows(table, happened)
        steps = []
        for (decision, outcome, episode, next_state), reward in zip(happened, rewards, strict=True):
            state, action = decision.state, decision.action
            episode.rewards[decision.step] = reward
            if outcome.measurements is not None and COST in outcome.measurements:
                episode.costs[decision.step] = outcome.measurements[COST]
            follows = 0.0 if outcome.terminated else _state_value(rows[next_state])
            target = reward + self._discount * follows
            rate = self._rate_at(rows[state].visits[action])
            rows[state] = row_after(rows[state], ((action, target, rate),))
            experience = Experience(
                occurred_at=clock() if outcome.occurred_at is None else outcome.occurred_at,
                episode=episode.name,
                step=decision.step,
                state=state,
                action=action,
                reward=reward,
                next_state=next_state,
                terminated=outcome.terminated,
                truncated=outcome.truncated,
                propensity=decision.propensity,
                exploration_rate=decision.exploration_rate,
                success=self._success(outcome, episode),
                policy_version=decision.policy_version,
            )
            steps.append(Step(experience, target, rate))
        return steps

    async def _rows(self, table: CachedTable, happened: Sequence[Happened]) -> dict[int, Row]:
        """Return the rows of all states met."""
        states = list(dict.fromkeys(state for one in happened for state in (one[0].state, one[3])))
        rows = {state: row for state in states if (row := table.row(state)) is not None}
        if len(rows) == len(states):
            return rows
        answered = await self._reader.rows([(table, state) for state in states])
        return dict(zip(states, answered, strict=True))

    def _rate_at(self, visits: int) -> float:
        """Return ``LearningRate.at`` of one number, without an array."""
        rate = self.learning_rate
        return max(rate.minimum, rate.initial / float((1.0 + visits) ** rate.exponent))

    def _success(self, outcome: Outcome, episode: Episode) -> bool | None:
        if not outcome.is_end:
            return None
        if outcome.success is not None:
            return outcome.success
        return self._contract.success.is_success(episode.total_reward)


def _state_value(row: Row) -> float:
    """Return max q over the visited actions, 0 where there are none."""
    return max((q for q, visits in zip(row.q, row.visits, strict=True) if visits > 0), default=0.0)


def batch_of(steps: Sequence[Step]) -> UpdateBatch:
    """Return steps as columns."""
    experiences = [step.experience for step in steps]
    rates = [np.nan if of.exploration_rate is None else of.exploration_rate for of in experiences]
    versions = [-1 if of.policy_version is None else of.policy_version for of in experiences]
    return UpdateBatch(
        state=np.array([of.state for of in experiences], dtype=np.int64),
        action=np.array([of.action for of in experiences], dtype=np.int16),
        target=np.array([step.target for step in steps]),
        learning_rate=np.array([step.learning_rate for step in steps]),
        occurred_at=np.array([microseconds(of.occurred_at) for of in experiences], dtype=np.int64),
        episode=[of.episode for of in experiences],
        step=np.array([of.step for of in experiences], dtype=np.int32),
        reward=np.array([of.reward for of in experiences]),
        next_state=np.array([of.next_state for of in experiences], dtype=np.int64),
        terminated=np.array([of.terminated for of in experiences]),
        truncated=np.array([of.truncated for of in experiences]),
        propensity=np.array([of.propensity for of in experiences]),
        exploration_rate=np.array(rates),
        success=np.array(
            [-1 if of.success is None else int(of.success) for of in experiences], dtype=np.int8
        ),
        policy_version=np.array(versions, dtype=np.int64),
    )
