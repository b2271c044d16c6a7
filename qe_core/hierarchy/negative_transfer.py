"""Whether what a source says about a target did harm: judged by the target's own later evidence.

What belongs here: the figure, its error, and the sequential test. What does not: acting on the verdict
(`transfer_manager`) and remembering how often was looked (the pipelines).

Harm is what following the source would cost. In every state where the target has tried two or more of the
actions the source speaks about, the action it recommends is held against the mean of those actions, that is
against choosing among them without having heard anything. The source's evidence is not the target's, so the
target's noise is all there is by chance, and its size is known from the target statistics.
"""

from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import NormalDist

import numpy as np

from qe_core.errors import LearningError
from qe_core.hierarchy.transfer import Offer
from qe_core.learning.arrays import require_shape
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, QTable, noise_variance


@dataclass(frozen=True, slots=True)
class HarmSettings:
    """How harm is judged.

    Attributes:
        error_rate: chance, over all looks together, that a harmless source is found harmful, in (0, 1).
        minimum_visits: own experiences from which a pair is judged, at least 1.
        first_look_visits: own experiences in judged pairs before the first look; each further look waits
            until they have doubled.
    """

    error_rate: float = 0.05
    minimum_visits: int = 2
    first_look_visits: int = 40

    def __post_init__(self) -> None:
        if not 0.0 < self.error_rate < 1.0:
            raise LearningError(f"error_rate must lie in (0, 1), got {self.error_rate}; 0.05 is usual")
        if self.minimum_visits < 1 or self.first_look_visits < 1:
            raise LearningError(
                f"visits to judge by must be at least 1, got {self.minimum_visits} and "
                f"{self.first_look_visits}; 2 and 40 are the defaults"
            )


DEFAULT_HARM = HarmSettings()


@dataclass(frozen=True, slots=True)
class GainEstimate:
    """What following a source would have gained the target, per decision.

    Attributes:
        gain: points over choosing without having heard of it; negative is harm; 0 where nothing is judged.
        error: its standard error, points.
        states: states judged.
        visits: own experiences behind it.
    """

    gain: float
    error: float
    states: int
    visits: int


@dataclass(frozen=True, slots=True)
class HarmRecord:
    """What is remembered about one source and one target between looks.

    Attributes:
        looks: how often was looked.
        looked_at_visits: own experiences at the last look.
        is_harmful: whether a look found harm; that stays.
    """

    looks: int = 0
    looked_at_visits: int = 0
    is_harmful: bool = False

    def __post_init__(self) -> None:
        if self.looks < 0 or self.looked_at_visits < 0:
            raise LearningError(f"looks and visits are counts, got {self.looks} and {self.looked_at_visits}")


def followed_gain(
    given: Offer,
    own: QTable,
    settings: HarmSettings = DEFAULT_HARM,
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
) -> GainEstimate:
    """Return what following the source would have gained, by the target's own evidence.

    A state counts by the own experiences in it. With recommended action b among K judged ones, its gain is
    q_b − mean q, with variance (1 − 1/K)²·σ_b²/n_b + Σ_{a≠b} σ_a²/(K²·n_a): the usual variance of a contrast
    of independent means. Equal recommendations share.

    Args:
        given: what the source says, float64[S, A].
        own: the target's table.
        settings: from which visits on a pair is judged.
        confidence: what is assumed about noise before it is measured.

    Raises:
        LearningError: the offer is about a table of another shape.
    """
    require_shape(f"the offer of {given.source}", given.prior, own.q.shape)
    is_judged = given.is_known & (own.visits >= settings.minimum_visits)
    told = np.where(is_judged, given.prior, -np.inf)
    is_best = is_judged & (told == told.max(axis=1, keepdims=True))
    judged_count, best_count = is_judged.sum(axis=1), is_best.sum(axis=1)
    # Where it recommends everything alike it recommends nothing.
    rows = np.flatnonzero((judged_count > 1) & (best_count < judged_count))
    if len(rows) == 0:
        return GainEstimate(0.0, 0.0, 0, 0)
    contrast = is_best[rows] / best_count[rows, np.newaxis] - is_judged[rows] / judged_count[rows, np.newaxis]
    visits = np.where(is_judged, own.visits, 0)[rows]
    total = int(visits.sum())
    share = visits.sum(axis=1, keepdims=True) / total
    variance = noise_variance(own.statistics, confidence)[rows] / np.maximum(own.visits[rows], 1)
    gain = float((share * contrast * own.target_mean[rows]).sum())
    error = sqrt(float(((share * contrast) ** 2 * variance).sum()))
    return GainEstimate(gain, error, len(rows), total)


def look(record: HarmRecord, estimate: GainEstimate, settings: HarmSettings = DEFAULT_HARM) -> HarmRecord:
    """Return the record after one more look, or as it was where there is too little new to look at.

    Look k = 1, 2, … rejects "harmless" if gain / error falls below the normal quantile of error_rate / 2^k.
    These shares add up to at most the error rate, so it holds over all looks together, however they depend on
    each other (Bonferroni). A source once found harmful stays so.

    Args:
        record: of this source and target.
        estimate: as of now.
        settings: error rate and pace.

    Raises:
        LearningError: the estimate is not finite.
    """
    if not (isfinite(estimate.gain) and isfinite(estimate.error)):
        raise LearningError("a gain or its error is not finite; rebuild the target's table from its log")
    due_at = max(settings.first_look_visits, 2 * record.looked_at_visits)
    if record.is_harmful or estimate.states == 0 or estimate.visits < due_at:
        return record
    looks = record.looks + 1
    limit = NormalDist().inv_cdf(max(settings.error_rate / 2.0**looks, 1e-300)) * estimate.error
    return HarmRecord(looks, estimate.visits, estimate.gain < limit)
