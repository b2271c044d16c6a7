"""Records are refused by the rule they break before anything is queued."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError, QEError
from qe_core.store import ExperienceRejectedError
from qe_core.store.live import Experience, UpdateBatch
from qe_core.store.live.packing import check_single, microseconds, pack_batch, pack_singles
from qe_core.store.live.updates import PackedExperiences
from tests.unit.store.live.examples import HANDLE, NOW, batch, experience

MOMENTS = st.integers(1_000_000_000, 1_770_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))

BAD_EXPERIENCES: list[tuple[dict[str, Any], str]] = [
    ({"state": 7}, "state 7 does not exist"),
    ({"state": -1}, "state -1 does not exist"),
    ({"next_state": 7}, "next_state 7 does not exist"),
    ({"action": 3}, "action 3 does not exist"),
    ({"episode": ""}, "must not be empty"),
    ({"episode": "x" * 501}, "at most 500 bytes"),
    ({"episode": "nul\0"}, "character NUL"),
    ({"step": -1}, "step counts from 0"),
    ({"step": 2**31}, "step counts from 0"),
    ({"reward": 100.5}, "reward is in points"),
    ({"reward": float("nan")}, "reward is in points"),
    ({"reward": float("-inf")}, "reward is in points"),
    ({"terminated": True, "truncated": True}, "must not both be true"),
    ({"propensity": 0.0}, "propensity is a probability"),
    ({"propensity": 1.5}, "propensity is a probability"),
    ({"propensity": float("nan")}, "propensity is a probability"),
    ({"exploration_rate": -0.1}, "exploration_rate is a probability"),
    ({"exploration_rate": 1.1}, "exploration_rate is a probability"),
    ({"success": True}, "last step"),
    ({"occurred_at": NOW.replace(year=1999)}, "lies before 2000"),
    ({"occurred_at": NOW + timedelta(days=2)}, "more than a day in the future"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_EXPERIENCES)
def test_a_bad_experience_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperienceRejectedError, match=message):
        check_single(HANDLE, experience(**changes), 1.0, 0.1, NOW)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ExperienceRejectedError, match="time zone"):
        check_single(HANDLE, experience(occurred_at=datetime(2026, 5, 1)), 1.0, 0.1, NOW)  # noqa: DTZ001


@pytest.mark.parametrize("target", [float("nan"), float("inf"), -float("inf"), 1.1e9])
def test_a_target_no_rewards_can_lead_to_is_refused(target: float) -> None:
    with pytest.raises(LearningError, match="TD target"):
        check_single(HANDLE, experience(), target, 0.1, NOW)
    with pytest.raises(LearningError, match="TD target"):
        pack_batch(HANDLE, batch(4, target=np.array([0.0, 1.0, target, 0.0])), NOW)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_learning_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(LearningError, match="learning rate"):
        check_single(HANDLE, experience(), 1.0, rate, NOW)
    with pytest.raises(LearningError, match="learning rate"):
        pack_batch(HANDLE, batch(2, learning_rate=np.array([0.1, rate])), NOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": np.array([0, 1, 7, 0])}, "state in row 2"),
        ({"action": np.array([0, -1, 0, 0])}, "action in row 1"),
        ({"next_state": np.array([0, 0, 0, 70])}, "next_state in row 3"),
        ({"episode": ["a", "", "c", "d"]}, "row 1 breaks a rule.*empty"),
        ({"episode": ["a", None, "c", "d"]}, "row 1 breaks a rule.*empty"),
        ({"episode": ["a", "nul\0", "c", "d"]}, "NUL"),
        ({"episode": ["a", "x" * 501, "c", "d"]}, "at most 500 bytes"),
        ({"step": np.array([0, 0, -1, 0])}, "row 2 breaks a rule: step"),
        ({"reward": np.array([0.0, 0.0, 0.0, np.nan])}, "row 3 breaks a rule: reward"),
        ({"reward": np.array([0.0, 101.0, 0.0, 0.0])}, "row 1 breaks a rule: reward"),
        ({"terminated": np.ones(4, bool), "truncated": np.ones(4, bool)}, "row 0.*must not both"),
        ({"propensity": np.array([0.5, 0.5, 0.0, 0.5])}, "row 2 breaks a rule: propensity"),
        ({"exploration_rate": np.array([np.nan, 0.5, 1.5, 0.5])}, "row 2 breaks a rule: exploration_rate"),
        ({"success": np.array([-1, -1, -1, 1])}, "row 3 breaks a rule: success"),
        ({"success": np.array([-1, 2, -1, 0])}, "row 1 breaks a rule: success"),
        ({"occurred_at": np.zeros(4, np.int64)}, "lies before 2000"),
        ({"reward": None}, "needs reward too"),
    ],
)
def test_a_bad_row_of_a_batch_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperienceRejectedError, match=message):
        pack_batch(HANDLE, batch(4, **changes), NOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.zeros(3)}, "target has 3 rows"),
        ({"reward": np.zeros(5)}, "reward has 5 rows"),
        ({"action": np.zeros((4, 1), int)}, "one dimension"),
        ({"step": np.array([0, 0, 0, 2**40])}, "step holds numbers beyond int32"),
        ({"reward": ["a", "b", "c", "d"]}, "reward cannot be read"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LearningError, match=message):
        pack_batch(HANDLE, batch(4, **changes), NOW)


@pytest.mark.parametrize("count", [0, 65_537])
def test_a_batch_outside_the_size_of_a_flush_is_refused(count: int) -> None:
    with pytest.raises(LearningError, match="a batch holds 1"):
        pack_batch(HANDLE, UpdateBatch([0] * count, [0] * count, [0.0] * count, [0.1] * count), NOW)


@given(
    st.lists(
        st.builds(
            Experience,
            occurred_at=MOMENTS,
            episode=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40),
            step=st.integers(0, 2**31 - 1),
            state=st.integers(0, 6),
            action=st.integers(0, 2),
            reward=st.floats(-100, 100),
            next_state=st.integers(0, 6),
            terminated=st.just(True),
            truncated=st.just(False),
            propensity=st.floats(1e-6, 1.0),
            exploration_rate=st.none() | st.floats(0, 1),
            success=st.none() | st.booleans(),
            policy_version=st.none() | st.integers(0, 2**60),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_singles_and_a_batch_of_the_same_records_pack_alike(experiences: list[Experience]) -> None:
    targets, rates = [1.0] * len(experiences), [0.5] * len(experiences)
    for single in experiences:
        check_single(HANDLE, single, 1.0, 0.5, NOW)
    packed = pack_singles(experiences, targets, rates)
    columns = dict(zip(Experience._fields, map(list, zip(*experiences, strict=True)), strict=True))
    columns["occurred_at"] = [microseconds(at) for at in columns["occurred_at"]]
    columns["exploration_rate"] = [np.nan if rate is None else rate for rate in columns["exploration_rate"]]
    columns["success"] = [-1 if known is None else int(known) for known in columns["success"]]
    columns["policy_version"] = [-1 if of is None else of for of in columns["policy_version"]]
    again = pack_batch(HANDLE, UpdateBatch(target=targets, learning_rate=rates, **columns), NOW)
    assert packed.experiences is not None
    assert again.experiences is not None
    for name in PackedExperiences.__dataclass_fields__:
        left, right = getattr(packed.experiences, name), getattr(again.experiences, name)
        if isinstance(left, pa.Array):
            assert left.equals(right)
        else:
            np.testing.assert_array_equal(left, right)


def test_pending_updates_of_a_state_keep_their_order() -> None:
    packed = pack_batch(HANDLE, batch(3, state=[2, 5, 2], action=[1, 0, 2], target=[1.0, 2.0, 3.0]), NOW)
    assert packed.of_state(2) == [(1, 1.0, 0.1), (2, 3.0, 0.1)]
    assert packed.of_state(3) == []


def test_every_refusal_is_one_of_the_products_errors() -> None:
    for changes, _ in BAD_EXPERIENCES:
        with pytest.raises(QEError):
            check_single(HANDLE, experience(**changes), 1.0, 0.1, NOW)
