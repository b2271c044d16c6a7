"""One step of Q-learning, as arithmetic on numbers or arrays.

What belongs here: the target, the error, the update and the learning rate.
What does not: loops over transitions (replay) and merging of updates (affine_updates).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    Float64Array,
    name_rows,
    require_discount,
    require_finite,
    require_fraction,
)


def td_target(
    reward: npt.ArrayLike, next_value: npt.ArrayLike, discount: float, terminated: npt.ArrayLike
) -> Float64Array:
    """Return r + γ·max q(s′), and r alone where the transition terminated (S&B 2nd ed., 6.5).

    A truncated transition is an ordinary one here: the episode was cut off, the task was not over, so it
    bootstraps.

    Args:
        reward: points.
        next_value: max over the visited actions of the successor state, 0 where it has none; ignored where
            terminated.
        discount: γ in [0, 1).
        terminated: flags.

    Raises:
        LearningError: the discount is out of range, or a reward is not finite.
    """
    require_discount(discount)
    rewards = np.asarray(reward, dtype=np.float64)
    require_finite("reward", rewards)
    bootstrap = np.where(terminated, 0.0, np.asarray(next_value, dtype=np.float64))
    require_finite("next_value", bootstrap)
    return np.asarray(rewards + discount * bootstrap)


def td_error(q_value: npt.ArrayLike, target: npt.ArrayLike) -> Float64Array:
    """Return δ = target − q (S&B 2nd ed., 6.5)."""
    return np.asarray(np.subtract(target, q_value), dtype=np.float64)


def q_update(q_value: npt.ArrayLike, target: npt.ArrayLike, learning_rate: npt.ArrayLike) -> Float64Array:
    """Return q + α·(target − q) (S&B 2nd ed., 6.8).

    Raises:
        LearningError: a learning rate lies outside [0, 1].
    """
    rates = np.asarray(learning_rate, dtype=np.float64)
    require_rates(rates)
    return np.asarray(np.add(q_value, rates * td_error(q_value, target)), dtype=np.float64)


def require_rates(rates: Float64Array) -> None:
    """Raise ``LearningError`` naming the first learning rates outside [0, 1]."""
    is_bad = ~((rates >= 0) & (rates <= 1)).reshape(-1)
    if is_bad.any():
        raise LearningError(
            f"learning rates must lie in [0, 1], but {name_rows(is_bad, rates.reshape(-1))}; "
            "take them from LearningRate.at"
        )


@dataclass(frozen=True, slots=True)
class LearningRate:
    """α_n = max(minimum, initial / (1 + n)^exponent) for the update after n visits of a pair.

    Attributes:
        initial: α of the first update, in (0, 1].
        minimum: floor, in [0, initial]. Above 0 the values keep following a drifting world, at the price
            of noise that never settles.
        exponent: 0 for a constant rate; in (0.5, 1] sums diverge and squared sums converge, which is what
            Q-learning needs to converge under noise (Robbins & Monro 1951; Even-Dar & Mansour 2003, who
            recommend about 0.7–0.85).
    """

    initial: float = 1.0
    minimum: float = 0.0
    exponent: float = 0.7

    def __post_init__(self) -> None:
        require_fraction("initial learning rate", self.initial, is_zero_allowed=False)
        if not 0.0 <= self.minimum <= self.initial:
            raise LearningError(
                f"minimum learning rate must lie in [0, {self.initial}], got {self.minimum}; "
                "set it to 0 for values that settle"
            )
        if not 0.0 <= self.exponent < np.inf:
            raise LearningError(
                f"learning rate exponent must not be negative, got {self.exponent}; "
                "use 0.7, or 0 for a constant"
            )

    @classmethod
    def visit_based(cls, initial: float = 1.0, minimum: float = 0.0) -> Self:
        """Return the schedule that falls with visits^0.7."""
        return cls(initial=initial, minimum=minimum)

    @classmethod
    def constant(cls, rate: float = 0.1) -> Self:
        """Return the schedule that never falls."""
        return cls(initial=rate, minimum=0.0, exponent=0.0)

    def at(self, visits: npt.ArrayLike) -> Float64Array:
        """Return α for pairs visited ``visits`` times before."""
        counts = np.asarray(visits, dtype=np.float64)
        return np.asarray(np.maximum(self.minimum, self.initial / (1.0 + counts) ** self.exponent))

    def is_settling(self, visits: int) -> bool:
        """Return whether the rates used up to ``visits`` visits follow a Robbins–Monro sequence.

        True for exponents in (0.5, 1] as long as the floor was not reached: a floor above 0 makes the
        squared rates sum to infinity from there on.
        """
        is_above_floor = self.initial / (1.0 + visits) ** self.exponent > self.minimum
        return 0.5 < self.exponent <= 1.0 and is_above_floor
