"""Arms for the tests of this folder: rewards with spread, and guarded measures that hold."""

from collections.abc import Sequence

from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import ArmSample, StageEvidence


def spread_out(count: int, mean: float = 0.0, sd: float = 1.0) -> list[float]:
    """Return values that alternate around a mean, with this standard deviation in large samples."""
    return [mean + (sd if index % 2 else -sd) for index in range(count)]


def arm(count: int, mean: float = 0.0, sd: float = 1.0, **counts: int) -> ArmSample:
    """Return an arm in which 9 of 10 succeed, cost and duration vary by a tenth."""
    successes = [float(index % 10 != 0) for index in range(count)]
    return ArmSample.of(
        spread_out(count, mean, sd),
        successes,
        spread_out(count, 1.0, 0.1),
        spread_out(count, 60.0, 6.0),
        **counts,
    )


def stage_of(
    treatment: Sequence[float], control: Sequence[float], stage: Stage = Stage.HALF
) -> StageEvidence:
    """Return a stage where only the reward is recorded."""
    return StageEvidence(stage, ArmSample.of(control), ArmSample.of(treatment))
