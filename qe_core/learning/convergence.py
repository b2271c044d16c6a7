"""Whether an agent has converged, judged from statistics windows.

What belongs here: the window's figures, the criteria, the verdict and its reasons.
What does not: computing the figures from a log (windows).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import require_fraction, require_positive

RISE = 2.0
"""Changes of q that grow by this factor in the judged windows, and end as far above the limit, diverge."""

STANDARD_ERRORS = 4.0
"""A fall of the mean return by this many standard errors counts as diverging; by chance 1 in 30,000."""

NOISE_FACTOR = 1.76
"""√(χ²₉ at 99.9 % / 9): ten window means of pure noise spread by more than this in 1 of 1,000 cases."""


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


def judge(
    windows: Sequence[WindowStatistics],
    settings: ConvergenceSettings = DEFAULT_CONVERGENCE,
    idle_seconds: float | None = None,
) -> tuple[Verdict, str]:
    """Return the verdict on the last ``window_count`` of these windows, and why.

    Converged means that every criterion holds over them. A figure the log does not tell (success, exploration
    rate) cannot hold.

    Args:
        windows: oldest first.
        settings: thresholds.
        idle_seconds: time since the agent's last experience, None where that is not of interest.
    """
    if idle_seconds is not None and idle_seconds > settings.stale_after_seconds:
        return Verdict.STALE, f"no experiences for {idle_seconds / 86_400:.1f} days"
    if len(windows) < settings.window_count:
        return (
            Verdict.INSUFFICIENT_DATA,
            f"{len(windows)} of {settings.window_count} windows of {settings.window_episodes} episodes",
        )
    recent = list(windows[-settings.window_count :])
    if reason := _divergence(recent, settings):
        return Verdict.DIVERGING, f"{reason}; lower the learning rate, explore more"
    unmet = _unmet_criteria(recent, settings)
    if unmet:
        return Verdict.LEARNING, "; ".join(unmet)
    return Verdict.CONVERGED, f"every criterion held over the last {settings.window_count} windows"


def judged(
    windows: Sequence[WindowStatistics],
    settings: ConvergenceSettings = DEFAULT_CONVERGENCE,
    idle_seconds: float | None = None,
) -> list[WindowStatistics]:
    """Return the windows, each judged with what was known at its end; staleness concerns the last one."""
    result = []
    for index, window in enumerate(windows):
        is_last = index == len(windows) - 1
        verdict, reason = judge(windows[: index + 1], settings, idle_seconds if is_last else None)
        result.append(replace(window, verdict=verdict, reason=reason))
    return result


def _unmet_criteria(recent: Sequence[WindowStatistics], settings: ConvergenceSettings) -> list[str]:
    """Return what does not hold, in the order of the criteria; empty when all do."""
    spread, allowed = _return_spread(recent, settings)
    last = recent[-1]
    rules = (
        ("change of q", _mean([w.mean_abs_q_change for w in recent]), settings.max_mean_abs_q_change, 1),
        ("spread of the mean return", spread, allowed, 1),
        ("success rate", _mean([w.success_rate for w in recent]), settings.min_success_rate, -1),
        ("exploration rate", _mean([w.exploration_rate for w in recent]), settings.max_exploration_rate, 1),
        ("Bellman residual", last.bellman_residual, settings.max_bellman_residual_points, 1),
        ("bias against recent targets", last.recent_bias, settings.max_recent_bias_points, 1),
        ("greedy churn", _mean([w.greedy_churn for w in recent]), settings.max_greedy_churn, 1),
        ("coverage of pairs that matter", last.pair_coverage, settings.min_pair_coverage, -1),
    )
    unmet = []
    for name, figure, limit, sign in rules:
        if figure is None:
            unmet.append(f"{name} is unknown")
        elif sign * figure > sign * limit:
            unmet.append(f"{name} {figure:.3g}, needs {'≤' if sign > 0 else '≥'} {limit:.3g}")
    if not recent[-1].is_settling:
        unmet.append("step sizes do not settle (constant, too steep, or at their floor)")
    return unmet


def _mean(figures: Sequence[float | None]) -> float | None:
    """Return the mean, or None where any figure is unknown."""
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if len(known) == len(figures) else None


def _return_spread(recent: Sequence[WindowStatistics], settings: ConvergenceSettings) -> tuple[float, float]:
    """Return the spread of the windows' mean returns and what noise alone, or the fixed limit, allows."""
    spread = float(np.std([window.mean_return for window in recent], ddof=1))
    floor = float(np.sqrt(np.mean([window.return_sd**2 / window.episodes for window in recent])))
    return spread, max(settings.max_reward_sd_points, NOISE_FACTOR * floor)


def _divergence(recent: Sequence[WindowStatistics], settings: ConvergenceSettings) -> str:
    """Return what grows or falls that should not, in words; empty when nothing does."""
    half = len(recent) // 2
    early, late = recent[:half], recent[-half:]
    change = [float(np.mean([window.mean_abs_q_change for window in part])) for part in (early, late)]
    if change[1] > RISE * max(change[0], settings.max_mean_abs_q_change):
        return f"changes of q grew from {change[0]:.3g} to {change[1]:.3g} of the reward scale"
    returns = [float(np.mean([window.mean_return for window in part])) for part in (early, late)]
    error = [
        float(np.mean([window.return_sd**2 / window.episodes for window in part])) for part in (early, late)
    ]
    fall = returns[0] - returns[1]
    if fall > max(STANDARD_ERRORS * np.sqrt(sum(error) / half), settings.max_reward_sd_points):
        return f"the mean return fell from {returns[0]:.3g} to {returns[1]:.3g} points"
    return ""
