"""What the store says about A/B tests.

What belongs here: plain records. What does not: statements (`ab_tests`) and judging (`qe_core.rollout`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qe_core.rollout.assignment import Arm, Stage
from qe_core.store.records import FloatArray, IntArray


class EndVerdict(StrEnum):
    """What may end a test."""

    PROMOTE = "promote"
    HARM = "stop for harm"
    FUTILITY = "stop for futility"
    INVALID = "invalid"
    BY_HAND = "stopped by hand"


@dataclass(frozen=True, slots=True)
class ABTest:
    """One test; nothing about it ever changes but its stage and its end.

    Attributes:
        experiment_id: its number.
        key: what units are assigned by.
        agent: whose versions are compared.
        unit_kind: what is assigned and analysed: task or developer.
        control: the version compared with.
        treatment: the version tested.
        hold_out: share of units that stays in control at the last stage.
        settings: what it was started with, for its analysis.
        stage: how far it has gone.
        started_by: who.
        why: why.
        started_at: when, UTC.
        verdict: what ended it; None while it runs.
        ended_at: when it ended, UTC; None while it runs.
    """

    experiment_id: int
    key: str
    agent: str
    unit_kind: str
    control: int
    treatment: int
    hold_out: float
    settings: dict[str, Any]
    stage: Stage
    started_by: str
    why: str
    started_at: datetime
    verdict: EndVerdict | None
    ended_at: datetime | None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.verdict is None


@dataclass(frozen=True, slots=True)
class StageChange:
    """The start, a change of stage, or the end of a test.

    Attributes:
        entry_id: its number, in order.
        experiment_id: the test.
        from_stage: before; None at the start.
        to_stage: from then on; None at the end.
        verdict: what ended it; None before.
        changed_by: who.
        why: why.
        changed_at: when, UTC.
    """

    entry_id: int
    experiment_id: int
    from_stage: Stage | None
    to_stage: Stage | None
    verdict: EndVerdict | None
    changed_by: str
    why: str
    changed_at: datetime


class UnitRow(NamedTuple):
    """One unit on its way into the store, assigned or with its outcome.

    Attributes:
        experiment_id: the test.
        unit: the task's episode, or the developer.
        stage: the test's stage when it was assigned, percent.
        arm: control or treatment.
        policy_version: the version it was served.
        assigned_at: when, aware.
        cluster: what it belongs to, for example a developer; None where unknown.
        reward: undiscounted return of its episode, points; None until known.
        is_success: whether it succeeded; None where unknown.
        cost: what it cost; None where unknown.
        duration_seconds: how long it took; None where unknown.
        recorded_at: when its outcome was known, aware; None exactly where ``reward`` is.
        repeats: how often an outcome of it came again before this row was sent.
    """

    experiment_id: int
    unit: str
    stage: int
    arm: Arm
    policy_version: int
    assigned_at: datetime
    cluster: str | None = None
    reward: float | None = None
    is_success: bool | None = None
    cost: float | None = None
    duration_seconds: float | None = None
    recorded_at: datetime | None = None
    repeats: int = 0

    def joined(self, later: "UnitRow") -> "UnitRow":
        """Return this row and a later one of the same unit as one: the first outcome, the others counted."""
        first = later if self.recorded_at is None and later.recorded_at is not None else self
        came_again = self.recorded_at is not None and later.recorded_at is not None
        return first._replace(repeats=self.repeats + later.repeats + came_again)


@dataclass(frozen=True, slots=True)
class UnitCount:
    """What became of rows of units.

    Attributes:
        new: units not known before.
        completed: known units whose outcome came with these rows.
        repeated: rows that told nothing new.
        contradicting: of the repeated and completed ones, those that named another arm; the first arm stays.
    """

    new: int
    completed: int
    repeated: int
    contradicting: int


@dataclass(frozen=True, slots=True)
class TestUnits:
    """All units of a test, by stage, control before treatment, then by time of assignment and name.

    Attributes:
        unit: names.
        stage: percent, shape (U,).
        is_treatment: the arm, shape (U,).
        assigned_at: microseconds of the Unix epoch, shape (U,).
        cluster: names, None where unknown.
        is_recorded: whether the outcome is known, shape (U,).
        recorded_at: microseconds of the Unix epoch, 0 until recorded, shape (U,).
        reward: points, NaN until recorded, shape (U,).
        success: 1 succeeded, 0 failed, -1 unknown, shape (U,).
        cost: NaN where unknown, shape (U,).
        duration_seconds: NaN where unknown, shape (U,).
        repeats: how often an outcome came again, shape (U,).
    """

    unit: tuple[str, ...]
    stage: IntArray
    is_treatment: npt.NDArray[np.bool_]
    assigned_at: IntArray
    cluster: tuple[str | None, ...]
    is_recorded: npt.NDArray[np.bool_]
    recorded_at: IntArray
    reward: FloatArray
    success: npt.NDArray[np.int8]
    cost: FloatArray
    duration_seconds: FloatArray
    repeats: IntArray

    def __len__(self) -> int:
        return len(self.unit)

    def where(self, stage: Stage, arm: Arm) -> npt.NDArray[np.bool_]:
        """Return which units belong to an arm at a stage, shape (U,)."""
        return np.asarray((self.stage == int(stage)) & (self.is_treatment == (arm is Arm.TREATMENT)))


@dataclass(frozen=True, slots=True)
class StoredAnalysis:
    """One look at a test.

    Attributes:
        analysis_id: its number, in order.
        experiment_id: the test.
        stage: its stage then.
        verdict: what the look said.
        analysis: all figures.
        analysed_at: when, UTC.
    """

    analysis_id: int
    experiment_id: int
    stage: Stage
    verdict: str
    analysis: dict[str, Any]
    analysed_at: datetime
