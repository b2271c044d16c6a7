"""Statistics windows of an agent's whole log, by sequential replay.

What belongs here: cutting the log into windows and computing each one's figures.
What does not: thresholds and verdicts (convergence).

The log is replayed once, in order, by Q-learning from an empty table. That shows what an exact solution of
the whole log hides: whether values still move, policies still change, and rewards still drift. The same log
gives the same bits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, name_rows, require_discount
from qe_core.learning.convergence import (
    DEFAULT_CONVERGENCE,
    ConvergenceSettings,
    WindowStatistics,
    judged,
)
from qe_core.learning.experience import Transitions
from qe_core.learning.mdp_kernels import entries_of_rows, rows_by_pair_and_successor
from qe_core.learning.q_table import ConfidenceSettings, greedy_actions, noise_variance
from qe_core.learning.replay.kernels import replay_log, values_of_tried
from qe_core.learning.replay.training import kernel_rate
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.updates import LearningRate

IMPORTANT_SHARE = 0.01
"""A state matters when at least this share of recent visits went to it."""

DEFAULT_RATE = LearningRate()


def convergence_windows(
    transitions: Transitions,
    state_count: int,
    action_count: int,
    *,
    episode_ends: npt.ArrayLike,
    success: npt.ArrayLike,
    exploration_rate: npt.ArrayLike,
    discount: float,
    learning_rate: LearningRate = DEFAULT_RATE,
    settings: ConvergenceSettings = DEFAULT_CONVERGENCE,
    idle_seconds: float | None = None,
    warm_up_rows: int = 0,
) -> list[WindowStatistics]:
    """Return the windows of a log, oldest first, each with its verdict.

    A window holds ``window_episodes`` finished episodes (more where the log would have over
    ``maximum_windows``); the remainder joins the last one. Rows after the last finished episode are left out.

    Args:
        transitions: the agent's whole log in canonical order.
        state_count: states of the agent's table.
        action_count: actions of the agent's table.
        episode_ends: exclusive end row of each episode, increasing, int[E]; see ``Transitions.episode_ends``.
        success: 1 or True succeeded, 0 or False failed, −1 unknown, per episode.
        exploration_rate: per episode, NaN where unknown.
        discount: γ in [0, 1).
        learning_rate: what the replay learns with.
        settings: window sizes and thresholds.
        idle_seconds: time since the last experience; makes the last verdict stale where it is long.
        warm_up_rows: rows that are learned from before the first window and belong to none; below the first
            of ``episode_ends``.

    Raises:
        LearningError: a column does not fit; the message names the first bad entries.
    """
    require_discount(discount)
    transitions.validate(state_count, action_count)
    episodes = _Episodes.of(len(transitions), episode_ends, success, exploration_rate, warm_up_rows)
    count = len(episodes.end_row)
    if count == 0:
        return []
    size = max(settings.window_episodes, -(-count // settings.maximum_windows))
    ends = np.arange(size, count + 1, size) if count >= size else np.array([count])
    ends[-1] = count
    replay = _Replay(transitions, state_count, action_count, discount, learning_rate, settings)
    replay.warm_up(warm_up_rows)
    windows, first = [], 0
    for index, end in enumerate(ends.tolist()):
        windows.append(replay.window(index, episodes.slice(first, end)))
        first = end
    return judged(windows, settings, idle_seconds)


@dataclass(frozen=True, slots=True)
class _Episodes:
    """Episodes as columns: first and end row, success (−1 unknown), exploration rate (NaN unknown)."""

    first_row: Int64Array
    end_row: Int64Array
    success: Int64Array
    exploration_rate: Float64Array

    @classmethod
    def of(
        cls, row_count: int, ends: npt.ArrayLike, success: npt.ArrayLike, rate: npt.ArrayLike, begin: int
    ) -> "_Episodes":
        """Return the episodes, checked against the number of rows and each other."""
        end_row, succeeded = np.asarray(ends, dtype=np.int64), np.asarray(success).astype(np.int64)
        rates = np.asarray(rate, dtype=np.float64)
        if not len(end_row) == len(succeeded) == len(rates):
            raise LearningError(
                f"episode_ends, success and exploration_rate must have one length, got {len(end_row)}, "
                f"{len(succeeded)}, {len(rates)}; pass one entry per finished episode"
            )
        first_row = np.concatenate([[begin], end_row[:-1]]).astype(np.int64)[: len(end_row)]
        for name, is_bad, values in (
            (
                "episode_ends must increase and lie in the log",
                (end_row <= first_row) | (end_row > row_count),
                end_row,
            ),
            ("success must be 1, 0 or −1", ~np.isin(succeeded, (-1, 0, 1)), succeeded),
            ("exploration rates must lie in [0, 1] or be NaN", (rates < 0) | (rates > 1), rates),
        ):
            if is_bad.any():
                raise LearningError(f"{name}, but {name_rows(is_bad, values)}; correct these episodes")
        return cls(first_row, end_row, succeeded, rates)

    def slice(self, start: int, stop: int) -> "_Episodes":
        """Return episodes ``start`` to ``stop`` (exclusive)."""
        return _Episodes(
            self.first_row[start:stop],
            self.end_row[start:stop],
            self.success[start:stop],
            self.exploration_rate[start:stop],
        )


class _Replay:
    """A Q-table that learns the log window by window, and the empirical MDP that grows beside it."""

    def __init__(
        self,
        transitions: Transitions,
        state_count: int,
        action_count: int,
        discount: float,
        learning_rate: LearningRate,
        settings: ConvergenceSettings,
    ) -> None:
        self.log, self.discount, self.rate, self.settings = transitions, discount, learning_rate, settings
        shape = (state_count, action_count)
        self.q, self.mean, self.m2 = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.visits = np.zeros(shape, dtype=np.int64)
        self.updates = np.zeros(shape, dtype=np.int64)
        self.tried = values_of_tried(self.q, self.updates, self.visits)
        self.rate_values, self.rates = kernel_rate(learning_rate)
        self.pair = transitions.state * action_count + transitions.action
        successor = 2 * transitions.next_state + transitions.terminated
        order = rows_by_pair_and_successor(self.pair, successor, state_count * action_count, 2 * state_count)
        first, self.entry = entries_of_rows(order, self.pair, successor)
        self.entry_pair, self.entry_next = self.pair[first], transitions.next_state[first]
        self.goes_on = np.where(transitions.terminated[first], 0.0, discount)
        self.entry_count = np.zeros(len(first), dtype=np.int64)
        self.reward_sum = np.zeros(shape[0] * shape[1])
        self.window_starts: list[int] = []

    def warm_up(self, rows: int) -> None:
        """Learn from the first rows of the log without reporting."""
        if rows > 0:
            self._learn(0, rows)

    def window(self, index: int, episodes: _Episodes) -> WindowStatistics:
        """Replay one window and return its figures, still without a verdict."""
        first, end = int(episodes.first_row[0]), int(episodes.end_row[-1])
        self.window_starts.append(first)
        greedy_before, q_before = self._greedy(), self.q.copy()
        self._learn(first, end)
        reward = self.log.reward[first:end]
        returns = np.add.reduceat(reward, episodes.first_row - first)
        known = episodes.success[episodes.success >= 0]
        rates = episodes.exploration_rate[~np.isnan(episodes.exploration_rate)]
        recent = slice(self.window_starts[-self.settings.window_count :][0], end)
        state_value = self._state_values()
        return WindowStatistics(
            window_index=index,
            first_row=first,
            end_row=end,
            episodes=len(returns),
            experiences=end - first,
            mean_return=float(returns.mean()),
            return_sd=float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
            reward_mean=float(reward.mean()),
            reward_sd=float(reward.std()),
            success_rate=float(known.mean()) if len(known) else None,
            exploration_rate=float(rates.mean()) if len(rates) else None,
            mean_abs_q_change=float(np.abs(self.q - q_before).sum())
            / (end - first)
            / self.settings.reward_scale,
            largest_q=float(np.abs(self.q).max()),
            bellman_residual=self._bellman_residual(state_value),
            recent_bias=self._recent_bias(recent, state_value),
            greedy_churn=self._churn(greedy_before, slice(first, end)),
            pair_coverage=self._pair_coverage(recent),
            is_settling=self.rate.is_settling(int(self.visits.max())),
            states_visited=int(self.visits.any(axis=1).sum()),
        )

    def _learn(self, first: int, end: int) -> None:
        """Replay rows ``first`` to ``end`` and count them."""
        log = self.log.slice(first, end)
        replay_log(
            self.q, self.tried, self.updates, self.visits, self.mean, self.m2,
            log.state, log.action, log.reward, log.next_state, log.terminated,
            self.discount, self.rate_values, self.rates, True, np.empty(len(log)),
        )  # fmt: skip
        np.add.at(self.entry_count, self.entry[first:end], 1)
        np.add.at(self.reward_sum, self.pair[first:end], log.reward)

    def _is_visited(self) -> BoolArray:
        return self.visits > 0

    def _greedy(self) -> Int64Array:
        """Return the greedy action over visited pairs per state, −1 where there are none."""
        return greedy_actions(self.q, self._is_visited())

    def _state_values(self) -> Float64Array:
        """Return max q over visited pairs per state, 0 where there are none."""
        is_visited = self._is_visited()
        best = np.where(is_visited, self.q, -np.inf).max(axis=1)
        return np.where(is_visited.any(axis=1), best, 0.0)

    def _bellman_residual(self, state_value: Float64Array) -> float:
        """Return the visit-weighted mean of |q − empirical backup of q|, points."""
        bootstrap = self.entry_count * self.goes_on * state_value[self.entry_next]
        visits = self.visits.reshape(-1)
        total = self.reward_sum + np.bincount(self.entry_pair, weights=bootstrap, minlength=len(visits))
        return float(np.abs(visits * self.q.reshape(-1) - total).sum() / visits.sum())

    def _recent_bias(self, rows: slice, state_value: Float64Array) -> float:
        """Return √ of the visit-weighted mean of squared bias minus its noise, over pairs met twice or more.

        For a pair with m recent targets of mean error b and variance s², E[b² − s²/m] is the squared bias.
        """
        bootstrap = np.where(
            self.log.terminated[rows], 0.0, self.discount * state_value[self.log.next_state[rows]]
        )
        pair, cells = self.pair[rows], self.q.size
        error = self.log.reward[rows] + bootstrap - self.q.reshape(-1)[pair]
        met = np.bincount(pair, minlength=cells)
        mean = np.bincount(pair, weights=error, minlength=cells) / np.maximum(met, 1)
        squares = np.bincount(pair, weights=(error - mean[pair]) ** 2, minlength=cells)
        is_used = met >= 2
        if not is_used.any():
            return 0.0
        count = met[is_used]
        excess = mean[is_used] ** 2 - squares[is_used] / (count - 1) / count
        return float(np.sqrt(max(0.0, float(count @ excess) / float(count.sum()))))

    def _churn(self, greedy_before: Int64Array, rows: slice) -> float:
        """Return the share of these rows in states whose greedy action is another one now, ties aside."""
        states = np.arange(len(self.q))
        loss = self._state_values() - self.q[states, greedy_before]
        is_changed = (greedy_before < 0) | (loss > self.settings.tie_points)
        return float(is_changed[self.log.state[rows]].mean())

    def _pair_coverage(self, rows: slice) -> float:
        """Return the share of recent visits to states that matter where every open action was tried enough.

        An action is closed when it was tried and its upper standard error stays below the best one's lower.
        """
        met = np.bincount(self.log.state[rows], minlength=len(self.q))
        matters = np.flatnonzero(met >= IMPORTANT_SHARE * (rows.stop - rows.start))
        if len(matters) == 0:
            matters = np.flatnonzero(met)
        visits, q = self.visits[matters], self.q[matters]
        spread = (0.1 * self.settings.reward_scale) ** 2
        noise = noise_variance(
            TargetStatistics(visits, self.mean[matters], self.m2[matters]), ConfidenceSettings(spread, spread)
        )
        error = np.sqrt(noise / np.maximum(visits, 1))
        best = greedy_actions(q, visits > 0)[:, np.newaxis]
        lower = np.take_along_axis(q - error, best, axis=1)
        is_closed = (visits > 0) & (q + error < lower)
        is_enough = (is_closed | (visits >= self.settings.min_pair_visits)).all(axis=1)
        return float(met[matters][is_enough].sum() / met[matters].sum())
