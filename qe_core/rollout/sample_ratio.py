"""Are the arms' counts what the assignment makes them? If not, whatever the outcomes say is void.

What belongs here: sample-ratio mismatch, outcomes lost or delivered again in one arm more than in the other.
What does not: what the outcomes say (`differences`).

Each check asks whether counts fall into the arms by their expected shares. It holds at every look: the
e-value is the likelihood ratio of a Beta mixture of shares to the expected one (M. Lindon and A. Malek,
"Anytime-valid inference for multinomial count data", NeurIPS 2022). The chi-square test, which does not, is
shown beside it.

What can be seen: an outcome known to be missing, or delivered again, shows within some dozen of them, because
in a sound test both arms miss about as many. A unit that vanished without a trace shows only in the ratio of
the arms, which takes thousands of units; the gates print both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

from scipy.special import betaln, chdtrc

from qe_core.rollout.evidence import StageEvidence
from qe_core.rollout.sequential import LARGEST_LOG

RATIO_CONCENTRATIONS = (1000.0, 10.0)
"""Weights of the Beta mixtures for whole arms: departures of about 1.5 points from the expected share, which
losses make, and of about 15, which a broken assignment makes."""

RARE_CONCENTRATIONS = (1.0,)
"""Weight for lost and repeated outcomes: any departure, up to all of them in one arm."""


class Count(StrEnum):
    """What is counted in both arms."""

    RECORDED = "recorded"
    LOST = "lost"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class CountCheck:
    """One kind of count at one stage, held against the assignment.

    Attributes:
        stage_percent: the stage.
        count: what was counted.
        treated: in the treatment.
        untreated: in the control.
        expected_share: of the treatment, in (0, 1).
        p_value: of the chi-square test, for one look.
        e_value: evidence against the expected share, for all looks.
        is_sound: whether the e-value stays below its limit.
    """

    stage_percent: int
    count: Count
    treated: int
    untreated: int
    expected_share: float
    p_value: float
    e_value: float
    is_sound: bool

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        expected = self.expected_share * (self.treated + self.untreated)
        return (
            f"{self.count.value} units at {self.stage_percent} %: {self.treated} treated, "
            f"{self.untreated} control, {expected:.0f} treated expected "
            f"(p = {self.p_value:.2g}, e = {self.e_value:.3g})"
        )


def check_counts(evidence: Sequence[StageEvidence], significance: float) -> tuple[CountCheck, ...]:
    """Return the checks of every stage that has units.

    Args:
        evidence: of each stage.
        significance: chance of each check ever failing on sound counts, in (0, 0.5).
    """
    return tuple(check for stage in evidence for check in _checks_of(stage, significance))


def _checks_of(stage: StageEvidence, significance: float) -> Iterator[CountCheck]:
    """Yield the checks of one stage."""
    new, old = stage.treatment, stage.control
    assigned = _share(new.count + new.lost, old.count + old.lost)
    for count, treated, untreated, share, concentrations in (
        (Count.RECORDED, new.count, old.count, stage.plan.treatment_share, RATIO_CONCENTRATIONS),
        (Count.LOST, new.lost, old.lost, assigned, RARE_CONCENTRATIONS),
        (Count.REPEATED, new.repeated, old.repeated, _share(new.count, old.count), RARE_CONCENTRATIONS),
    ):
        if treated + untreated == 0:
            continue
        e_value = share_e_value(treated, untreated, share, concentrations)
        yield CountCheck(
            int(stage.stage),
            count,
            treated,
            untreated,
            share,
            chi_square_p(treated, untreated, share),
            e_value,
            e_value < 1.0 / significance,
        )


def _share(first: int, second: int) -> float:
    """Return the first count's share, half a unit added to each so that it is never 0 or 1."""
    return (first + 0.5) / (first + second + 1.0)


def share_e_value(first: int, second: int, share: float, concentrations: Sequence[float]) -> float:
    """Return the evidence that ``first`` of all does not have the expected share; 1 for no evidence.

    Args:
        first: counts of one kind.
        second: counts of the other.
        share: expected share of the first, in (0, 1).
        concentrations: weight of each Beta mixture, as many counts, > 0; the mean of their evidence counts.
    """
    expected = first * log(share) + second * log(1.0 - share)
    return sum(
        exp(min(LARGEST_LOG, _log_beta_mixture(first, second, share, concentration) - expected))
        for concentration in concentrations
    ) / len(concentrations)


def _log_beta_mixture(first: int, second: int, share: float, concentration: float) -> float:
    """Return the logarithm of the likelihood of counts, mixed over shares around the expected one."""
    a, b = share * concentration, (1.0 - share) * concentration
    return float(betaln(a + first, b + second) - betaln(a, b))


def chi_square_p(first: int, second: int, share: float) -> float:
    """Return the p-value of the chi-square test (one degree of freedom); 1 without counts."""
    total = first + second
    if total == 0:
        return 1.0
    statistic = (first - share * total) ** 2 / (total * share * (1.0 - share))
    return float(chdtrc(1.0, statistic))
