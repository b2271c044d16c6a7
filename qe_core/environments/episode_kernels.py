"""The compiled loops of fast play: one episode at a time through a world's arrays.

What belongs here: loops over steps, drawing from a passed generator. What does not: checks of arguments and
the log that is made of the steps (`rollouts`, `planned_play`).

Both ways to play an episode return its number of steps and write each into two buffers: ``integers`` takes
state, action, next state, end (0 none, 1 terminated, 2 truncated) and step; ``numbers`` takes reward and
propensity. A buffer's length is the horizon.
"""

import numpy as np

from qe_core.environments.world import NOISE_SPAN
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.learning.compiled import compiled


@compiled
def choose(
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
def pick(generator: np.random.Generator, probabilities: Float64Array) -> int:
    """Return an index with these probabilities; rounding errors fall to the last one."""
    left = generator.random()
    for index in range(len(probabilities) - 1):
        left -= probabilities[index]
        if left < 0:
            return index
    return len(probabilities) - 1


@compiled
def happen(
    generator: np.random.Generator, outcome_offsets: Int64Array, probabilities: Float64Array, pair: int
) -> tuple[int, float]:
    """Return which outcome of a pair happens, and triangular noise in [-1, 1]."""
    first = outcome_offsets[pair]
    row = first + pick(generator, probabilities[first : outcome_offsets[pair + 1]])
    return row, generator.random() + generator.random() - 1.0


@compiled
def tried_value(q: Float64Array, visits: Int64Array) -> float:
    """Return the best value among actions tried in one state, 0 where none was."""
    best = -np.inf
    for action in range(len(q)):
        if visits[action] > 0:
            best = max(best, q[action])
    return best if best > -np.inf else 0.0


@compiled
def learn_episode(
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
    """Play one episode by ε-greedy Q-learning, change ``q`` and ``visits`` in place, return its steps."""
    horizon, action_count = len(integers), q.shape[1]
    state = starts[pick(generator, start_chances)]
    for step in range(horizon):
        action, propensity = choose(generator, q[state], visits[state], exploration_rate, minimum_tries)
        row, noise = happen(generator, outcome_offsets, probabilities, state * action_count + action)
        reward = reward_mean[state, action] + NOISE_SPAN * reward_sd[state, action] * noise
        successor, has_ended = next_states[row], ends[row]

        target = reward if has_ended else reward + discount * tried_value(q[successor], visits[successor])
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


@compiled
def follow_episode(
    generator: np.random.Generator,
    starts: Int64Array,
    start_chances: Float64Array,
    outcome_offsets: Int64Array,
    next_states: Int64Array,
    probabilities: Float64Array,
    ends: BoolArray,
    reward_mean: Float64Array,
    reward_sd: Float64Array,
    policy: Float64Array,
    row_of_state: Int64Array,
    integers: Int64Array,
    numbers: Float64Array,
) -> int:
    """Play one episode by a stated policy, float64[rows, A], and return its number of steps."""
    horizon, action_count = len(integers), policy.shape[1]
    state = starts[pick(generator, start_chances)]
    for step in range(horizon):
        chances = policy[row_of_state[state]]
        action = pick(generator, chances)
        row, noise = happen(generator, outcome_offsets, probabilities, state * action_count + action)
        integers[step, 0], integers[step, 1], integers[step, 2] = state, action, next_states[row]
        integers[step, 3] = 1 if ends[row] else (2 if step == horizon - 1 else 0)
        integers[step, 4] = step
        numbers[step, 0] = reward_mean[state, action] + NOISE_SPAN * reward_sd[state, action] * noise
        numbers[step, 1] = chances[action]
        if ends[row]:
            return step + 1
        state = next_states[row]
    return horizon
