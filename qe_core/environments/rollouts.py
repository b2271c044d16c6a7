"""Fast play: ε-greedy Q-learning in a simulated world, as a log of experiences.

What belongs here: the loop of deciding, stepping and learning, compiled, and the log it leaves. What does
not: worlds (`world`), updates on stored experiences (`qe_core.learning`) and the slower Gymnasium
interface, which steps through the same arrays (`simulated`).
"""

from dataclasses import dataclass, field

import numpy as np

from qe_core.environments.world import NOISE_SPAN, World
from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.compiled import compiled
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
    horizon = world.contract.horizon if chosen.horizon is None else chosen.horizon
    starts = np.flatnonzero(world.start)
    rate = chosen.learning_rate
    schedule = chosen.schedule
    integers, numbers = np.empty((horizon, 5), dtype=np.int64), np.empty((horizon, 2))
    parts: list[tuple[Int64Array, Float64Array]] = []
    rates, returns = np.empty(episodes), np.empty(episodes)
    for episode in range(episodes):
        rates[episode] = schedule.exploration_rate
        count = _play_episode(
            rng, starts, world.start[starts], world.outcome_offsets, world.next_state, world.probability,
            world.terminated, world.reward_mean, world.reward_sd, values, tried, rates[episode],
            rate.initial, rate.minimum, rate.exponent, discount, chosen.minimum_tries, integers, numbers,
        )  # fmt: skip
        parts.append((integers[:count].copy(), numbers[:count].copy()))
        returns[episode] = numbers[:count, 0].sum()
        schedule = schedule.advance(float(returns[episode]))
    whole = np.concatenate([part for part, _ in parts])
    real = np.concatenate([part for _, part in parts])
    lengths = np.array([len(part) for part, _ in parts])
    return EpisodeLog(
        transitions=Transitions.from_columns(
            whole[:, 0], whole[:, 1], real[:, 0], whole[:, 2], whole[:, 3] == 1, whole[:, 3] == 2
        ),
        episode=np.repeat(np.arange(episodes), lengths),
        step=np.ascontiguousarray(whole[:, 4]),
        propensity=np.ascontiguousarray(real[:, 1]),
        exploration_rate=np.repeat(rates, lengths),
        episode_return=returns,
        is_success=np.array([world.contract.success.is_success(total) for total in returns.tolist()]),
        q=values,
        visits=tried,
        schedule=schedule,
    )


@compiled
def _choose(
    generator: np.random.Generator,
    q: Float64Array,
    visits: Int64Array,
    exploration_rate: float,
    minimum_tries: int,
) -> tuple[int, float]:
    """Return an ε-greedy action and its propensity, given one state's values and visits, float64[A]."""
    action_count = len(q)
    worth = np.where(visits >= minimum_tries, q, np.inf)
    is_best = worth == worth.max()
    best_count = is_best.sum()
    explores = generator.random() < exploration_rate
    candidates = action_count if explores else best_count
    rank = min(int(generator.random() * candidates), candidates - 1)
    action = rank
    if not explores:
        action = -1
        while rank >= 0:
            action += 1
            rank -= is_best[action]
    propensity = exploration_rate / action_count + is_best[action] * (1.0 - exploration_rate) / best_count
    return action, propensity


@compiled
def _pick(generator: np.random.Generator, probabilities: Float64Array) -> int:
    """Return an index with these probabilities; rounding errors fall to the last one."""
    left = generator.random()
    for index in range(len(probabilities) - 1):
        left -= probabilities[index]
        if left < 0:
            return index
    return len(probabilities) - 1


@compiled
def _tried_value(q: Float64Array, visits: Int64Array) -> float:
    """Return the best value among actions tried in one state, 0 where none was."""
    best = -np.inf
    for action in range(len(q)):
        if visits[action] > 0:
            best = max(best, q[action])
    return best if best > -np.inf else 0.0


@compiled
def _play_episode(
    generator: np.random.Generator,
    starts: Int64Array,
    start_chances: Float64Array,
    outcome_offsets: Int64Array,
    next_states: Int64Array,
    probabilities: Float64Array,
    ends: BoolArray,
    reward_mean: Float64Array,
    reward_sd: Float64Array,
    q: Float64Array,
    visits: Int64Array,
    exploration_rate: float,
    rate_initial: float,
    rate_minimum: float,
    rate_exponent: float,
    discount: float,
    minimum_tries: int,
    integers: Int64Array,
    numbers: Float64Array,
) -> int:
    """Play one episode, learn in place and return its number of steps.

    ``integers`` takes state, action, next state, end (0 none, 1 terminated, 2 truncated) and step;
    ``numbers`` takes reward and propensity.
    """
    horizon, action_count = len(integers), q.shape[1]
    state = starts[_pick(generator, start_chances)]
    for step in range(horizon):
        action, propensity = _choose(generator, q[state], visits[state], exploration_rate, minimum_tries)
        pair = state * action_count + action
        first = outcome_offsets[pair]
        row = first + _pick(generator, probabilities[first : outcome_offsets[pair + 1]])
        noise = generator.random() + generator.random() - 1.0
        reward = reward_mean[state, action] + NOISE_SPAN * reward_sd[state, action] * noise
        successor, has_ended = next_states[row], ends[row]

        target = reward if has_ended else reward + discount * _tried_value(q[successor], visits[successor])
        rate = max(rate_minimum, rate_initial / (1.0 + visits[state, action]) ** rate_exponent)
        q[state, action] += rate * (target - q[state, action])
        visits[state, action] += 1

        integers[step, 0], integers[step, 1], integers[step, 2] = state, action, successor
        integers[step, 3] = 1 if has_ended else (2 if step == horizon - 1 else 0)
        integers[step, 4] = step
        numbers[step, 0], numbers[step, 1] = reward, propensity
        if has_ended:
            return step + 1
        state = successor
    return horizon
