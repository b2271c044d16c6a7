"""Multi-objective rewards in points, from measurements to one number in [-100, 100].

What belongs here: reward terms, their declared scales and how they combine. What does not: which
terms an agent uses (its contract) and where measurements come from (environments, the runtime).

The weights of the defaults are the product's order; why savings are capped is in ADR 0040.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from qe_core.errors import ContractError, RewardError
from qe_core.fleet.features import is_number

REWARD_LIMIT = 100.0
"""The largest magnitude of a reward, in points."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Scale of a signed change: measurement / ``full_scale``, bounded to [-1, 1], symmetrical.

    Args:
        full_scale: the change that counts as 1, in the measurement's unit, above 0.
    """

    full_scale: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.full_scale) and self.full_scale > 0):
            raise ContractError(f"full_scale must be a finite number above 0, got {self.full_scale}")

    def normalise(self, value: float) -> float:
        """Return the change on [-1, 1]."""
        return max(-1.0, min(1.0, value / self.full_scale))


@dataclass(frozen=True, slots=True)
class RelativeToExpected:
    """Scale of a quantity to keep low, as a ratio to the subject's own expected figure.

    The measurement is actual / expected: 0 gives 1, 1 (as expected) gives 0, 2 or more gives -1.
    """

    def normalise(self, value: float) -> float:
        """Return 1 - ratio, bounded to [-1, 1] for a ratio of 0 or more."""
        return max(-1.0, 1.0 - value)


@dataclass(frozen=True, slots=True)
class Target:
    """Scale of a quantity with a useful size: 1 at ``best``, 0 at ``tolerance`` away, -1 at twice that.

    Args:
        best: the value that counts as 1.
        tolerance: the distance from ``best`` that counts as 0, above 0.
    """

    best: float
    tolerance: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.best) and math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ContractError(f"a target needs a finite best and a tolerance above 0, got {self}")

    def normalise(self, value: float) -> float:
        """Return 1 - distance / tolerance, bounded to [-1, 1]."""
        return max(-1.0, 1.0 - abs(value - self.best) / self.tolerance)


Scale = Gain | RelativeToExpected | Target


@dataclass(frozen=True, slots=True)
class RewardTerm:
    """One objective: which measurement, how it is scaled and how much it weighs.

    Attributes:
        name: the objective, unique inside a reward model, and the name of its measurement.
        weight: its share of the whole; the weights of a model sum to 1.
        scale: how the raw measurement becomes a number in [-1, 1].
        description: what is measured and in which unit, for people.
    """

    name: str
    weight: float
    scale: Scale
    description: str

    @property
    def is_saving(self) -> bool:
        """Whether the term measures what a result took (time, money), not what it was worth."""
        return isinstance(self.scale, RelativeToExpected)

    def score(self, value: float) -> float:
        """Return the normalised measurement in [-1, 1].

        Raises:
            RewardError: the measurement is not a finite number, or a negative ratio; the message
                names it.
        """
        if not is_number(value):
            raise RewardError(f"measurement {self.name!r} is {value!r}, not a number ({self.description})")
        if not math.isfinite(value):
            raise RewardError(
                f"measurement {self.name!r} is {value}: measure again or report the action as failed"
            )
        if self.is_saving and value < 0:
            raise RewardError(
                f"measurement {self.name!r} is {value}: a ratio of actual to expected cannot be negative"
            )
        match self.scale:
            case Gain() | RelativeToExpected() | Target() as scale:
                return scale.normalise(value)
            case _:
                assert_never(self.scale)


@dataclass(frozen=True, slots=True)
class RewardModel:
    """An agent's objectives; weights sum to 1.

    A measurement that was not taken contributes 0: a term is earned, never assumed.
    """

    terms: tuple[RewardTerm, ...]

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        if not names or len(set(names)) != len(names):
            raise ContractError(f"a reward model needs distinct terms, got {names}")
        if any(not (math.isfinite(term.weight) and term.weight > 0) for term in self.terms):
            raise ContractError("every reward weight must be a finite number above 0")
        total = math.fsum(term.weight for term in self.terms)
        if abs(total - 1.0) > 1e-9:
            raise ContractError(
                f"reward weights must sum to 1, they sum to {total:.6g}: {dict(self.weights)}"
            )

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight by term name."""
        return {term.name: term.weight for term in self.terms}

    def reward(self, measurements: Mapping[str, float], *, failed: bool = False) -> float:
        """Return the reward in points, in [-100, 100].

        A failed action keeps its losses and forfeits its gains, so it never scores above doing
        nothing. Time and money saved count for no more than what was gained: doing nothing takes
        nothing, and scores 0, not a bonus.

        Args:
            measurements: value by term name, each in its term's unit.
            failed: the action raised, crashed or produced nothing usable.

        Raises:
            RewardError: a measurement is unknown, NaN, infinite or a negative ratio.
        """
        unknown = measurements.keys() - self.weights.keys()
        if unknown:
            raise RewardError(
                f"unknown measurements {sorted(unknown)}; this agent measures {sorted(self.weights)}"
            )
        scores = [
            (term.weight * term.score(measurements[term.name]), term.is_saving)
            for term in self.terms
            if term.name in measurements
        ]
        losses = math.fsum(score for score, _ in scores if score < 0)
        gained = math.fsum(score for score, is_saving in scores if score > 0 and not is_saving)
        saved = math.fsum(score for score, is_saving in scores if score > 0 and is_saving)
        total = losses if failed else losses + gained + min(saved, gained)
        return max(-REWARD_LIMIT, min(REWARD_LIMIT, REWARD_LIMIT * total))

    def reweighted(self, weights: Mapping[str, float]) -> "RewardModel":
        """Return the model with other weights for some of its terms.

        Raises:
            ContractError: a name is unknown or the weights no longer sum to 1.
        """
        unknown = weights.keys() - self.weights.keys()
        if unknown:
            raise ContractError(f"unknown reward terms {sorted(unknown)}; known: {sorted(self.weights)}")
        return RewardModel(
            tuple(replace(term, weight=weights.get(term.name, term.weight)) for term in self.terms)
        )


DEFAULT_TERMS: tuple[RewardTerm, ...] = (
    RewardTerm("coverage_gain", 0.30, Gain(0.25), "change in share of branches covered; 0.25 is full scale"),
    RewardTerm("defects_found", 0.25, Gain(3.0), "real defects found less false alarms; 3 is full scale"),
    RewardTerm(
        "execution_speed", 0.15, RelativeToExpected(), "seconds taken / seconds expected of the subject"
    ),
    RewardTerm("cost_efficiency", 0.10, RelativeToExpected(), "cost / cost expected of the subject"),
    RewardTerm(
        "quality_improvement", 0.10, Gain(0.2), "change in quality score in [0, 1]; 0.2 is full scale"
    ),
    RewardTerm("pattern_reuse", 0.10, Gain(1.0), "share of the result that reuses known patterns"),
)
"""The objectives every agent starts from; an agent re-weights them or adds its own."""


def default_rewards(*own: RewardTerm, **weights: float) -> RewardModel:
    """Return the default objectives re-weighted, followed by an agent's own.

    Args:
        own: additional terms.
        weights: new weights of default terms by name; a weight of 0 leaves the term out.

    Raises:
        ContractError: a name is unknown or the weights do not sum to 1.
    """
    known = {term.name for term in DEFAULT_TERMS}
    if unknown := weights.keys() - known:
        raise ContractError(f"unknown reward terms {sorted(unknown)}; known: {sorted(known)}")
    kept = (replace(term, weight=weights.get(term.name, term.weight)) for term in DEFAULT_TERMS)
    return RewardModel((*(term for term in kept if term.weight != 0), *own))
