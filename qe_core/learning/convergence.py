"""Whether an agent has converged, judged from statistics windows.

What belongs here: the verdict and its reasons. What does not: the criteria it rests on (`criteria`), the
figures (`window_figures`) and computing them from a log (`windows`).
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from qe_core.learning.criteria import ALL, CriterionName, criteria
from qe_core.learning.window_figures import (
    DEFAULT_CONVERGENCE,
    ConvergenceSettings,
    Verdict,
    WindowStatistics,
)

__all__ = ["DEFAULT_CONVERGENCE", "ConvergenceSettings", "Verdict", "WindowStatistics", "judge", "judged"]

RISE = 2.0
"""Changes of q that grow by this factor in the judged windows, and end as far above the limit, diverge."""

STANDARD_ERRORS = 4.0
"""A fall of the mean return by this many standard errors counts as diverging; by chance 1 in 30,000."""


def judge(
    windows: Sequence[WindowStatistics],
    settings: ConvergenceSettings = DEFAULT_CONVERGENCE,
    idle_seconds: float | None = None,
    considered: Collection[CriterionName] = ALL,
) -> tuple[Verdict, str]:
    """Return the verdict on the last ``window_count`` of these windows, and why.

    Converged means that every criterion holds over them. A figure the log does not tell (success, exploration
    rate) cannot hold.

    Args:
        windows: oldest first.
        settings: thresholds.
        idle_seconds: time since the agent's last experience, None where that is not of interest.
        considered: which criteria must hold; ``ORDERED`` asks what the ordered four alone would say.
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
    unmet = [one.words for one in criteria(recent, settings, considered) if not one.is_met]
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
