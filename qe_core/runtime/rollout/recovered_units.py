"""A test's units as the log knows them, for when their own way to the database was cut.

What belongs here: from experiences that carry a policy version back to units. What does not: storing them
(`ab_testing`), and the ordinary way (`serving_policies`).
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from qe_core.rollout.assignment import Arm, Stage, bucket_of, plan_of
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, StageChange, UnitRow

_PAGE_ROWS = 100_000
_COLUMNS = (
    "occurred_at",
    "episode",
    "step",
    "reward",
    "terminated",
    "truncated",
    "success",
    "policy_version",
)


async def logged_units(store: Store, test: ABTest, course: Sequence[StageChange]) -> list[UnitRow]:
    """Return the units of a test by task that the log shows, with their outcomes where episodes have ended.

    What the log does not say stays unknown: the cost, and the time between the first decision and its
    outcome.

    Args:
        store: where the log is.
        test: whose units.
        course: its stages, the start first.
    """
    episodes: dict[str, list[dict[str, object]]] = {}
    after_id = 0
    while True:
        page = await store.experiences.read_columns(test.agent, after_id, _PAGE_ROWS)
        if page.num_rows:
            after_id = pc.max(page["experience_id"]).as_py()
            for row in _of_test(page, test).to_pylist():
                episodes.setdefault(str(row["episode"]), []).append(row)
        if page.num_rows < _PAGE_ROWS:
            break
    found = [_unit(name, rows, test, course) for name, rows in episodes.items()]
    return [unit for unit in found if unit is not None]


def _of_test(page: pa.Table, test: ABTest) -> pa.Table:
    """Return a page's experiences that followed one of the test's versions while it ran."""
    versions = pa.array([test.control, test.treatment], pa.int64())
    is_of_test = pc.and_(
        pc.is_in(page["policy_version"], versions),
        pc.greater_equal(page["occurred_at"], pa.scalar(test.started_at, pa.timestamp("us", tz="UTC"))),
    )
    return page.filter(is_of_test).select(_COLUMNS)


def _unit(
    name: str, rows: Sequence[dict[str, object]], test: ABTest, course: Sequence[StageChange]
) -> UnitRow | None:
    """Return an episode as a unit; None for one that is in no arm."""
    steps = sorted(rows, key=lambda row: int(str(row["step"])))
    first, last = steps[0], steps[-1]
    began_at, version = _time(first["occurred_at"]), int(str(first["policy_version"]))
    if test.ended_at is not None and began_at > test.ended_at:
        return None
    arm = Arm.TREATMENT if version == test.treatment else Arm.CONTROL
    stage = _stage(name, arm, began_at, test, course)
    if stage is None:
        return None
    unit = UnitRow(test.experiment_id, name, stage, arm, version, began_at)
    is_whole = [row["step"] for row in steps] == list(range(len(steps)))
    if not (is_whole and (last["terminated"] or last["truncated"])):
        return unit
    return unit._replace(
        reward=sum(float(str(row["reward"])) for row in steps),
        is_success=None if last["success"] is None else bool(last["success"]),
        recorded_at=_time(last["occurred_at"]),
    )


def _stage(
    name: str, arm: Arm, moment: datetime, test: ABTest, course: Sequence[StageChange]
) -> Stage | None:
    """Return the stage a unit was assigned at: the newest until then whose plan puts it into this arm.

    A first outcome may arrive after the stage in which its decision was taken.
    """
    bucket = bucket_of(test.key, name)
    reached = [
        entry.to_stage for entry in course if entry.to_stage is not None and entry.changed_at <= moment
    ]
    for stage in reversed(reached):
        if plan_of(stage, test.hold_out).arm_at(bucket) is arm:
            return stage
    return None


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"the log's times are times, not {value!r}")
    return value
