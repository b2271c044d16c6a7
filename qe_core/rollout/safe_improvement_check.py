"""Whether a candidate may enter an A/B test: the verdict before anybody is exposed to it.

What belongs here: the verdict on a candidate against its baseline and the figures behind it. What does not:
the estimates (`off_policy`) and their support (`off_policy_support`).
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, require_fraction, require_shape
from qe_core.rollout.off_policy import Estimate, Estimator, evaluate
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_support import Support, SupportSettings, support_of


class CandidateVerdict(StrEnum):
    """What follows from the log."""

    REFUSED = "refused"
    UNSAFE = "unsafe"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What a candidate must show before a test.

    Attributes:
        support: what the log must have of it.
        confidence_level: of the intervals shown, in (0, 1).
        worst_case: the share of worst cases that are looked at, in (0, 0.5): the lower bound on the
            difference to the baseline holds in all others.
        tolerated_loss_points: how far below the baseline that bound may lie, points of discounted return.
    """

    support: SupportSettings = field(default_factory=SupportSettings)
    confidence_level: float = 0.95
    worst_case: float = 0.01
    tolerated_loss_points: float = 2.0

    def __post_init__(self) -> None:
        require_fraction("confidence_level", self.confidence_level, is_zero_allowed=False)
        if not 0.0 < self.worst_case < 0.5:
            raise LearningError(f"worst_case must lie in (0, 0.5), got {self.worst_case}; use 0.01")


@dataclass(frozen=True, slots=True)
class CandidateCheck:
    """The verdict on a candidate; without support there is no estimate.

    Attributes:
        verdict: what follows.
        reason: why, in one sentence.
        support: what the log has of the candidate.
        candidate: both estimates of its value, the doubly robust first; empty where refused.
        baseline: the doubly robust estimate of the baseline's value; None where refused.
        difference: candidate minus baseline on the same episodes; None where refused.
        worst_case_difference: its lower bound in the worst cases looked at, points; None where refused.
    """

    verdict: CandidateVerdict
    reason: str
    support: Support
    candidate: tuple[Estimate, ...] = ()
    baseline: Estimate | None = None
    difference: Estimate | None = None
    worst_case_difference: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record that is stored with a test or shown, ready for JSON."""
        return asdict(self)


def check_candidate(
    log: LoggedEpisodes,
    candidate: Float64Array,
    baseline: Float64Array,
    discount: float,
    settings: CheckSettings | None = None,
) -> CandidateCheck:
    """Return whether the candidate may enter a test against the baseline.

    REFUSED: the log has too little of the candidate or of the baseline. UNSAFE: its estimated value is below
    the baseline's, or in the worst cases by more than is tolerated. READY: neither.

    Args:
        log: episodes of whatever was followed, with propensities.
        candidate: probability per action, float64[S, A].
        baseline: of the policy that serves, float64[S, A].
        discount: γ in [0, 1).
        settings: what is asked for; the defaults where left out.

    Raises:
        LearningError: a policy is malformed, or log, candidate and baseline are of different sizes.
    """
    chosen = CheckSettings() if settings is None else settings
    require_shape("the baseline", baseline, candidate.shape)
    support = support_of(log, candidate, chosen.support)
    of_baseline = support_of(log, baseline, chosen.support)
    refusal = support.refusal or (of_baseline.refusal and f"baseline: {of_baseline.refusal}")
    if refusal:
        return CandidateCheck(CandidateVerdict.REFUSED, refusal, support)
    robust, sampled = (
        evaluate(log, candidate, discount, support, estimator)
        for estimator in (Estimator.DOUBLY_ROBUST, Estimator.IMPORTANCE_SAMPLING)
    )
    served = evaluate(log, baseline, discount, of_baseline)
    difference = robust.minus(served)
    worst = difference.estimate(1.0 - 2.0 * chosen.worst_case).lower
    verdict, reason = _verdict(difference.value, worst, chosen)
    level = chosen.confidence_level
    return CandidateCheck(
        verdict, reason, support, (robust.estimate(level), sampled.estimate(level)), served.estimate(level),
        difference.estimate(level), worst,
    )  # fmt: skip


def _verdict(mean: float, worst: float, settings: CheckSettings) -> tuple[CandidateVerdict, str]:
    """Return the verdict and its reason, given the estimated difference and its worst case, points."""
    share = f"{settings.worst_case:.0%}"
    if mean < 0.0:
        return CandidateVerdict.UNSAFE, f"the candidate is estimated to lose {-mean:.1f} points an episode"
    if worst < -settings.tolerated_loss_points:
        return CandidateVerdict.UNSAFE, (
            f"the candidate may lose {-worst:.1f} points an episode in the worst {share}, more than the "
            f"tolerated {settings.tolerated_loss_points:g}; log more episodes or take a candidate "
            "that changes less"
        )
    return CandidateVerdict.READY, (
        f"the candidate is estimated to gain {mean:.1f} points an episode, {worst:+.1f} in the worst {share}"
    )
