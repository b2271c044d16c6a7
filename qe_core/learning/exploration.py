"""How much to explore, and the choice of an action given how much.

What belongs here: exploration-rate schedules behind one interface, and ε-greedy choice with propensities.
What does not: what the values are (Q-table, hierarchy) and storing the schedule's state.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Protocol, Self, assert_never

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, require_fraction, require_positive


class ScheduleKind(StrEnum):
    """The three ways an exploration rate may fall."""

    EXPONENTIAL = "exponential"
    STEP = "step"
    REWARD_BASED = "reward_based"


class ExplorationSchedule(Protocol):
    """An exploration rate that changes once per finished episode; a frozen value."""

    @property
    def exploration_rate(self) -> float:
        """The probability of a random action now, in [final, initial]."""

    def advance(self, episode_return: float) -> Self:
        """Return the schedule after one more finished episode.

        Args:
            episode_return: undiscounted sum of the episode's rewards, points.
        """

    def state(self) -> dict[str, float | int | str]:
        """Return everything needed to resume, as JSON values; ``schedule_from_state`` is the inverse."""


def _require_rates(initial: float, final: float) -> None:
    """Raise ``LearningError`` unless 0 ≤ final ≤ initial ≤ 1."""
    require_fraction("initial exploration rate", initial)
    require_fraction("final exploration rate", final)
    if final > initial:
        raise LearningError(
            f"exploration must fall, but final {final} is above initial {initial}; swap or correct them"
        )


def _require_finite_return(episode_return: float) -> None:
    """Raise ``LearningError`` unless the return is finite."""
    if not np.isfinite(episode_return):
        raise LearningError(
            f"episode return must be finite, got {episode_return}; refuse the measurement it came from"
        )


@dataclass(frozen=True, slots=True)
class ExponentialSchedule:
    """max(final, initial · decay^episodes).

    Attributes:
        initial: rate before the first episode, in [0, 1].
        final: floor, in [0, initial].
        decay: factor per episode, in (0, 1].
        episodes: finished episodes so far.
    """

    initial: float = 0.2
    final: float = 0.01
    decay: float = 0.995
    episodes: int = 0

    def __post_init__(self) -> None:
        _require_rates(self.initial, self.final)
        require_fraction("exploration decay", self.decay, is_zero_allowed=False)

    @property
    def exploration_rate(self) -> float:
        """The probability of a random action now, in [final, initial]."""
        return float(max(self.final, self.initial * self.decay**self.episodes))

    def advance(self, episode_return: float) -> Self:
        """Return the schedule after one more finished episode."""
        _require_finite_return(episode_return)
        return replace(self, episodes=self.episodes + 1)

    def state(self) -> dict[str, float | int | str]:
        """Return everything needed to resume, as JSON values."""
        return {"kind": ScheduleKind.EXPONENTIAL.value, **asdict(self)}


@dataclass(frozen=True, slots=True)
class StepSchedule:
    """max(final, initial · factor^⌊episodes / every⌋).

    Attributes:
        initial: rate before the first episode, in [0, 1].
        final: floor, in [0, initial].
        factor: factor per step, in (0, 1].
        every: episodes per step, at least 1.
        episodes: finished episodes so far.
    """

    initial: float = 0.2
    final: float = 0.01
    factor: float = 0.5
    every: int = 100
    episodes: int = 0

    def __post_init__(self) -> None:
        _require_rates(self.initial, self.final)
        require_fraction("exploration step factor", self.factor, is_zero_allowed=False)
        require_positive("episodes per exploration step", self.every)

    @property
    def exploration_rate(self) -> float:
        """The probability of a random action now, in [final, initial]."""
        return float(max(self.final, self.initial * self.factor ** (self.episodes // self.every)))

    def advance(self, episode_return: float) -> Self:
        """Return the schedule after one more finished episode."""
        _require_finite_return(episode_return)
        return replace(self, episodes=self.episodes + 1)

    def state(self) -> dict[str, float | int | str]:
        """Return everything needed to resume, as JSON values."""
        return {"kind": ScheduleKind.STEP.value, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RewardBasedSchedule:
    """Falls one step whenever an episode's return reaches the bar, and raises the bar (RBED, Maroti 2019).

    A fleet that does not get better keeps exploring, however many episodes pass.

    Attributes:
        initial: rate before the first episode, in [0, 1].
        final: floor, in [0, initial].
        steps: successes needed to fall from initial to final, at least 1.
        bar: the return that counts as success now, points.
        bar_step: how much each success raises the bar, points, ≥ 0.
        taken: successes so far.
    """

    initial: float = 0.2
    final: float = 0.01
    steps: int = 50
    bar: float = 0.0
    bar_step: float = 1.0
    taken: int = 0

    def __post_init__(self) -> None:
        _require_rates(self.initial, self.final)
        require_positive("exploration steps", self.steps)
        if not (np.isfinite(self.bar) and np.isfinite(self.bar_step) and self.bar_step >= 0):
            raise LearningError(
                f"reward bar and its step must be finite and the step not negative, got {self.bar} and "
                f"{self.bar_step}; start at the baseline's return"
            )

    @property
    def exploration_rate(self) -> float:
        """The probability of a random action now, in [final, initial]."""
        share = min(self.taken, self.steps) / self.steps
        return float(self.initial + (self.final - self.initial) * share)

    def advance(self, episode_return: float) -> Self:
        """Return the schedule after one more finished episode."""
        _require_finite_return(episode_return)
        if episode_return < self.bar or self.taken >= self.steps:
            return self
        return replace(self, bar=self.bar + self.bar_step, taken=self.taken + 1)

    def state(self) -> dict[str, float | int | str]:
        """Return everything needed to resume, as JSON values."""
        return {"kind": ScheduleKind.REWARD_BASED.value, **asdict(self)}


def schedule_from_state(state: Mapping[str, float | int | str]) -> ExplorationSchedule:
    """Return the schedule whose ``state()`` was saved, or a fresh one from settings of the same form.

    Args:
        state: ``kind`` and any fields of that schedule; fields left out take their defaults.

    Raises:
        LearningError: the kind is unknown, or a field is unknown, of the wrong type or out of range.
    """
    values = dict(state)
    try:
        kind = ScheduleKind(str(values.pop("kind", "")))
    except ValueError:
        raise LearningError(
            f"unknown exploration schedule {state.get('kind')!r}; "
            f"use one of {[kind.value for kind in ScheduleKind]}"
        ) from None
    try:
        match kind:
            case ScheduleKind.EXPONENTIAL:
                return ExponentialSchedule(**values)  # type: ignore[arg-type]
            case ScheduleKind.STEP:
                return StepSchedule(**values)  # type: ignore[arg-type]
            case ScheduleKind.REWARD_BASED:
                return RewardBasedSchedule(**values)  # type: ignore[arg-type]
            case _:
                assert_never(kind)
    except TypeError as error:
        raise LearningError(
            f"state of the {kind.value} exploration schedule does not fit: {error}; "
            "take it unchanged from state()"
        ) from error


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen action.

    Attributes:
        action: its index.
        propensity: the probability with which exactly this action was chosen, in (0, 1].
        is_explored: whether it came from the random branch (which may hit a greedy action by chance).
    """

    action: int
    propensity: float
    is_explored: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """Chosen actions as columns: ``action`` int64[N], ``propensity`` float64[N], ``is_explored`` bool[N]."""

    action: Int64Array
    propensity: Float64Array
    is_explored: BoolArray


def epsilon_greedy(
    values: Float64Array,
    exploration_rate: float,
    generator: np.random.Generator,
    is_eligible: BoolArray | None = None,
) -> Choice:
    """Return an action: random with the exploration rate, else greedy with ties broken at random.

    Args:
        values: one value per action, points, float64[A].
        exploration_rate: in [0, 1].
        generator: source of chance; two uniform numbers are drawn, always.
        is_eligible: which actions the greedy branch may pick, bool[A]; all where left out, and all where none
            is eligible. The random branch picks among all actions.

    Raises:
        LearningError: values are empty or not finite, or the rate is out of range.
    """
    count = len(values)
    if count == 0 or not np.isfinite(values).all():
        raise LearningError(f"values must be finite, one per action, got {values}; rebuild this row")
    require_fraction("exploration rate", exploration_rate)
    coin, pick = generator.random(2)
    masked = (
        values if is_eligible is None or not is_eligible.any() else np.where(is_eligible, values, -np.inf)
    )
    best = np.flatnonzero(masked == masked.max())
    is_explored = bool(coin < exploration_rate)
    action = int(pick * count) if is_explored else int(best[int(pick * len(best))])
    propensity = exploration_rate / count
    if action in best:
        propensity += (1.0 - exploration_rate) / len(best)
    return Choice(action, float(propensity), is_explored)


def epsilon_greedy_batch(
    values: Float64Array,
    exploration_rate: float | Float64Array,
    generator: np.random.Generator,
    is_eligible: BoolArray | None = None,
) -> Choices:
    """Return one action per row of values, by the rule of ``epsilon_greedy``, vectorised.

    Args:
        values: float64[N, A], points.
        exploration_rate: one for all rows or one per row, in [0, 1].
        generator: source of chance; two uniform numbers per row are drawn.
        is_eligible: bool[N, A], as in ``epsilon_greedy``.

    Raises:
        LearningError: values have the wrong shape or are not finite, or a rate is out of range.
    """
    if values.ndim != 2 or values.shape[1] == 0 or not np.isfinite(values).all():
        raise LearningError(
            f"values must be finite with shape (rows, actions), got {values.shape}; rebuild these rows"
        )
    rows, count = values.shape
    rates = np.broadcast_to(np.asarray(exploration_rate, dtype=np.float64), (rows,))
    if not ((rates >= 0) & (rates <= 1)).all():
        raise LearningError("exploration rates must lie in [0, 1]; take them from a schedule")
    masked = values
    if is_eligible is not None:
        masked = np.where(is_eligible | ~is_eligible.any(axis=1, keepdims=True), values, -np.inf)
    is_best = masked == masked.max(axis=1, keepdims=True, initial=-np.inf)
    best_count = is_best.sum(axis=1)
    coin, pick = generator.random((rows, 2)).T
    is_explored = coin < rates
    rank = (pick * best_count).astype(np.int64)
    greedy = (is_best.cumsum(axis=1) > rank[:, np.newaxis]).argmax(axis=1)
    action = np.where(is_explored, (pick * count).astype(np.int64), greedy)
    is_greedy = is_best[np.arange(rows), action]
    propensity = rates / count + np.where(is_greedy, (1.0 - rates) / best_count, 0.0)
    return Choices(action, propensity, is_explored)
