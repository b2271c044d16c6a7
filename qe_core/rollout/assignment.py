"""Which arm of an A/B test a unit falls into: a keyed hash, sticky, the same in every process.

What belongs here: buckets, stages, arms. What does not: what is measured in the arms (`evidence`) and when a
rollout goes on to its next stage (`ramp`).

How bytes become a bucket, so that any language can repeat it: BLAKE2b (RFC 7693) with a digest of 8 bytes,
keyed with the experiment's key in UTF-8 (1 to 64 bytes), over the unit in UTF-8, no salt, no personalisation,
no normalisation of the text. The 8 bytes, read as a big-endian integer, lose their lowest 11 bits; what is
left, divided by 2⁵³, is the bucket: a multiple of 2⁻⁵³ in [0, 1), exact as a double.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import blake2b
from typing import assert_never

from qe_core.errors import RolloutError

LONGEST_KEY_BYTES = 64
"""The longest key BLAKE2b takes."""

DIGEST_BYTES = 8
DROPPED_BITS = 11
STEP = 2.0**-53

DEFAULT_HOLD_OUT = 0.1
"""Share of the units that stays with the stable policy at 100 %; else nothing can be measured there."""


class Arm(StrEnum):
    """Where a unit stands in a test."""

    CONTROL = "control"
    TREATMENT = "treatment"
    OUTSIDE = "outside"


class Stage(IntEnum):
    """How far a rollout has gone: the share of units offered the candidate, in percent."""

    TENTH = 10
    HALF = 50
    FULL = 100

    @property
    def following(self) -> "Stage | None":
        """The next stage; None after the last."""
        match self:
            case Stage.TENTH:
                return Stage.HALF
            case Stage.HALF:
                return Stage.FULL
            case Stage.FULL:
                return None
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The buckets of the two arms at one stage; what lies between them is outside the test.

    Attributes:
        stage: the stage.
        treatment_below: buckets in [0, ``treatment_below``) are treated.
        control_from: buckets in [``control_from``, 1) are the control.
    """

    stage: Stage
    treatment_below: float
    control_from: float

    def __post_init__(self) -> None:
        if not 0.0 < self.treatment_below <= self.control_from < 1.0:
            raise RolloutError(
                f"arms [0, {self.treatment_below}) and [{self.control_from}, 1) overlap or are empty: "
                "choose 0 < treatment_below <= control_from < 1"
            )

    @property
    def treatment_share(self) -> float:
        """Expected share of treated units among those in the test, in (0, 1)."""
        return self.treatment_below / self.tested_share

    @property
    def tested_share(self) -> float:
        """Share of all units that is in the test, in (0, 1]."""
        return self.treatment_below + (1.0 - self.control_from)

    def arm_at(self, bucket: float) -> Arm:
        """Return the arm of a bucket in [0, 1)."""
        if bucket < self.treatment_below:
            return Arm.TREATMENT
        return Arm.CONTROL if bucket >= self.control_from else Arm.OUTSIDE


def plan_of(stage: Stage, hold_out: float = DEFAULT_HOLD_OUT) -> StagePlan:
    """Return the arms of a stage: equal ones at 10 and 50 %, all but a hold-out treated at 100 %.

    From stage to stage the treated interval only grows, so nobody leaves the treatment.

    Args:
        stage: the stage.
        hold_out: share kept as control at 100 %, in (0, 0.5].

    Raises:
        RolloutError: for a hold-out outside its range.
    """
    if not 0.0 < hold_out <= 0.5:
        raise RolloutError(f"hold_out must lie in (0, 0.5], got {hold_out}: without it nothing is measured")
    match stage:
        case Stage.TENTH:
            return StagePlan(stage, 0.1, 0.9)
        case Stage.HALF:
            return StagePlan(stage, 0.5, 0.5)
        case Stage.FULL:
            return StagePlan(stage, 1.0 - hold_out, 1.0 - hold_out)
        case _:
            assert_never(stage)


def bucket_of(experiment: str, unit: str) -> float:
    """Return the unit's bucket in [0, 1) under this experiment; the module says how it is computed.

    Args:
        experiment: key of the experiment, 1 to 64 bytes in UTF-8; another key gives independent buckets.
        unit: what is assigned: a task's episode or a developer, not empty.

    Raises:
        RolloutError: for an empty or too long key, an empty unit, or text that UTF-8 cannot hold.
    """
    try:
        key, message = experiment.encode(), unit.encode()
    except UnicodeEncodeError as error:
        raise RolloutError(
            f"{error.object!r} is not valid text: give a key and a unit that UTF-8 can hold"
        ) from error
    if not 0 < len(key) <= LONGEST_KEY_BYTES:
        raise RolloutError(
            f"an experiment's key has 1 to {LONGEST_KEY_BYTES} bytes, this one {len(key)}: rename it"
        )
    if not message:
        raise RolloutError("the unit is empty: name the task or the developer that is assigned")
    digest = blake2b(message, digest_size=DIGEST_BYTES, key=key).digest()
    return (int.from_bytes(digest, "big") >> DROPPED_BITS) * STEP


def arm_of(experiment: str, unit: str, plan: StagePlan) -> Arm:
    """Return the unit's arm at a stage of an experiment."""
    return plan.arm_at(bucket_of(experiment, unit))
