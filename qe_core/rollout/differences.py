"""The difference between the arms: stratified over stages, Welch's t-test, effect size.

What belongs here: point estimates and what holds at a sample size fixed beforehand. What does not: looking
again and again (`sequential`), power and sample sizes (`power`).

Arms are concurrent within a stage, so each stage gives an unbiased difference whatever the level drifts to.
The stages' differences D_k are combined with the weights h_k = n_T n_C / (n_T + n_C), which do not look at
outcomes. Σ h_k D_k is the score of the treatment: under ramp and drift it is a sum of increments with mean
zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, sqrt

from scipy.special import ndtri, stdtr

from qe_core.rollout.evidence import Measure, StageEvidence


@dataclass(frozen=True, slots=True)
class Difference:
    """Treatment minus control.

    Attributes:
        estimate: of the difference, in the measure's unit.
        standard_error: of the estimate, unequal variances allowed.
        freedom: Welch–Satterthwaite degrees of freedom; 0 where an arm has no spread to estimate from.
        information: of the standardised effect: half the units of an arm, for equal arms.
        spread: pooled standard deviation within arms and stages.
        control_mean: the control's mean, weighted as the difference is.
        treated: units of the treatment used.
        untreated: units of the control used.
    """

    estimate: float = 0.0
    standard_error: float = 0.0
    freedom: float = 0.0
    information: float = 0.0
    spread: float = 0.0
    control_mean: float = 0.0
    treated: int = 0
    untreated: int = 0

    @property
    def t_statistic(self) -> float:
        """Welch's t; 0 where nothing differs, infinite where the arms differ without any spread."""
        if self.standard_error > 0.0:
            return self.estimate / self.standard_error
        return 0.0 if self.estimate == 0.0 else inf if self.estimate > 0.0 else -inf

    @property
    def p_value(self) -> float | None:
        """Two-sided p of Welch's t-test at a sample size fixed beforehand; None without evidence."""
        if self.freedom <= 0.0:
            return None
        return float(2.0 * stdtr(self.freedom, -abs(self.t_statistic)))


def stratified_difference(
    evidence: Sequence[StageEvidence],
    measure: Measure = Measure.REWARD,
    *,
    control_factor: float = 1.0,
    is_share: bool = False,
) -> Difference:
    """Return treatment minus ``control_factor`` × control, combined over the stages.

    For one stage and the factor 1 this is Welch's estimate (B. L. Welch, Biometrika 34, 1947).

    Args:
        evidence: of each stage; those with fewer than two units in an arm have no weight.
        measure: what is compared.
        control_factor: 1.2 asks whether the treatment exceeds the control by a fifth.
        is_share: whether values are successes; then 100 of 100 is not taken for certainty: the variance is at
            least that with one success and one failure added (A. Agresti, B. Caffo, The American Statistician
            54, 2000).
    """
    weight_sum = score = score_variance = terms = deviations = control = 0.0
    freedom = treated = untreated = 0
    for stage in evidence:
        new, old = stage.treatment.of_measure(measure), stage.control.of_measure(measure)
        if new.count < 2 or old.count < 2:
            continue
        weight = new.count * old.count / (new.count + old.count)
        score += weight * (new.mean - control_factor * old.mean)
        control += weight * old.mean
        weight_sum += weight
        for arm, factor in ((new, 1.0), (old, control_factor)):
            variance = max(arm.variance, _least_share_variance(arm.count)) if is_share else arm.variance
            deviations += variance * (arm.count - 1)
            freedom += arm.count - 1
            term = (weight * factor) ** 2 * variance / arm.count
            score_variance += term
            terms += term * term / (arm.count - 1)
        treated += new.count
        untreated += old.count
    if weight_sum == 0.0:
        return Difference()
    spread = sqrt(deviations / freedom)
    return Difference(
        estimate=score / weight_sum,
        standard_error=sqrt(score_variance) / weight_sum,
        freedom=score_variance * score_variance / terms if terms > 0.0 else float(freedom),
        information=score_variance / (spread * spread) if spread > 0.0 else weight_sum,
        spread=spread,
        control_mean=control / weight_sum,
        treated=treated,
        untreated=untreated,
    )


def _least_share_variance(count: int) -> float:
    """Return the variance of a share without failures, once one success and one failure are added."""
    return (count + 1.0) / (count + 2.0) ** 2


@dataclass(frozen=True, slots=True)
class EffectSize:
    """Standardised difference at a sample size fixed beforehand.

    Attributes:
        cohens_d: difference over the pooled standard deviation.
        hedges_g: the same without its small-sample bias.
        lower: lower end of the interval of g.
        upper: upper end.
    """

    cohens_d: float
    hedges_g: float
    lower: float
    upper: float


def effect_size(difference: Difference, significance: float) -> EffectSize | None:
    """Return Cohen's d, Hedges' g and its interval; None where there is no spread to measure in.

    The correction is exact, the variance of g that of L. V. Hedges and I. Olkin, Statistical Methods for
    Meta-Analysis, 1985, chapter 5.

    Args:
        difference: the estimate.
        significance: two-sided, of the interval.
    """
    freedom = difference.treated + difference.untreated - 2
    if difference.spread <= 0.0 or freedom < 2:
        return None
    d = difference.estimate / difference.spread
    correction = _correction(freedom)
    g = correction * d
    variance = (difference.standard_error / difference.spread) ** 2 + g * g / (2.0 * freedom)
    reach = float(-ndtri(significance / 2.0)) * sqrt(variance)
    return EffectSize(d, g, g - reach, g + reach)


def _correction(freedom: int) -> float:
    """Return Γ(ν/2) / (√(ν/2) · Γ((ν − 1)/2)), which takes the bias out of d."""
    return exp(lgamma(freedom / 2) - lgamma((freedom - 1) / 2)) / sqrt(freedom / 2)
