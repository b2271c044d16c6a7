"""The verdict on a version that is watched, its evidence, and the pause after a rollback."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.rollback import (
    RollbackVerdict,
    Watch,
    cool_down_until,
    decide_rollback,
)
from qe_core.rollout.rollback_readings import Trigger, recent_starts
from qe_core.rollout.rollback_settings import RollbackSettings
from qe_core.rollout.rollback_windows import TaskCounts

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CALM = RollbackSettings(error_rate=1e-300)
"""Only the ordered triggers can fire."""


def spread_out(successes: int, count: int) -> np.ndarray:
    """Return this many successes, evenly among the tasks, so that every window sees the same rate."""
    return np.diff(np.floor(np.arange(count + 1) * successes / count)).astype(np.int64)


def watch(
    before: tuple[int, int],
    after: tuple[int, int],
    mean_drop: float = 0.0,
    served: int | None = None,
) -> Watch:
    """Return a watch with these successes of tasks, returns of 40 ± 10 points less the drop."""

    def returns(count: int) -> np.ndarray:
        return 40.0 + np.where(np.arange(count) % 2 == 0, 10.0, -10.0)

    baseline = TaskCounts.of(returns(before[1]), spread_out(*before))
    lowered = returns(after[1]) - mean_drop
    return Watch(baseline, lowered, spread_out(*after), after[1] if served is None else served)


def test_a_version_like_its_baseline_is_healthy() -> None:
    decision = decide_rollback(watch((1600, 2000), (800, 1000)), NOW)
    assert decision.verdict is RollbackVerdict.HEALTHY
    assert decision.fired == ()


@pytest.mark.parametrize(("successes", "fires"), [(420, True), (421, False)])
def test_exactly_ten_points_roll_back_and_one_task_less_does_not(successes: int, fires: bool) -> None:
    decision = decide_rollback(watch((1600, 2000), (successes, 600)), NOW, (), CALM)
    assert (Trigger.SUCCESS_RATE in decision.fired) is fires
    assert (decision.verdict is RollbackVerdict.ROLL_BACK) is fires


@pytest.mark.parametrize(("drop", "fires"), [(15.0, True), (14.99999, False)])
def test_exactly_fifteen_points_roll_back_and_less_does_not(drop: float, fires: bool) -> None:
    decision = decide_rollback(watch((1600, 2000), (400, 500), drop), NOW, (), CALM)
    assert (Trigger.MEAN_RETURN in decision.fired) is fires
    assert (decision.verdict is RollbackVerdict.ROLL_BACK) is fires


def test_the_ordered_drop_does_not_fire_on_a_window_that_chance_explains() -> None:
    # 10 points between 2 windows of 100 tasks at 80 %: it appears by chance in 4.6 % of such pairs.
    decision = decide_rollback(watch((1600, 2000), (70, 100)), NOW, (), CALM)
    assert decision.verdict is RollbackVerdict.TOO_FEW_TASKS
    assert "too few tasks yet to tell a drop of 10 points from chance" in decision.reason


def test_clear_harm_fires_the_sequential_test_before_the_ordered_triggers() -> None:
    decision = decide_rollback(watch((1600, 2000), (40, 100)), NOW)
    assert decision.verdict is RollbackVerdict.ROLL_BACK
    assert decision.fired == (Trigger.SEQUENTIAL,)
    reading = decision.readings[2]
    assert reading.figure is not None
    assert reading.figure >= reading.threshold == pytest.approx(1000.0)


def test_harm_that_begins_late_is_found_in_the_recent_windows() -> None:
    healthy, harmed = spread_out(1520, 1900), spread_out(40, 100)
    returns = 40.0 + np.where(np.arange(2000) % 2 == 0, 10.0, -10.0)
    baseline = TaskCounts.of(returns, spread_out(1600, 2000))
    late = Watch(baseline, returns, np.concatenate([healthy, harmed]), 2000)
    assert decide_rollback(late, NOW).fired == (Trigger.SEQUENTIAL,)


def test_the_evidence_names_trigger_figures_and_windows() -> None:
    decision = decide_rollback(watch((1600, 2000), (360, 600), 20.0), NOW)
    assert set(decision.fired) == set(Trigger)
    record = json.loads(json.dumps(decision.as_json()))
    assert record["verdict"] == "roll_back"
    assert record["baseline"]["tasks"] == 2000
    assert record["recent"]["success_rate"] == pytest.approx(0.6)
    success = record["readings"][0]
    assert (success["trigger"], success["figure"], success["threshold"]) == (
        "success_rate",
        pytest.approx(20.0),
        10.0,
    )
    assert "success rate 60.0% over" in decision.reason


def test_without_a_baseline_nothing_is_judged() -> None:
    empty = Watch(TaskCounts.of([], []), np.zeros(500), np.zeros(500), 500)
    decision = decide_rollback(empty, NOW)
    assert decision.verdict is RollbackVerdict.NO_BASELINE
    assert "0 tasks of 200 needed" in decision.reason
    json.dumps(decision.as_json())


@pytest.mark.parametrize("count", [0, 1, 29])
def test_a_handful_of_tasks_is_not_judged(count: int) -> None:
    few = Watch(watch((1600, 2000), (1, 2)).baseline, np.full(count, -90.0), np.zeros(count), count)
    decision = decide_rollback(few, NOW)
    assert decision.verdict is RollbackVerdict.TOO_FEW_TASKS
    assert decision.readings == ()


def test_tasks_of_unknown_success_leave_the_returns_to_speak() -> None:
    base = watch((1600, 2000), (400, 500), 20.0)
    decision = decide_rollback(Watch(base.baseline, base.returns, np.full(500, -1), 500), NOW, (), CALM)
    assert decision.fired == (Trigger.MEAN_RETURN,)
    assert not decision.readings[0].is_judged
    assert decision.recent["success_rate"] is None


def test_a_return_that_is_no_number_stops_the_watch_by_name() -> None:
    base = watch((1600, 2000), (400, 500))
    broken = np.where(np.arange(500) == 7, np.nan, base.returns)
    with pytest.raises(RolloutError, match=r"returns must be finite.*row 7 \(nan\)"):
        decide_rollback(Watch(base.baseline, broken, base.success, 500), NOW)


def test_more_recent_tasks_than_were_served_are_refused() -> None:
    with pytest.raises(RolloutError, match="of 10 served"):
        decide_rollback(watch((1600, 2000), (400, 500), served=10), NOW)


def test_starts_stay_where_they_are_as_tasks_come_in() -> None:
    settings = RollbackSettings()
    assert recent_starts(250, 250, settings).tolist() == [2, 1, 0]
    assert recent_starts(2000, 2450, settings).tolist() == list(range(24, 4, -1))
    assert recent_starts(29, 29, settings).tolist() == []


def test_within_the_pause_a_trigger_is_shown_and_held() -> None:
    bad = watch((1600, 2000), (200, 500))
    decision = decide_rollback(bad, NOW, [NOW - timedelta(minutes=59)])
    assert decision.verdict is RollbackVerdict.COOLING_DOWN
    assert decision.fired
    assert decision.cool_down_until == NOW + timedelta(minutes=1)
    assert decide_rollback(bad, NOW, [NOW - timedelta(minutes=60)]).verdict is RollbackVerdict.ROLL_BACK


def test_the_pause_doubles_with_every_rollback_of_the_day() -> None:
    earlier = [NOW - timedelta(hours=hours) for hours in (1, 5, 20, 25)]
    assert cool_down_until(NOW, earlier) == NOW - timedelta(hours=1) + timedelta(hours=4)
    assert cool_down_until(NOW, [NOW - timedelta(hours=25)]) is None
    assert cool_down_until(NOW, []) is None


def test_a_policy_that_is_always_bad_is_rolled_back_a_few_times_a_day() -> None:
    moment, done = NOW, []
    while moment < NOW + timedelta(days=2):
        until = cool_down_until(moment, done)
        if until is None or moment >= until:
            done.append(moment)
        moment += timedelta(minutes=1)
    assert len(done) <= 10


def test_naive_times_are_refused() -> None:
    with pytest.raises(RolloutError, match="time zone"):
        cool_down_until(NOW, [datetime(2026, 1, 1)])  # noqa: DTZ001


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("success_drop_points", 0.0), ("reward_drop_points", -1.0), ("precision", 0.0), ("error_rate", 0.5),
        ("effect_scale", 0.0), ("minimum_tasks", 1), ("recent_tasks", 5001), ("stride", 0),
        ("cool_down_seconds", -1.0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(setting: str, value: float) -> None:
    with pytest.raises(RolloutError, match=setting):
        RollbackSettings(**{setting: value})
