"""What the store says about policies: versions, what agents serve, rollbacks, outcomes.

What belongs here: plain records. What does not: statements (`policies`, `snapshots`, `rollbacks`) and
A/B tests' own records (`ab_records`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from qe_core.learning.q_table import QTable
from qe_core.rollout.assignment import Stage, StagePlan, plan_of
from qe_core.store.records import FloatArray, IntArray, TableHandle
from qe_core.store.table_rows import TableRows


class Mode(StrEnum):
    """What an agent's decisions follow."""

    LEARNING = "learning"
    SERVING = "serving"


class Alias(StrEnum):
    """Names of versions an agent serves."""

    STABLE = "stable"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """What an agent decided by at one moment, frozen.

    Attributes:
        number: unique over the fleet, increasing in time for an agent; experiences carry it.
        agent: whose.
        fingerprint: the contract of the agent's own table.
        own_snapshot: the snapshot of its own table.
        category_snapshot: of its category's.
        fleet_snapshot: of the fleet's.
        exploration_state: where exploration stood; None where nobody told.
        reason: why it was frozen.
        created_by: who asked.
        created_at: when, UTC.
        q_table_id: its own table.
        table_version: the version that table had.
        taken_at: when that table was frozen, UTC; earlier than ``created_at`` where it had not changed since.
        states: states the own table held something for.
        visits: sum of the own table's visits.
        is_current: whether the agent still has that contract; no other version can be served.
        is_withdrawn: whether a rollback went behind it, and none came back to it.
    """

    number: int
    agent: str
    fingerprint: str
    own_snapshot: int
    category_snapshot: int
    fleet_snapshot: int
    exploration_state: dict[str, Any] | None
    reason: str
    created_by: str
    created_at: datetime
    q_table_id: int
    table_version: int
    taken_at: datetime
    states: int
    visits: int
    is_current: bool
    is_withdrawn: bool


@dataclass(frozen=True, slots=True)
class FrozenTable:
    """One table as a version holds it; arrays cannot be written.

    Attributes:
        handle: which table it was, at the version frozen.
        states: encoded states that held something, increasing, shape (N,).
        q: their values, points, shape (N, A).
        visits: shape (N, A).
        target_mean: points, shape (N, A).
        target_m2: points squared, shape (N, A).
        weights: confidence x visits as published, shape (N, A).
    """

    handle: TableHandle
    states: IntArray
    q: FloatArray
    visits: IntArray
    target_mean: FloatArray
    target_m2: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, handle: TableHandle, rows: TableRows) -> "FrozenTable":
        """Return rows that nobody can change."""
        table = rows.table
        columns = (rows.state, table.q, table.visits, table.target_mean, table.target_m2, rows.weights)
        for column in columns:
            column.setflags(write=False)
        return cls(handle, *columns)

    def as_dense(self) -> tuple[QTable, FloatArray]:
        """Return the whole table and its weights, zero where nothing was held."""
        table = QTable(self.q, self.visits, self.target_mean, self.target_m2)
        return TableRows(self.states, table, self.weights).as_dense(self.handle)


@dataclass(frozen=True, slots=True)
class PolicyRows:
    """The three tables of a version.

    Attributes:
        number: the version's.
        own: the agent's own table.
        category: its category's.
        fleet: the fleet's.
    """

    number: int
    own: FrozenTable
    category: FrozenTable
    fleet: FrozenTable


@dataclass(frozen=True, slots=True)
class ServingTest:
    """A running test as far as deciding needs it.

    Attributes:
        experiment_id: its number.
        key: what units are assigned by.
        unit_kind: task or developer.
        stage: how far it has gone.
        hold_out: share of units that stays in control at the last stage.
        control: version of that arm.
        treatment: version of that arm.
    """

    experiment_id: int
    key: str
    unit_kind: str
    stage: Stage
    hold_out: float
    control: int
    treatment: int

    @property
    def plan(self) -> StagePlan:
        """The buckets of both arms."""
        return plan_of(self.stage, self.hold_out)


@dataclass(frozen=True, slots=True)
class ServingState:
    """What an agent serves at present.

    Attributes:
        agent: the agent.
        mode: whether it follows its live table or a frozen version.
        stable: the version the alias names; None for none.
        candidate: the version the alias names; None for none.
        test: the running one; None for none.
        epoch: fencing epoch of its own table; None where it has none yet.
    """

    agent: str
    mode: Mode = Mode.LEARNING
    stable: int | None = None
    candidate: int | None = None
    test: ServingTest | None = None
    epoch: int | None = None

    @property
    def numbers(self) -> frozenset[int]:
        """The versions it decides by."""
        own = {self.stable} if self.mode is Mode.SERVING and self.stable is not None else set[int]()
        arms = set[int]() if self.test is None else {self.test.control, self.test.treatment}
        return frozenset(own | arms)


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One change of an alias or of a mode.

    Attributes:
        change_id: its number, in order.
        agent: whose.
        what: stable, candidate or mode.
        before: the version's number or the mode before; None for none.
        after: the version's number or the mode from then on; None for none.
        changed_by: who.
        why: why.
        changed_at: when, UTC.
    """

    change_id: int
    agent: str
    what: str
    before: str | None
    after: str | None
    changed_by: str
    why: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RollbackEvent:
    """One rollback.

    Attributes:
        rollback_id: its number, in order.
        agent: whose.
        mode: the agent's.
        trigger: what fired.
        evidence: the figures it fired on.
        rolled_back_by: who.
        from_version: the live table as it was found, frozen.
        to_version: what was restored.
        served_version: the version that harmed; None for the live table.
        q_table_id: the agent's table.
        epoch_before: the epoch until then; writers that hold it are refused.
        version_before: the table's version until then.
        rows_written: states whose rows were put back.
        rows_removed: states whose rows were taken away.
        is_log_complete: False where experiences to be left out may be in summaries already.
        stopped_test: the test that was running; None for none.
        happened_at: when, UTC.
        experiences_excluded: experiences it left out of learning.
        refused_flushes: flushes under the old epoch that were refused since, as reported.
        refused_updates: updates in them.
    """

    rollback_id: int
    agent: str
    mode: Mode
    trigger: str
    evidence: dict[str, Any]
    rolled_back_by: str
    from_version: int
    to_version: int
    served_version: int | None
    q_table_id: int
    epoch_before: int
    version_before: int
    rows_written: int
    rows_removed: int
    is_log_complete: bool
    stopped_test: int | None
    happened_at: datetime
    experiences_excluded: int
    refused_flushes: int
    refused_updates: int


@dataclass(frozen=True, slots=True)
class ThinCount:
    """What thinning removed.

    Attributes:
        versions: policy versions.
        snapshots: frozen tables no version names any more.
        rows: rows no frozen table holds any more.
    """

    versions: int
    snapshots: int
    rows: int


@dataclass(frozen=True, slots=True)
class RecentOutcomes:
    """What came of an agent's last whole episodes, the one that ended last first.

    Attributes:
        total_reward: undiscounted return, points, shape (E,).
        success: 1 succeeded, 0 failed, -1 unknown, shape (E,).
        last_experience_id: number of the last step, shape (E,).
    """

    total_reward: FloatArray
    success: npt.NDArray[np.int8]
    last_experience_id: IntArray

    def __len__(self) -> int:
        return len(self.total_reward)
