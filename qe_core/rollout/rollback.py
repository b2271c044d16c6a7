"""Whether a policy has to be rolled back: windows in, verdict and evidence out.

What belongs here: what is asked for, reading every trigger over the recent windows, cool-down, the verdict.
What does
not: the comparisons themselves (`rollback_triggers`) and carrying a rollback out (the store).

The ordered triggers fire at a drop of exactly 10 percentage points of the success rate and exactly 15 points
of the mean return. By themselves they misfire: at 80 % success, two windows of 100 tasks differ by 10 points
in one pair of 22. So each is read on the shortest recent window in which the ordered drop is worth
``precision`` standard errors. What that and the sequential test mean for false alarms and delay is in the
operating curve.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from qe_core.errors import RolloutError
from qe_core.rollout.rollback_readings import Reading, Trigger, recent_starts, spell_out
from qe_core.rollout.rollback_settings import DEFAULT_ROLLBACK, RollbackSettings
from qe_core.rollout.rollback_windows import TaskCounts


class RollbackVerdict(StrEnum):
    """What follows for the version that is watched."""

    NO_BASELINE = "no_baseline"
    TOO_FEW_TASKS = "too_few_tasks"
    HEALTHY = "healthy"
    COOLING_DOWN = "cooling_down"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of a version when it is looked at.

    Attributes:
        baseline: the tasks by which it was found good: of its own test, else the last before it served.
        returns: undiscounted returns of its latest tasks, oldest first, points, float64[N], N at most
            ``recent_tasks``.
        success: of the same tasks, 1, 0 or -1 where unknown.
        served: its finished tasks since it began to serve, or since the last rollback; at least N.
    """

    baseline: TaskCounts
    returns: npt.ArrayLike
    success: npt.ArrayLike
    served: int


@dataclass(frozen=True, slots=True)
class RollbackDecision:
    """The verdict, and what a rollback event stores as its evidence.

    Attributes:
        verdict: what follows.
        reason: why, in one sentence.
        readings: of every trigger; empty without a baseline or tasks.
        baseline: counts of the baseline window.
        recent: counts of all recent tasks looked at.
        cool_down_until: when the next automatic rollback may be; None without one in the last day.
    """

    verdict: RollbackVerdict
    reason: str
    readings: tuple[Reading, ...]
    baseline: dict[str, float | int | None]
    recent: dict[str, float | int | None]
    cool_down_until: datetime | None = None

    @property
    def fired(self) -> tuple[Trigger, ...]:
        """The triggers that fired."""
        return tuple(reading.trigger for reading in self.readings if reading.has_fired)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence record, ready for JSON."""
        record = asdict(self)
        record["cool_down_until"] = None if self.cool_down_until is None else self.cool_down_until.isoformat()
        return record


def decide_rollback(
    watch: Watch,
    now: datetime,
    rollbacks: Sequence[datetime] = (),
    settings: RollbackSettings = DEFAULT_ROLLBACK,
) -> RollbackDecision:
    """Return whether the version has to be rolled back, and the evidence.

    Args:
        watch: its baseline and recent tasks.
        now: aware.
        rollbacks: when the agent's policy was rolled back before, automatically, aware, in any order.
        settings: what it is decided by.

    Raises:
        RolloutError: a task's return or success cannot be, counts contradict each other, or a time is naive.
    """
    available = int(np.size(watch.returns))
    if watch.served < available:
        raise RolloutError(
            f"{available} recent tasks of {watch.served} served cannot be; count served tasks again"
        )
    whole = TaskCounts.of(watch.returns, watch.success)
    until = cool_down_until(now, rollbacks, settings)
    figures = (watch.baseline.as_json(), whole.as_json(), until)
    if watch.baseline.tasks < settings.minimum_baseline_tasks:
        return RollbackDecision(
            RollbackVerdict.NO_BASELINE,
            f"the baseline has {int(watch.baseline.tasks)} tasks of {settings.minimum_baseline_tasks} needed",
            (), *figures,
        )  # fmt: skip
    start = recent_starts(available, watch.served, settings)
    if len(start) == 0:
        return RollbackDecision(
            RollbackVerdict.TOO_FEW_TASKS,
            f"{available} recent tasks, {settings.minimum_tasks} are needed before anything is judged",
            (), *figures,
        )  # fmt: skip
    recent = TaskCounts.endings(watch.returns, watch.success, watch.served - start * settings.stride)
    readings = spell_out(watch.baseline, recent, start, settings)
    verdict, reason = _verdict(readings, now, until)
    return RollbackDecision(verdict, reason, readings, *figures)


def _verdict(
    readings: Sequence[Reading], now: datetime, until: datetime | None
) -> tuple[RollbackVerdict, str]:
    """Return the verdict that the readings call for, and why."""
    fired = "; ".join(reading.text for reading in readings if reading.has_fired)
    waiting = "; ".join(reading.text for reading in readings if not reading.is_judged)
    if fired and until is not None and now < until:
        return (
            RollbackVerdict.COOLING_DOWN,
            f"{fired}; rolled back not long ago, held until {until.isoformat()}",
        )
    if fired:
        return RollbackVerdict.ROLL_BACK, fired
    if waiting:
        return RollbackVerdict.TOO_FEW_TASKS, waiting
    return RollbackVerdict.HEALTHY, "no trigger fired"


def cool_down_until(
    now: datetime, rollbacks: Sequence[datetime], settings: RollbackSettings = DEFAULT_ROLLBACK
) -> datetime | None:
    """Return when the next automatic rollback may be, None without one in the last day.

    The pause doubles with every rollback within a day, so an agent that keeps being rolled back is left to
    people instead of flapping.

    Args:
        now: aware.
        rollbacks: when there were any, aware, in any order.
        settings: the first pause.

    Raises:
        RolloutError: a time is naive.
    """
    if any(moment.tzinfo is None for moment in (now, *rollbacks)):
        raise RolloutError("times must be aware: give each a time zone")
    lately = [moment for moment in rollbacks if now - timedelta(days=1) < moment <= now]
    if not lately:
        return None
    return max(lately) + timedelta(seconds=settings.cool_down_seconds * 2 ** (len(lately) - 1))
