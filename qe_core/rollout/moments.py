"""Count, sum and sum of squares of a measurement as integers, so that merging is exact in any order.

What belongs here: sufficient statistics of one column of numbers. What does not: which columns there are
(`evidence`) and what is concluded from them (`differences`).

Values are rounded to multiples of 2⁻²⁰ (a millionth of a point, of a dollar or of a second) and summed as
integers of any size: parts that were counted apart equal the whole to the last bit, and nothing cancels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from qe_core.errors import RolloutError

UNITS = 1 << 20
LARGEST = 1e12
"""A measurement beyond this is a fault in the measuring."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sufficient statistics of a column of numbers; ``+`` merges exactly.

    Attributes:
        count: values seen.
        total: their sum, in 2⁻²⁰.
        squares: sum of their squares, in 2⁻⁴⁰.
    """

    count: int = 0
    total: int = 0
    squares: int = 0

    @classmethod
    def of(cls, values: Iterable[float], name: str = "value") -> "Moments":
        """Return the statistics of these values.

        Args:
            values: finite numbers; a numpy array is quicker as its ``tolist()``.
            name: what is measured, for the error.

        Raises:
            RolloutError: for a value that is not finite or beyond 10¹².
        """
        scaled = []
        for value in values:
            if not (isfinite(value) and abs(value) <= LARGEST):
                raise RolloutError(
                    f"a {name} of {value} cannot be counted: record finite measurements up to 1e12"
                )
            scaled.append(round(value * UNITS))
        return cls(len(scaled), sum(scaled), sum([number * number for number in scaled]))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean of the values; 0 without any."""
        return self.total / (self.count * UNITS) if self.count else 0.0

    @property
    def squared_deviations(self) -> float:
        """Sum of squared deviations from the mean, rounded once."""
        if self.count == 0:
            return 0.0
        return (self.squares * self.count - self.total * self.total) / (self.count * UNITS * UNITS)

    @property
    def variance(self) -> float:
        """Unbiased sample variance; 0 below two values."""
        return self.squared_deviations / (self.count - 1) if self.count > 1 else 0.0
