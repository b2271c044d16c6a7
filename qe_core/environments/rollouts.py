"""Fast play: ε-greedy Q-learning in a simulated world, as a log of experiences.

What belongs here: Q-learning while playing, and the log that any way of playing leaves. What does not: the
compiled loops (`episode_kernels`), play that plans on what it has learned (`planned_play`), worlds (`world`),
updates on stored experiences (`qe_core.learning`) and the slower Gymnasium interface, which steps through
the same arrays (`simulated`).
"""

from dataclasses import dataclass, field

import numpy as np

from qe_core.environments import episode_kernels
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.experience import Transitions
from qe_core.learning.exploration import ExplorationSchedule, ExponentialSchedule
from qe_core.learning.updates import LearningRate


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """How the agent decides and learns while it plays.

    Attributes:
        schedule: how much it explores; advanced once per episode.
        learning_rate: step sizes of its updates.
        discount: γ in [0, 1); the agent's own where left out.
        minimum_tries: an action tried less often than this in a state is preferred to any other, the
            limit of optimistic initial values (S&B 2.6); 0 for plain ε-greedy from values of 0.
        horizon: the most steps of an episode; the contract's where left out.
    """

    schedule: ExplorationSchedule = field(default_factory=ExponentialSchedule)
    learning_rate: LearningRate = field(default_factory=LearningRate)
    discount: float | None = None
    minimum_tries: int = 5
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class EpisodeLog:
    """What happened, in the order it happened; N steps of E episodes.

    Attributes:
        transitions: N steps.
        episode: number of each step's episode, from 0, int64[N].
        step: number of each step inside its episode, from 0, int64[N].
        propensity: the probability with which the action was chosen, float64[N].
        exploration_rate: ε at each step, float64[N].
        episode_return: undiscounted sum of each episode's rewards, points, float64[E].
        is_success: whether each episode met the contract's success rule, bool[E].
        q: the values learned on the way, float64[S, A].
        visits: how often each pair was tried, those given at the start included, int64[S, A].
        schedule: the exploration schedule after the last episode.
    """

    transitions: Transitions
    episode: Int64Array
    step: Int64Array
    propensity: Float64Array
    exploration_rate: Float64Array
    episode_return: Float64Array
    is_success: BoolArray
    q: Float64Array
    visits: Int64Array
    schedule: ExplorationSchedule

    @property
    def is_last_step(self) -> BoolArray:
        """Which steps end an episode, bool[N]."""
        return self.transitions.terminated | self.transitions.truncated


class EpisodeRecorder:
    """Collects the steps that kernels play, episode by episode; changes in place.

    Args:
        world: where they are played.
        horizon: the most steps of an episode; the contract's where left out.

    Attributes:
        world_arrays: what kernels need to know of the world, in the order in which they take it.
        integers: buffer for one episode, see `episode_kernels`.
        numbers: buffer for one episode.
    """

    def __init__(self, world: World, horizon: int | None) -> None:
        starts = np.flatnonzero(world.start)
        limit = world.contract.horizon if horizon is None else horizon
        self.world_arrays = (
            starts, world.start[starts], world.outcome_offsets, world.next_state, world.probability,
            world.terminated, world.reward_mean, world.reward_sd,
        )  # fmt: skip
        self.integers, self.numbers = np.empty((limit, 5), dtype=np.int64), np.empty((limit, 2))
        self._is_success = world.contract.success.is_success
        self._parts: list[tuple[Int64Array, Float64Array]] = []
        self._rates: list[float] = []
        self._returns: list[float] = []

    def take(self, count: int, exploration_rate: float) -> float:
        """Take the buffers' first ``count`` steps as one more episode and return its return, points."""
        self._parts.append((self.integers[:count].copy(), self.numbers[:count].copy()))
        self._rates.append(exploration_rate)
        self._returns.append(float(self.numbers[:count, 0].sum()))
        return self._returns[-1]

    def transitions(self, first_episode: int = 0) -> Transitions:
        """Return the steps of the episodes from this one on."""
        whole = np.concatenate([part for part, _ in self._parts[first_episode:]])
        reward = np.concatenate([part[:, 0] for _, part in self._parts[first_episode:]])
        return Transitions.from_columns(
            whole[:, 0], whole[:, 1], reward, whole[:, 2], whole[:, 3] == 1, whole[:, 3] == 2
        )

    def log(self, q: Float64Array, visits: Int64Array, schedule: ExplorationSchedule) -> EpisodeLog:
        """Return everything taken, with what was learned on the way."""
        lengths = np.array([len(part) for part, _ in self._parts])
        return EpisodeLog(
            transitions=self.transitions(),
            episode=np.repeat(np.arange(len(lengths)), lengths),
            step=np.concatenate([part[:, 4] for part, _ in self._parts]),
            propensity=np.concatenate([part[:, 1] for _, part in self._parts]),
            exploration_rate=np.repeat(np.array(self._rates), lengths),
            episode_return=np.array(self._returns),
            is_success=np.array([self._is_success(total) for total in self._returns]),
            q=q,
            visits=visits,
            schedule=schedule,
        )


def play(
    world: World,
    episodes: int,
    rng: np.random.Generator,
    settings: PlaySettings | None = None,
    q: Float64Array | None = None,
    visits: Int64Array | None = None,
) -> EpisodeLog:
    """Return what an ε-greedy Q-learner experiences and learns in this many episodes.

    The same arguments give the same bits. An action is greedy among those with the highest value, ties
    broken at random; its propensity is exact.

    Args:
        world: where it plays.
        episodes: how many, 1 or more.
        rng: the only source of chance.
        settings: how it decides and learns; the defaults where left out.
        q: values to start from, points, float64[S, A]; not changed.
        visits: how often each pair was tried before, int64[S, A]; needed together with ``q``.

    Raises:
        LearningError: a count, shape or the discount is out of range.
    """
    chosen = PlaySettings() if settings is None else settings
    discount = world.discount_or_own(chosen.discount)
    require_discount(discount)
    if episodes < 1:
        raise LearningError(f"play at least one episode, not {episodes}")
    if (q is None) != (visits is None):
        raise LearningError("give q and visits together: a value without visits counts as never tried")
    shape = (world.state_count, world.action_count)
    values = np.zeros(shape) if q is None else q.astype(np.float64)
    tried = np.zeros(shape, dtype=np.int64) if visits is None else visits.astype(np.int64)
    require_shape("q", values, shape)
    require_shape("visits", tried, shape)
    rate, schedule = chosen.learning_rate, chosen.schedule
    recorder = EpisodeRecorder(world, chosen.horizon)
    for _ in range(episodes):
        exploration_rate = schedule.exploration_rate
        count = episode_kernels.learn_episode(
            rng, *recorder.world_arrays, values, tried, exploration_rate, rate.initial, rate.minimum,
            rate.exponent, discount, chosen.minimum_tries, recorder.integers, recorder.numbers,
        )  # fmt: skip
        schedule = schedule.advance(recorder.take(count, exploration_rate))
    return recorder.log(values, tried, schedule)
