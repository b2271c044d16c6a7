"""Arms that grow soundly or lose and double units, and how long the count checks take to see it.

What belongs here: drawing counts, calling `check_counts` look by look. What does not: outcomes (`worlds`).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from qe_core.rollout.assignment import Stage, plan_of
from qe_core.rollout.evidence import ArmSample, StageEvidence
from qe_core.rollout.moments import Moments
from qe_core.rollout.sample_ratio import check_counts, chi_square_p

SIGNIFICANCE = 0.001
FIRST_LOOK = 20
GROWTH = 1.05
SOUND_SHARE = 0.01


class Fault(StrEnum):
    """What goes wrong in the treatment alone."""

    LOST = "outcomes lost, known to be missing"
    REPEATED = "outcomes delivered again"
    VANISHED = "units lost without a trace"
    DOUBLED = "units counted twice without a trace"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one arm."""

    recorded: int = 0
    lost: int = 0
    repeated: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.recorded + other.recorded, self.lost + other.lost, self.repeated + other.repeated)

    @property
    def sample(self) -> ArmSample:
        """The counts as an arm's sample."""
        return ArmSample(Moments(self.recorded), lost=self.lost, repeated=self.repeated)


def units_until_seen(
    fault: Fault | None,
    share: float,
    stage: Stage,
    most: int,
    random: np.random.Generator,
    background: float = SOUND_SHARE,
) -> int | None:
    """Return the treated units after which a check fails; None if none does up to ``most``.

    Args:
        fault: what goes wrong; None for nothing but sound losses and repetitions in both arms.
        share: of the treated units it happens to.
        stage: of the rollout.
        most: treated units at the end.
        random: source of chance.
        background: share of outcomes lost, and of outcomes repeated, in both arms alike.
    """
    treated = untreated = Counts()
    share_of_arm = plan_of(stage).treatment_share
    assigned = 0
    total = float(FIRST_LOOK)
    while assigned < most:
        fresh = max(1, round(total) - treated.recorded - untreated.recorded)
        new = int(random.binomial(fresh, share_of_arm))
        assigned += new
        treated += _arm(new, fault, share, background, random)
        untreated += _arm(fresh - new, None, 0.0, background, random)
        total *= GROWTH
        evidence = StageEvidence(stage, untreated.sample, treated.sample)
        if not all(check.is_sound for check in check_counts([evidence], SIGNIFICANCE)):
            return assigned
    return None


def _arm(
    units: int, fault: Fault | None, share: float, background: float, random: np.random.Generator
) -> Counts:
    """Return what is counted of an arm's new units."""
    lost = int(random.binomial(units, background))
    recorded = units - lost
    repeated = int(random.binomial(recorded, background))
    if fault is None:
        return Counts(recorded, lost, repeated)
    hit = int(random.binomial(recorded, share))
    match fault:
        case Fault.LOST:
            return Counts(recorded - hit, lost + hit, repeated)
        case Fault.REPEATED:
            return Counts(recorded, lost, repeated + hit)
        case Fault.VANISHED:
            return Counts(recorded - hit, lost, repeated)
        case Fault.DOUBLED:
            return Counts(recorded + hit, lost, repeated)


def is_flagged_by_peeking(stage: Stage, most: int, random: np.random.Generator) -> bool:
    """Say whether the chi-square test at 0.001, at every look, fails on sound counts."""
    share = plan_of(stage).treatment_share
    treated = untreated = 0
    total = float(FIRST_LOOK)
    while treated < most:
        fresh = max(1, round(total) - treated - untreated)
        new = int(random.binomial(fresh, share))
        treated, untreated, total = treated + new, untreated + fresh - new, total * GROWTH
        if chi_square_p(treated, untreated, share) < SIGNIFICANCE:
            return True
    return False
