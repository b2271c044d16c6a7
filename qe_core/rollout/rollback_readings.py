"""What every trigger says of a version's recent windows, in figures and in words.

What belongs here: on which windows each trigger is read, and the readings. What does not: the comparisons
(`rollback_triggers`) and the verdict (`rollback`).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.rollout.rollback_settings import DEFAULT_ROLLBACK, RollbackSettings
from qe_core.rollout.rollback_triggers import (
    log_harm,
    log_harm_since_any,
    return_drop_reached,
    return_error,
    success_drop_reached,
    success_error,
)
from qe_core.rollout.rollback_windows import TaskCounts

LARGEST_SHOWN = 1e6
"""Evidence beyond it is put into words: nobody is surer by more digits."""


class Trigger(StrEnum):
    """What may call for a rollback."""

    SUCCESS_RATE = "success_rate"
    MEAN_RETURN = "mean_return"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one trigger says.

    Attributes:
        trigger: which.
        is_judged: whether there was enough evidence for it to fire.
        has_fired: whether it did.
        text: the same in words and figures.
        figure: the drop, in points; for the sequential trigger the evidence M.
        threshold: at which it fires, in the same unit.
        tasks: recent tasks it was read on.
    """

    trigger: Trigger
    is_judged: bool
    has_fired: bool
    text: str
    figure: float | None
    threshold: float
    tasks: int


@dataclass(frozen=True, slots=True)
class Readings:
    """What every trigger says of one or many versions, arrays of one shape.

    Attributes:
        success_window: index of the recent window the success trigger was read on, -1 for none, int64[...].
        success_fired: bool[...].
        return_window: as above for the mean return.
        return_fired: bool[...].
        log_evidence: log M, float64[...]; −inf where too few tasks are there.
        sequential_fired: bool[...].
    """

    success_window: Int64Array
    success_fired: BoolArray
    return_window: Int64Array
    return_fired: BoolArray
    log_evidence: Float64Array
    sequential_fired: BoolArray


def recent_starts(available: int, served: int, settings: RollbackSettings = DEFAULT_ROLLBACK) -> Int64Array:
    """Return the numbers j of the starts that windows are counted from, latest first, int64[K].

    Start j is before task j · ``stride`` of the version, so that looking again later looks at the same
    starts.

    Args:
        available: recent tasks at hand.
        served: finished tasks of the version.
        settings: stride and minimum.
    """
    first = -(-(served - min(available, settings.recent_tasks)) // settings.stride)
    last = (served - settings.minimum_tasks) // settings.stride
    return np.arange(last, first - 1, -1, dtype=np.int64)


def read_triggers(
    baseline: TaskCounts, recent: TaskCounts, start: Int64Array, settings: RollbackSettings = DEFAULT_ROLLBACK
) -> Readings:
    """Return what the triggers say, of one version or of many at once.

    Args:
        baseline: of each version, arrays [..., 1].
        recent: from each start, latest first, arrays [..., K], K at least 1.
        start: number of each start, int64[..., K].
        settings: thresholds.
    """
    success_worth = settings.precision * success_error(baseline, recent, settings.success_drop_points)
    success_window = _first(success_worth <= settings.success_drop_points / 100.0)
    return_window = _first(settings.precision * return_error(baseline, recent) <= settings.reward_drop_points)
    log_evidence = log_harm_since_any(log_harm(baseline, recent, settings.effect_scale), start)
    return Readings(
        success_window,
        _at(success_drop_reached(baseline, recent, settings.success_drop_points), success_window),
        return_window,
        _at(return_drop_reached(baseline, recent, settings.reward_drop_points), return_window),
        log_evidence,
        np.asarray(log_evidence >= -np.log(settings.error_rate)),
    )


def _first(is_precise: BoolArray) -> Int64Array:
    """Return the first index on the last axis that holds, -1 where none does."""
    return np.where(is_precise.any(axis=-1), is_precise.argmax(axis=-1), -1)


def _at(values: BoolArray, index: Int64Array) -> BoolArray:
    """Return each row's entry at its index, False for -1."""
    chosen = np.take_along_axis(values, np.maximum(index, 0)[..., np.newaxis], axis=-1)[..., 0]
    return np.asarray(chosen & (index >= 0))


def spell_out(
    baseline: TaskCounts, recent: TaskCounts, start: Int64Array, settings: RollbackSettings
) -> tuple[Reading, ...]:
    """Return every trigger's reading of one version in words and figures; see ``read_triggers``."""
    read = read_triggers(baseline, recent, start, settings)
    before, after = float(baseline.success_rate), recent.success_rate
    mean_before, mean_after = float(baseline.mean_return), recent.mean_return
    window = int(read.success_window)
    success = _ordered(
        Trigger.SUCCESS_RATE, "success rate", "%", window, bool(read.success_fired),
        (100.0 * before, 100.0 * float(after[window])), settings.success_drop_points,
        int(recent.known[window]),
    )  # fmt: skip
    window = int(read.return_window)
    reward = _ordered(
        Trigger.MEAN_RETURN, "mean return", " points", window, bool(read.return_fired),
        (mean_before, float(mean_after[window])), settings.reward_drop_points, int(recent.tasks[window]),
    )  # fmt: skip
    evidence, threshold = float(np.exp(min(float(read.log_evidence), 700.0))), 1.0 / settings.error_rate
    shown = f"{evidence:.3g}" if evidence <= LARGEST_SHOWN else f"over {LARGEST_SHOWN:,.0f}"
    sequential = Reading(
        Trigger.SEQUENTIAL, True, bool(read.sequential_fired),
        f"evidence of harm {shown}, fires at {threshold:g}, in {int(recent.tasks[-1])} tasks",
        evidence, threshold, int(recent.tasks[-1]),
    )  # fmt: skip
    return success, reward, sequential


def _ordered(
    trigger: Trigger,
    name: str,
    unit: str,
    window: int,
    has_fired: bool,
    figures: tuple[float, float],
    threshold: float,
    tasks: int,
) -> Reading:
    """Return the reading of an ordered trigger; ``window`` -1 says that none was precise enough."""
    if window < 0:
        text = f"{name}: too few tasks yet to tell a drop of {threshold:g} points from chance"
        return Reading(trigger, False, False, text, None, threshold, tasks)
    before, after = figures
    text = f"{name} {after:.1f}{unit} over {tasks} tasks against {before:.1f}{unit}"
    return Reading(trigger, True, has_fired, text, before - after, threshold, tasks)
