"""Count, mean and sum of squared deviations that merge exactly.

What belongs here: adding observations to, and merging, sufficient statistics, element by element on arrays.
What does not: what the statistics are used for (confidence, weights).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, Int64Array, require_finite


@dataclass(frozen=True, slots=True)
class TargetStatistics:
    """Sufficient statistics of TD targets, one entry per pair, all arrays of one shape.

    Attributes:
        count: number of targets, int64.
        mean: their mean in points, 0 where there are none, float64.
        m2: sum of squared deviations from the mean, float64, ≥ 0.
    """

    count: Int64Array
    mean: Float64Array
    m2: Float64Array

    @classmethod
    def zeros(cls, shape: int | tuple[int, ...]) -> Self:
        """Return statistics of no targets."""
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape))

    def add(self, target: npt.ArrayLike) -> Self:
        """Return the statistics with one more target per entry (Welford 1962).

        Args:
            target: points, broadcast to the shape of the statistics.
        """
        targets = np.asarray(target, dtype=np.float64)
        require_finite("td_target", targets)
        count = self.count + 1
        deviation = targets - self.mean
        mean = self.mean + deviation / count
        return type(self)(count, mean, self.m2 + deviation * (targets - mean))

    def merge(self, other: "TargetStatistics") -> Self:
        """Return the statistics of both samples together (Chan, Golub & LeVeque 1983, eq. 2.1).

        Raises:
            LearningError: the shapes differ.
        """
        if self.count.shape != other.count.shape:
            raise LearningError(
                f"statistics of shape {self.count.shape} and {other.count.shape} cannot be merged; "
                "merge tables of one agent contract only"
            )
        count = self.count + other.count
        divisor = np.maximum(count, 1)
        deviation = other.mean - self.mean
        mean = (self.count * self.mean + other.count * other.mean) / divisor
        m2 = self.m2 + other.m2 + deviation**2 * (self.count * other.count / divisor)
        return type(self)(count, mean, m2)

    def variance(self) -> Float64Array:
        """Return the population variance per entry in points², 0 where there are no targets."""
        return self.m2 / np.maximum(self.count, 1)
