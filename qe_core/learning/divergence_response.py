"""How an agent learns and explores while it diverges, and how it gets back.

What belongs here: the adjustment that a history of verdicts asks for. What does not: the verdicts
(`convergence`), and storing or applying adjustments (`qe_core.runtime`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from qe_core.errors import LearningError
from qe_core.learning.arrays import require_fraction
from qe_core.learning.convergence import Verdict
from qe_core.learning.updates import LearningRate


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """How strongly and how soon divergence is answered.

    Attributes:
        diverging_windows: consecutive diverging windows that raise the response by a step, ≥ 1.
        healthy_windows: consecutive learning or converged windows that lower it by a step, ≥ 1.
        learning_rate_step: factor on learning rates per step, in (0, 1).
        min_learning_rate_factor: learning rates never fall below this share of themselves, in (0, 1].
        exploration_step: what each step adds to the least exploration rate, in [0, 1].
        max_exploration_floor: the least exploration rate never exceeds this, in [0, 1].
    """

    diverging_windows: int = 2
    healthy_windows: int = 3
    learning_rate_step: float = 0.5
    min_learning_rate_factor: float = 0.125
    exploration_step: float = 0.1
    max_exploration_floor: float = 0.3

    def __post_init__(self) -> None:
        for name in ("diverging_windows", "healthy_windows"):
            if getattr(self, name) < 1:
                raise LearningError(f"{name} must be at least 1, got {getattr(self, name)}; raise it")
        for name in ("learning_rate_step", "min_learning_rate_factor"):
            require_fraction(name, getattr(self, name), is_zero_allowed=False)
        if self.learning_rate_step == 1.0:
            raise LearningError("learning_rate_step must be below 1 for a step to change anything; use 0.5")
        for name in ("exploration_step", "max_exploration_floor"):
            require_fraction(name, getattr(self, name))

    @property
    def last_step(self) -> int:
        """The first step at which neither figure moves any further."""
        step = 0
        while self.at(step + 1) != self.at(step):
            step += 1
        return step

    def at(self, step: int) -> "Adjustment":
        """Return the adjustment after so many steps up; 0 is none."""
        return Adjustment(
            max(self.min_learning_rate_factor, self.learning_rate_step**step),
            min(self.max_exploration_floor, self.exploration_step * step),
        )


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What is changed about an agent's learning; the default changes nothing.

    Attributes:
        learning_rate_factor: on every learning rate, in (0, 1].
        exploration_floor: the least exploration rate, in [0, 1].
    """

    learning_rate_factor: float = 1.0
    exploration_floor: float = 0.0

    def __post_init__(self) -> None:
        require_fraction("learning_rate_factor", self.learning_rate_factor, is_zero_allowed=False)
        require_fraction("exploration_floor", self.exploration_floor)

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing."""
        return self == NEUTRAL

    def learning_rate(self, rate: LearningRate) -> LearningRate:
        """Return the learning rate to use instead."""
        factor = self.learning_rate_factor
        return replace(rate, initial=factor * rate.initial, minimum=factor * rate.minimum)

    def exploration_rate(self, rate: float) -> float:
        """Return the exploration rate to use instead, in [0, 1]."""
        return max(rate, self.exploration_floor)


NEUTRAL = Adjustment()
DEFAULT_RESPONSE = ResponseSettings()


def respond(history: Sequence[Verdict], settings: ResponseSettings = DEFAULT_RESPONSE) -> Adjustment:
    """Return what a history of verdicts asks for: the same history always asks for the same.

    Several diverging windows in a row take a step up, several healthy ones in a row a step back, so that a
    verdict that wavers changes nothing. Windows that tell nothing (insufficient data, stale) end a row.

    Args:
        history: one verdict for each window, oldest first.
        settings: how strongly and how soon.
    """
    step = diverging = healthy = 0
    last_step = settings.last_step
    for verdict in history:
        match verdict:
            case Verdict.DIVERGING:
                diverging, healthy = diverging + 1, 0
            case Verdict.LEARNING | Verdict.CONVERGED:
                diverging, healthy = 0, healthy + 1
            case Verdict.INSUFFICIENT_DATA | Verdict.STALE:
                diverging = healthy = 0
            case _:
                assert_never(verdict)
        if diverging == settings.diverging_windows:
            step, diverging = min(step + 1, last_step), 0
        if healthy == settings.healthy_windows:
            step, healthy = max(step - 1, 0), 0
    return settings.at(step)
