"""What was recorded of the two arms of a test, stage by stage, in sufficient statistics that merge exactly.

What belongs here: the samples of arms and stages, and how outcomes become samples of units (one value for
each task, or one for each developer). What does not: conclusions (`differences`, `sample_ratio`, `verdicts`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, assert_never

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import DEFAULT_HOLD_OUT, Arm, Stage, StagePlan, plan_of
from qe_core.rollout.moments import Moments


class Measure(StrEnum):
    """What is measured of each unit."""

    REWARD = "reward"
    SUCCESS = "success rate"
    COST = "cost"
    DURATION = "duration"


class Outcome(NamedTuple):
    """What was recorded of one task in a test.

    Attributes:
        stage: at which the task was assigned.
        arm: its arm.
        unit: what was assigned: the task itself, or the developer whose tasks go together.
        reward: undiscounted return of its episode, points.
        success: whether it succeeded; None where unknown.
        cost: what it cost, dollars; None where unknown.
        duration_seconds: how long it took; None where unknown.
    """

    stage: Stage
    arm: Arm
    unit: str
    reward: float
    success: float | None = None
    cost: float | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ArmSample:
    """Sufficient statistics of one arm at one stage; ``+`` merges exactly.

    Attributes:
        reward: undiscounted return of a unit, points.
        success: 1 for success, 0 for failure; a developer's share of successes.
        cost: dollars.
        duration_seconds: of a unit.
        lost: units assigned whose outcome is overdue: they will not come any more. Units still at work are
            not.
        repeated: units whose outcome was delivered again; each is counted once all the same.
    """

    reward: Moments = field(default_factory=Moments)
    success: Moments = field(default_factory=Moments)
    cost: Moments = field(default_factory=Moments)
    duration_seconds: Moments = field(default_factory=Moments)
    lost: int = 0
    repeated: int = 0

    def __post_init__(self) -> None:
        if self.lost < 0 or self.repeated < 0:
            raise RolloutError(
                f"lost {self.lost} and repeated {self.repeated} are counts: they cannot be negative"
            )

    @classmethod
    def of(
        cls,
        rewards: Sequence[float],
        successes: Sequence[float] = (),
        costs: Sequence[float] = (),
        durations_seconds: Sequence[float] = (),
        *,
        lost: int = 0,
        repeated: int = 0,
    ) -> "ArmSample":
        """Return the statistics of one arm's units, one value each; a measure that is unknown is left out.

        Raises:
            RolloutError: for values that are not finite.
        """
        return cls(
            Moments.of(rewards, Measure.REWARD),
            Moments.of(successes, Measure.SUCCESS),
            Moments.of(costs, Measure.COST),
            Moments.of(durations_seconds, Measure.DURATION),
            lost,
            repeated,
        )

    def __add__(self, other: "ArmSample") -> "ArmSample":
        return ArmSample(
            self.reward + other.reward,
            self.success + other.success,
            self.cost + other.cost,
            self.duration_seconds + other.duration_seconds,
            self.lost + other.lost,
            self.repeated + other.repeated,
        )

    @property
    def count(self) -> int:
        """Units whose outcome is recorded."""
        return self.reward.count

    def of_measure(self, measure: Measure) -> Moments:
        """Return the statistics of one measure."""
        match measure:
            case Measure.REWARD:
                return self.reward
            case Measure.SUCCESS:
                return self.success
            case Measure.COST:
                return self.cost
            case Measure.DURATION:
                return self.duration_seconds
            case _:
                assert_never(measure)


@dataclass(frozen=True, slots=True)
class StageEvidence:
    """What was recorded of the two concurrent arms of one stage; ``+`` merges two parts of it.

    Attributes:
        stage: the stage.
        control: units served the stable version.
        treatment: units served the candidate.
        hold_out: share of the units that stays in control at 100 %, in (0, 0.5].
    """

    stage: Stage
    control: ArmSample = field(default_factory=ArmSample)
    treatment: ArmSample = field(default_factory=ArmSample)
    hold_out: float = DEFAULT_HOLD_OUT

    def __add__(self, other: "StageEvidence") -> "StageEvidence":
        if (self.stage, self.hold_out) != (other.stage, other.hold_out):
            raise RolloutError(
                f"{self.stage!r} and {other.stage!r} are not parts of one stage: keep stages apart"
            )
        return StageEvidence(
            self.stage, self.control + other.control, self.treatment + other.treatment, self.hold_out
        )

    @property
    def plan(self) -> StagePlan:
        """The arms' buckets."""
        return plan_of(self.stage, self.hold_out)


def evidence_of(outcomes: Sequence[Outcome], hold_out: float = DEFAULT_HOLD_OUT) -> tuple[StageEvidence, ...]:
    """Return the evidence of each stage, one value for each unit, in the order of the stages.

    A unit with several outcomes (a developer with many tasks) is one value: the mean of its outcomes at the
    stage where it was first seen. Its outcomes at later stages are left out: there the arms that it was
    assigned with are no longer both in place, and it would be counted twice.

    Args:
        outcomes: in any order; those outside the test are left out.
        hold_out: share of the units that stays in control at 100 %, in (0, 0.5].

    Raises:
        RolloutError: for a unit in both arms of one stage, or a measurement that is not finite.
    """
    entered: dict[str, Stage] = {}
    tested = [outcome for outcome in outcomes if outcome.arm is not Arm.OUTSIDE]
    for outcome in tested:
        entered[outcome.unit] = min(entered.get(outcome.unit, outcome.stage), outcome.stage)
    units: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in tested:
        if outcome.stage == entered[outcome.unit]:
            units[outcome.unit].append(outcome)
    arms: dict[tuple[Stage, Arm], list[list[Outcome]]] = defaultdict(list)
    for unit, own in units.items():
        if len({outcome.arm for outcome in own}) > 1:
            raise RolloutError(
                f"unit {unit!r} is in both arms at one stage: record the arm it was assigned to"
            )
        arms[own[0].stage, own[0].arm].append(own)
    return tuple(
        StageEvidence(stage, _sample(arms[stage, Arm.CONTROL]), _sample(arms[stage, Arm.TREATMENT]), hold_out)
        for stage in sorted({stage for stage, _ in arms})
    )


def _sample(units: Sequence[Sequence[Outcome]]) -> ArmSample:
    """Return the statistics of units, each the mean of its outcomes."""
    return ArmSample.of(
        _means([[outcome.reward for outcome in unit] for unit in units]),
        _means([[outcome.success for outcome in unit if outcome.success is not None] for unit in units]),
        _means([[outcome.cost for outcome in unit if outcome.cost is not None] for unit in units]),
        _means(
            [
                [outcome.duration_seconds for outcome in unit if outcome.duration_seconds is not None]
                for unit in units
            ]
        ),
    )


def _means(groups: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of each group that has values."""
    return [sum(group) / len(group) for group in groups if group]
