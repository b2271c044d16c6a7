"""Fast play that plans: act on the model learned so far, and try actions as often as they may be the best.

What belongs here: playing episodes by a policy that is computed anew as experiences come in. What does not:
the values and their errors (`qe_core.learning.value_beliefs`), the policy that follows from them
(`qe_core.learning.probability_matching`) and Q-learning step by step (`rollouts`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qe_core.environments import episode_kernels
from qe_core.environments.rollouts import EpisodeLog, EpisodeRecorder
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, Int64Array, require_discount, require_fraction
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.learning.exploration import ExplorationSchedule, ExponentialSchedule
from qe_core.learning.probability_matching import matching_policy
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings
from qe_core.learning.transition_counter import TransitionCounter
from qe_core.learning.value_beliefs import ValueBelief, believed_values

SMALL_RATE = 0.01
"""The share of random actions beside matching: keeps every propensity above it over A."""

Beliefs = Callable[[EmpiricalMdp], ValueBelief]
"""What an agent believes after what it has seen; over the reachable states in ascending order."""


@dataclass(frozen=True, slots=True)
class PlanningSettings:
    """How an agent that plans decides.

    Attributes:
        schedule: the share of random actions beside matching; advanced once per episode.
        discount: γ in [0, 1); the agent's own where left out.
        confidence: what is assumed about noise before it is measured.
        replan_share: plan again once experiences grew by this share since the last plan, in [0, 1); 0 plans
            before every episode.
        horizon: the most steps of an episode; the contract's where left out.
    """

    schedule: ExplorationSchedule = field(default_factory=lambda: ExponentialSchedule(SMALL_RATE, SMALL_RATE))
    discount: float | None = None
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE
    replan_share: float = 0.04
    horizon: int | None = None

    def __post_init__(self) -> None:
        require_fraction("replan share", self.replan_share)


def play_planned(
    world: World,
    episodes: int,
    rng: np.random.Generator,
    settings: PlanningSettings | None = None,
    known: EmpiricalMdp | None = None,
    beliefs: Beliefs | None = None,
) -> EpisodeLog:
    """Return what an agent experiences that plans on what it has seen.

    Before an episode it asks what to believe after all experiences so far and takes each action with the
    probability that it is the best one, which states every propensity exactly; within an episode the policy
    stays. The same arguments give the same bits.

    Args:
        world: where it plays.
        episodes: how many, 1 or more.
        rng: the only source of chance.
        settings: how it decides; the defaults where left out.
        known: what was observed before, in the contract's states; nothing where left out.
        beliefs: asked at every plan; by default the values of the empirical MDP with their errors. They
            change how the agent acts, never what it has seen or what the log's table holds.

    Raises:
        LearningError: a count or the discount is out of range, or ``known`` is of another size.
    """
    chosen = PlanningSettings() if settings is None else settings
    discount = world.discount_or_own(chosen.discount)
    require_discount(discount)
    if episodes < 1:
        raise LearningError(f"play at least one episode, not {episodes}")
    planner = _Planner(world, discount, chosen.confidence, known, beliefs)
    recorder = EpisodeRecorder(world, chosen.horizon)
    schedule = chosen.schedule
    waiting, first_waiting = 0, 0
    for episode in range(episodes):
        if waiting > chosen.replan_share * planner.experience_count:
            planner.learn(recorder.transitions(first_waiting))
            waiting, first_waiting = 0, episode
        rate = schedule.exploration_rate
        count = episode_kernels.follow_episode(
            rng, *recorder.world_arrays, planner.policy(rate), planner.row_of_state, recorder.integers,
            recorder.numbers,
        )  # fmt: skip
        waiting += count
        schedule = schedule.advance(recorder.take(count, rate))
    planner.learn(recorder.transitions(first_waiting))
    return recorder.log(*planner.table(), schedule)


class _Planner:
    """What was observed in a world so far and the policy that follows; changes in place.

    Works on the states that tasks can reach, numbered in their order, so that planning costs nothing for the
    others.
    """

    def __init__(
        self,
        world: World,
        discount: float,
        confidence: ConfidenceSettings,
        known: EmpiricalMdp | None,
        beliefs: Beliefs | None,
    ) -> None:
        self._shape = world.state_count, world.action_count
        self._reachable = np.flatnonzero(world.is_reachable)
        self.row_of_state = np.full(world.state_count, -1, dtype=np.int64)
        self.row_of_state[self._reachable] = np.arange(len(self._reachable))
        self._discount, self._confidence = discount, confidence
        self._beliefs = self._solved if beliefs is None else beliefs
        self._counter = TransitionCounter(len(self._reachable), world.action_count)
        if known is not None:
            self._count_known(known)
        self.experience_count = int(sum(self._counter.counts()[4]))
        self._plan()

    def _count_known(self, known: EmpiricalMdp) -> None:
        """Count what was observed before, except in states that this world does not have."""
        if (known.state_count, known.action_count) != self._shape:
            raise LearningError(
                f"observations are of {known.state_count} × {known.action_count} pairs, the world has "
                f"{self._shape[0]} × {self._shape[1]}; give those of the same contract"
            )
        state, action, successor, *rest = known.counts
        rows, ahead = self.row_of_state[state], self.row_of_state[successor]
        is_here = (rows >= 0) & (ahead >= 0)
        self._counter.add_counts(
            (rows[is_here], action[is_here], ahead[is_here], *(column[is_here] for column in rest))  # type: ignore[arg-type]
        )

    def learn(self, transitions: Transitions) -> None:
        """Count more experiences and plan again."""
        rows, ahead = self.row_of_state[transitions.state], self.row_of_state[transitions.next_state]
        self._counter.add(
            Transitions(
                rows, transitions.action, transitions.reward, ahead, transitions.terminated,
                transitions.truncated,
            )
        )  # fmt: skip
        self.experience_count += len(transitions)
        self._plan()

    def _solved(self, mdp: EmpiricalMdp) -> ValueBelief:
        return believed_values(mdp, self._discount, self._confidence)

    def _plan(self) -> None:
        belief = self._beliefs(EmpiricalMdp.from_counter(self._counter))
        self._matched = matching_policy(belief.q, belief.error, belief.visits)

    def policy(self, exploration_rate: float) -> Float64Array:
        """Return the probability of each action, float64[R, A], over the reachable states."""
        return exploration_rate / self._shape[1] + (1.0 - exploration_rate) * self._matched

    def table(self) -> tuple[Float64Array, Int64Array]:
        """Return values and visits of all the contract's states, float64[S, A] and int64[S, A]."""
        solved = self._solved(EmpiricalMdp.from_counter(self._counter))
        q, visits = np.zeros(self._shape), np.zeros(self._shape, dtype=np.int64)
        q[self._reachable], visits[self._reachable] = solved.q, solved.visits
        return q, visits
