"""What is known about an agent's learning: verdicts, thresholds, and the figures of a window.

What belongs here: frozen values. What does not: computing the figures from a log (`windows`), comparing them
with the thresholds (`criteria`) and the verdict (`convergence`).
"""

from dataclasses import dataclass
from enum import StrEnum

from qe_core.errors import LearningError
from qe_core.learning.arrays import require_fraction, require_positive


class Verdict(StrEnum):
    """What the windows say about an agent."""

    INSUFFICIENT_DATA = "insufficient data"
    LEARNING = "learning"
    CONVERGED = "converged"
    DIVERGING = "diverging"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class ConvergenceSettings:
    """Thresholds. Figures hold on average over the judged windows, or at their end where they accumulate.

    Attributes:
        window_episodes: episodes per window, ≥ 2.
        maximum_windows: longer logs get longer windows instead of more of them, ≥ ``window_count``.
        window_count: the newest windows, which are judged together, ≥ 2.
        reward_scale: width of the range of rewards, which lie in [−100, 100] points.
        max_mean_abs_q_change: |change of q| per experience over the reward scale.
        max_reward_sd_points: spread of window means of the return that is always accepted.
        min_success_rate: share of successful episodes, in [0, 1].
        max_exploration_rate: in [0, 1].
        max_bellman_residual_points: visit-weighted mean residual against the empirical MDP.
        max_recent_bias_points: noise-corrected bias of q against the targets of the judged windows.
        max_greedy_churn: visit-weighted share of states whose greedy action changed, in [0, 1].
        min_pair_visits: visits every pair that matters needs, ≥ 1.
        min_pair_coverage: visit-weighted share of states where that holds, in [0, 1].
        tie_points: a greedy action that loses less than this is not a change of policy.
        stale_after_seconds: without experiences for this long an agent is stale.
    """

    window_episodes: int = 25
    maximum_windows: int = 400
    window_count: int = 10
    reward_scale: float = 200.0
    max_mean_abs_q_change: float = 0.01
    max_reward_sd_points: float = 5.0
    min_success_rate: float = 0.85
    max_exploration_rate: float = 0.05
    max_bellman_residual_points: float = 10.0
    max_recent_bias_points: float = 10.0
    max_greedy_churn: float = 0.05
    min_pair_visits: int = 5
    min_pair_coverage: float = 0.8
    tie_points: float = 1.0
    stale_after_seconds: float = 14 * 86_400.0

    def __post_init__(self) -> None:
        for name, least in (("window_episodes", 2), ("window_count", 2), ("min_pair_visits", 1)):
            if getattr(self, name) < least:
                raise LearningError(f"{name} must be at least {least}, got {getattr(self, name)}; raise it")
        if self.maximum_windows < self.window_count:
            raise LearningError(
                f"maximum_windows {self.maximum_windows} is below window_count {self.window_count}; raise it"
            )
        for name in ("min_success_rate", "max_exploration_rate", "max_greedy_churn", "min_pair_coverage"):
            require_fraction(name, getattr(self, name))
        for name in (
            "reward_scale", "max_mean_abs_q_change", "max_reward_sd_points", "max_bellman_residual_points",
            "max_recent_bias_points", "tie_points", "stale_after_seconds",
        ):  # fmt: skip
            require_positive(name, getattr(self, name))


DEFAULT_CONVERGENCE = ConvergenceSettings()


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    """Figures of one window of consecutive episodes; None where the log does not tell.

    Attributes:
        window_index: 0 is the oldest.
        first_row: first row of the log in the window.
        end_row: row after the last one.
        episodes: finished episodes in the window.
        experiences: transitions in the window.
        mean_return: mean undiscounted return of an episode, points.
        return_sd: standard deviation of the episodes' returns, points; 0 for one episode.
        reward_mean: mean reward of a transition, points.
        reward_sd: standard deviation of the rewards, points.
        success_rate: among episodes whose outcome is known, in [0, 1].
        exploration_rate: mean over the episodes that report it, in [0, 1].
        mean_abs_q_change: net |change of q| over the window, summed over pairs, per experience, over the
            reward scale.
        largest_q: largest |q| at the end of the window, points.
        bellman_residual: visit-weighted mean |q − backup of q| against the empirical MDP of everything up to
            the end of the window, points.
        recent_bias: root mean square bias of q against the TD targets of the last ``window_count`` windows,
            beyond what their noise explains, points.
        greedy_churn: visit-weighted share of states whose greedy action changed in the window, in [0, 1].
        pair_coverage: share of recent visits that went to states where every action that may matter was tried
            often enough, in [0, 1].
        is_settling: whether the step sizes used so far form a Robbins–Monro sequence.
        states_visited: distinct states acted in up to the end of the window.
        verdict: judged on this window and those before it.
        reason: what decided the verdict, for people.
    """

    window_index: int
    first_row: int
    end_row: int
    episodes: int
    experiences: int
    mean_return: float
    return_sd: float
    reward_mean: float
    reward_sd: float
    success_rate: float | None
    exploration_rate: float | None
    mean_abs_q_change: float
    largest_q: float
    bellman_residual: float
    recent_bias: float
    greedy_churn: float
    pair_coverage: float
    is_settling: bool
    states_visited: int
    verdict: Verdict = Verdict.INSUFFICIENT_DATA
    reason: str = ""
