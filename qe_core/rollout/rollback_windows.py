"""What a policy version's tasks came to, in exact counts, window by window.

What belongs here: counting tasks, successes and returns, and the windows that a watch looks at. What does
not: what the counts mean (`rollback_triggers`) and where tasks come from (the store).

Successes are integers. Returns are rounded to millionths of a point and summed as integers: a drop of
exactly 15 points is exactly 15,000,000 of them, however the returns were computed.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import RolloutError
from qe_core.learning.arrays import Float64Array, Int64Array, name_rows

MICROPOINTS = 1_000_000
"""Units of a point in which returns are summed."""

LARGEST_RETURN = 100_000.0
"""Points; 1,000 steps of 100. What is beyond is a fault in measuring."""

LARGEST_WINDOW = 5_000
"""Tasks; up to here products of sums stay exact in int64."""

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """Sufficient statistics of one or many windows of tasks, arrays of one shape.

    Attributes:
        tasks: int64[...].
        known: tasks whose success is known, int64[...].
        successes: int64[...].
        return_total: sum of undiscounted returns, millionths of a point, int64[...].
        return_squares: sum of squared returns, points², float64[...].
    """

    tasks: Int64Array
    known: Int64Array
    successes: Int64Array
    return_total: Int64Array
    return_squares: Float64Array

    @classmethod
    def of(cls, returns: npt.ArrayLike, success: npt.ArrayLike) -> Self:
        """Return the counts of one window.

        Args:
            returns: undiscounted return of each task, points, float64[N].
            success: 1, 0, or -1 where it is unknown, N of them.

        Raises:
            RolloutError: lengths differ, there are more tasks than `LARGEST_WINDOW`, or a task's return or
            success
                cannot be; the message names it.
        """
        return cls.endings(returns, success, [np.size(returns)]).pick(0)

    @classmethod
    def endings(cls, returns: npt.ArrayLike, success: npt.ArrayLike, lengths: npt.ArrayLike) -> Self:
        """Return the counts of the last tasks, one window for each length, shape of ``lengths``.

        Args:
            returns: of each task, oldest first, points, float64[N].
            success: 1, 0, or -1 where it is unknown, N of them.
            lengths: each in 0 … N.

        Raises:
            RolloutError: as in ``of``.
        """
        points, outcomes = np.asarray(returns, dtype=np.float64), np.asarray(success, dtype=np.int64)
        _check_tasks(points, outcomes)
        wanted = np.asarray(lengths, dtype=np.int64)

        def last(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            # Summed from the newest task back: nothing is subtracted, so nothing cancels.
            return np.concatenate([np.zeros(1, dtype=values.dtype), np.cumsum(values[::-1])])[wanted]

        return cls(
            tasks=wanted,
            known=last((outcomes != UNKNOWN).astype(np.int64)),
            successes=last((outcomes == 1).astype(np.int64)),
            return_total=last(np.rint(points * MICROPOINTS).astype(np.int64)),
            return_squares=last(points**2),
        )

    def pick(self, index: int) -> Self:
        """Return one window of many."""
        return type(self)(*(np.asarray(getattr(self, item.name)[index]) for item in fields(self)))

    @property
    def success_rate(self) -> Float64Array:
        """Successes among tasks whose success is known, in [0, 1]; NaN where none is."""
        return np.where(self.known > 0, self.successes / np.maximum(self.known, 1), np.nan)

    @property
    def mean_return(self) -> Float64Array:
        """Points; NaN where there is no task."""
        mean = self.return_total / (np.maximum(self.tasks, 1) * MICROPOINTS)
        return np.where(self.tasks > 0, mean, np.nan)

    @property
    def return_variance(self) -> Float64Array:
        """Unbiased variance of the returns, points²; 0 below two tasks."""
        count = np.maximum(self.tasks, 1)
        deviations = self.return_squares - (self.return_total / MICROPOINTS) ** 2 / count
        return np.asarray(np.maximum(deviations, 0.0) / np.maximum(count - 1, 1))

    def as_json(self) -> dict[str, float | int | None]:
        """Return the counts of one window and what follows from them, ready for JSON."""
        return {
            "tasks": int(self.tasks),
            "known": int(self.known),
            "successes": int(self.successes),
            "success_rate": float(self.success_rate) if self.known > 0 else None,
            "mean_return": float(self.mean_return) if self.tasks > 0 else None,
            "return_deviation": float(np.sqrt(self.return_variance)) if self.tasks > 1 else None,
        }


def _check_tasks(returns: Float64Array, success: Int64Array) -> None:
    """Raise ``RolloutError`` naming the first tasks that cannot be."""
    if returns.ndim != 1 or returns.shape != success.shape or len(returns) > LARGEST_WINDOW:
        raise RolloutError(
            f"a window is up to {LARGEST_WINDOW} tasks with a return and a success each, got {returns.shape} "
            f"and {success.shape}; read fewer or align them"
        )
    is_bad = ~(np.abs(returns) <= LARGEST_RETURN)
    if is_bad.any():
        raise RolloutError(
            f"returns must be finite and within ±{LARGEST_RETURN:g} points, but "
            f"{name_rows(is_bad, returns)}; find out what recorded them, a watch cannot go on over them"
        )
    is_odd = (success < UNKNOWN) | (success > 1)
    if is_odd.any():
        raise RolloutError(
            f"success is 1, 0 or {UNKNOWN} where unknown, but {name_rows(is_odd, success)}; correct them"
        )
