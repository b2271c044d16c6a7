"""The audit: guess from outputs which neighbour they came from, and say what the guesses prove about ε.

What belongs here: ways to guess, choosing one on half of the runs, bounding its errors on the other half.
What does not: the formulas (`bounds`), the runs (`runs`).

A finding rests on six Clopper–Pearson bounds: for ε the rates TPR and FPR of one guess in either direction,
for μ those of one guess. It is given the chance with which any of them may fail, and divides it by six; a
table of k findings gives each 5 % / k. All figures of a table hold together with 95 % or more (Bonferroni).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qe_core.learning.arrays import Float64Array, Int64Array
from tests.privacy_audit.bounds import (
    best_epsilon,
    epsilon_from_rates,
    gaussian_epsilon,
    rate_above,
    rate_below,
    separation_from_rates,
    separation_of,
)
from tests.privacy_audit.cases import DELTA, Case
from tests.privacy_audit.runs import KINDS, Mechanism, kind_of_cells

BOUNDS_PER_FINDING = 6
RUNS_AT_ONCE = 2_000
GUESSES = ("likelihood", *KINDS, "presence", "largest")


@dataclass(frozen=True, slots=True)
class Finding:
    """What an audit of one mechanism on one pair of neighbours found.

    Attributes:
        case: the neighbours.
        mechanism: in words.
        runs: on either neighbour.
        epsilon: the lower bound on ε at the case's δ; 0 says nothing.
        guess: by which way of guessing.
        separation: the lower bound on μ.
        possible: about the highest ``epsilon`` this many runs can show of noise that uses up the claim.
        roc: rates of being wrong and right of the likelihood at 200 thresholds, float64[200, 2].
    """

    case: Case
    mechanism: str
    runs: int
    epsilon: float
    guess: str
    separation: float
    possible: float
    roc: Float64Array

    @property
    def exact(self) -> float:
        """Return the ε of noise that uses up the claim exactly: the most any audit could find."""
        return gaussian_epsilon(separation_of(self.case.nano_rho), DELTA)

    @property
    def gaussian(self) -> float:
        """Return the lower bound on ε that follows from the one on μ."""
        return gaussian_epsilon(self.separation, DELTA)

    @property
    def is_within_claim(self) -> bool:
        """Say whether neither bound exceeds what is claimed."""
        return self.epsilon <= self.case.claim and self.separation <= separation_of(self.case.nano_rho)


def audit(mechanism: Mechanism, case: Case, runs: int, error: float, seed: int) -> Finding:
    """Return what ``runs`` releases of either neighbour prove, wrong with chance ``error`` at most.

    Args:
        mechanism: what is audited.
        case: the neighbours.
        runs: of each; even.
        error: chance that a bound exceeds the truth.
        seed: of the choice among a unit's pairs; the noise has none.
    """
    generator = np.random.default_rng(seed)
    guesses = _Guesses.of(mechanism, case, generator)
    present, absent = (
        np.concatenate(
            [
                guesses.scores(mechanism.outputs(steps, case, min(RUNS_AT_ONCE, runs - start), generator))
                for start in range(0, runs, RUNS_AT_ONCE)
            ]
        )
        for steps in (case.present, case.absent)
    )
    lower = lower_bounds(present, absent, error)
    possible = best_epsilon(separation_of(case.nano_rho), runs // 2, DELTA, error / BOUNDS_PER_FINDING)
    return Finding(case, mechanism.name, runs, *lower, possible, _roc(present[:, 0], absent[:, 0]))


@dataclass(frozen=True, slots=True)
class _Guesses:
    """Scores of an output that are larger, the more it looks as if the unit was there.

    Attributes:
        weights: of each cell in the scores that are sums, float64[cells, sums].
        touched: which cells the unit changes, bool[cells].
        scale: of each cell, float64[cells].
    """

    weights: Float64Array
    touched: np.ndarray
    scale: Float64Array

    @classmethod
    def of(cls, mechanism: Mechanism, case: Case, generator: np.random.Generator) -> "_Guesses":
        """Weigh cells as the likelihood ratio does: by the difference over the variance of the noise."""
        scales = mechanism.scale(case.bound, len(case.spaces), case.privacy_epsilon)
        kind = kind_of_cells(case)
        scale = np.array([getattr(scales, name) for name in KINDS])[kind]
        present, absent = (mechanism.means(steps, case, generator) for steps in (case.present, case.absent))
        difference = present - absent
        weight = difference / scale**2
        of_kinds = [np.where(kind == place, weight, 0.0) for place in range(len(KINDS))]
        columns = np.stack([weight, *of_kinds], axis=1)
        return cls(
            np.tile(columns, (case.releases, 1)),
            np.tile(difference != 0, case.releases),
            np.tile(scale, case.releases),
        )

    def scores(self, outputs: Int64Array) -> Float64Array:
        """Return the scores of each run in the order of ``GUESSES``, float64[runs, guesses]."""
        touched = outputs[:, self.touched]
        presence = (touched != 0).sum(axis=1)
        largest = (np.abs(touched) / self.scale[self.touched]).max(axis=1)
        return np.column_stack([outputs @ self.weights, presence, largest])


Measure = Callable[[Float64Array, Float64Array], Float64Array]


def lower_bounds(present: Float64Array, absent: Float64Array, error: float) -> tuple[float, str, float]:
    """Return lower bounds on ε and μ, any of which is too high with chance ``error`` at most.

    Args:
        present: scores of runs with the unit, float64[runs, guesses]; the first half chooses.
        absent: scores of runs without it.
        error: the chance.

    Returns:
        The bound on ε, by which guess, and the bound on μ.
    """
    each = error / BOUNDS_PER_FINDING

    def epsilon(right: Float64Array, wrong: Float64Array) -> Float64Array:
        return epsilon_from_rates(right, wrong, DELTA)

    # "It was there" from high scores, and "it was not" from low ones.
    found, guess = max(_best(present, absent, each, epsilon), _best(-absent, -present, each, epsilon))
    separation, _ = _best(present, absent, each, separation_from_rates)
    return found, guess, max(0.0, separation)


def _best(present: Float64Array, absent: Float64Array, error: float, measure: Measure) -> tuple[float, str]:
    """Return what the second half proves by the guess and threshold that the first half likes best."""
    half = len(present) // 2
    tails = np.geomspace(0.9, 2 / half, 80)
    tried = [np.unique(np.quantile(scores, 1 - tails)) for scores in absent[:half].T]
    # Just above each value as well: scores can be all alike where the unit is absent.
    tried = [np.unique(np.concatenate([one, np.nextafter(one, np.inf)])) for one in tried]
    bounds = [
        _bound(present[:half, guess], absent[:half, guess], thresholds, error, measure)
        for guess, thresholds in enumerate(tried)
    ]
    chosen = int(np.argmax([one.max() for one in bounds]))
    threshold = tried[chosen][[bounds[chosen].argmax()]]
    proved = _bound(present[half:, chosen], absent[half:, chosen], threshold, error, measure)
    return float(proved[0]), GUESSES[chosen]


def _bound(
    present: Float64Array, absent: Float64Array, thresholds: Float64Array, error: float, measure: Measure
) -> Float64Array:
    right, wrong = _at_least(present, thresholds), _at_least(absent, thresholds)
    return measure(rate_below(right, len(present), error), rate_above(wrong, len(absent), error))


def _at_least(scores: Float64Array, thresholds: Float64Array) -> Int64Array:
    """Return how many scores reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _roc(present: Float64Array, absent: Float64Array) -> Float64Array:
    thresholds = np.quantile(absent, np.linspace(1, 0, 200))
    return np.column_stack(
        [_at_least(absent, thresholds) / len(absent), _at_least(present, thresholds) / len(present)]
    )
