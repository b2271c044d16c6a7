"""A/B tests as they are stored: frozen, one at a time, every unit once."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg2
import pytest

from qe_core.rollout.assignment import Arm, Stage
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitRow
from qe_core.store.errors import ABTestError, PolicyError
from qe_core.store.live import Live
from tests.conftest import execute
from tests.integration.store.playing import AGENT, CONTRACT, play

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def numbers(store: Store, live: Live) -> tuple[int, int]:
    """Two versions of the agent."""
    found = []
    for reward in (1.0, 2.0):
        await play(store, live, [reward])
        found.append((await store.policies.snapshot(CONTRACT, reason="test", by="me")).number)
    return found[0], found[1]


@pytest.fixture
async def test(store: Store, numbers: tuple[int, int]) -> ABTest:
    """A running test."""
    return await store.ab_tests.start(
        AGENT,
        key="first or second",
        control=numbers[0],
        treatment=numbers[1],
        by="ann",
        why="a hope",
        settings={"guardrails": ["success"]},
    )


def unit(test: ABTest, name: str, arm: Arm = Arm.TREATMENT, stage: Stage = Stage.TENTH) -> UnitRow:
    version = test.treatment if arm is Arm.TREATMENT else test.control
    return UnitRow(test.experiment_id, name, int(stage), arm, version, NOW)


def known(row: UnitRow, reward: float, cost: float | None = None) -> UnitRow:
    return row._replace(reward=reward, cost=cost, recorded_at=NOW + timedelta(seconds=5))


async def test_a_test_goes_through_its_stages_and_all_of_it_is_on_record(store: Store, test: ABTest) -> None:
    assert (test.is_running, test.stage, test.settings) == (True, Stage.TENTH, {"guardrails": ["success"]})
    assert await store.ab_tests.running() == [test]
    advanced = await store.ab_tests.advance(test.experiment_id, Stage.FULL, by="bob", why="in a hurry")
    assert advanced.stage is Stage.FULL
    with pytest.raises(ABTestError, match="only grows"):
        await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="bob", why="too much")
    stopped = await store.ab_tests.stop(test.experiment_id, EndVerdict.FUTILITY, by="bob", why="no effect")
    assert (stopped.is_running, stopped.verdict) == (False, EndVerdict.FUTILITY)
    with pytest.raises(ABTestError, match="has ended: stop for futility"):
        await store.ab_tests.stop(test.experiment_id, EndVerdict.HARM, by="bob", why="again")
    assert (await store.policies.serving([AGENT]))[AGENT].candidate is None
    course = [
        (one.from_stage, one.to_stage, one.verdict, one.changed_by)
        for one in await store.ab_tests.history(test.experiment_id)
    ]
    assert course == [
        (None, Stage.TENTH, None, "ann"),
        (Stage.TENTH, Stage.FULL, None, "bob"),
        (Stage.FULL, None, EndVerdict.FUTILITY, "bob"),
    ]
    assert await store.ab_tests.running() == []
    assert await store.ab_tests.tests(AGENT) == [stopped]


async def test_an_agent_has_one_test_at_a_time_and_a_key_is_used_once(
    store: Store, test: ABTest, numbers: tuple[int, int]
) -> None:
    first, second = numbers

    async def start(key: str) -> ABTest:
        return await store.ab_tests.start(
            AGENT, key=key, control=first, treatment=second, by="me", why="again"
        )

    with pytest.raises(ABTestError, match=f"test {test.experiment_id} of {AGENT} is running"):
        await start("another")
    await store.ab_tests.stop(test.experiment_id, EndVerdict.BY_HAND, by="me", why="enough")
    with pytest.raises(ABTestError, match="ab_tests_key_key"):
        await start("first or second")
    results = await asyncio.gather(*(start(f"race {place}") for place in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["ABTest", *["ABTestError"] * 3]


async def test_control_is_what_is_served_and_both_versions_are_usable(
    store: Store, numbers: tuple[int, int]
) -> None:
    first, second = numbers
    await store.policies.promote(AGENT, second, by="me", why="good")
    with pytest.raises(ABTestError, match=f"serves version {second}: a test compares with that"):
        await store.ab_tests.start(AGENT, key="k", control=first, treatment=second, by="me", why="no")
    with pytest.raises(PolicyError, match="there is no policy version 999"):
        await store.ab_tests.start(AGENT, key="k", control=second, treatment=999, by="me", why="no")
    with pytest.raises(ABTestError, match="tests_compare_two_versions"):
        await store.ab_tests.start(AGENT, key="k", control=second, treatment=second, by="me", why="no")
    with pytest.raises(ABTestError, match="there is no test 5"):
        await store.ab_tests.test(5)


async def test_a_changed_contract_makes_a_running_test_invalid(store: Store, test: ABTest) -> None:
    await store.q_tables.ensure("individual", AGENT, "another contract", 10, ["a", "b"])
    ended = await store.ab_tests.test(test.experiment_id)
    assert ended.verdict is EndVerdict.INVALID
    [_, end] = await store.ab_tests.history(test.experiment_id)
    assert (end.changed_by, end.to_stage) == ("contract", None)
    late = known(unit(test, "late"), 1.0)
    assert (await store.ab_tests.record_units([late])).new == 1, "outcomes may come after the end"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ab_tests SET treatment_version = control_version, control_version = treatment_version",
        "UPDATE ab_tests SET key = 'other'",
        "UPDATE ab_tests SET stage = 50; UPDATE ab_tests SET stage = 10",
        "UPDATE ab_tests SET verdict = 'promote', ended_at = now(); UPDATE ab_tests SET verdict = 'invalid'",
        "DELETE FROM ab_tests",
        "UPDATE ab_stages SET why = 'other'",
        "DELETE FROM ab_analyses",
    ],
)
async def test_nothing_about_a_test_changes_but_its_stage_and_its_end(
    test: ABTest, database_url: str, statement: str
) -> None:
    with pytest.raises(psycopg2.Error, match=r"frozen|never changed"):
        execute(database_url, statement)


async def test_a_unit_counts_once_however_often_it_is_recorded(store: Store, test: ABTest) -> None:
    one, two = unit(test, "one"), unit(test, "two", Arm.CONTROL)
    count = await store.ab_tests.record_units([one, two, one])
    assert (count.new, count.completed, count.repeated, count.contradicting) == (2, 0, 1, 0)
    count = await store.ab_tests.record_units([known(one, 5.0), one, unit(test, "three")])
    assert (count.new, count.completed, count.repeated) == (1, 1, 1)
    count = await store.ab_tests.record_units([known(one, 7.0), known(two, 1.0, cost=2.0)])
    assert (count.new, count.completed, count.repeated) == (0, 1, 1)
    other_arm = known(unit(test, "three", Arm.CONTROL), 9.0)
    count = await store.ab_tests.record_units([other_arm])
    assert (count.new, count.completed, count.repeated, count.contradicting) == (0, 0, 1, 1)
    units = await store.ab_tests.units(test.experiment_id)
    assert units.unit == ("two", "one", "three")
    np.testing.assert_array_equal(units.is_treatment, [False, True, True])
    np.testing.assert_array_equal(units.reward, [1.0, 5.0, np.nan])
    np.testing.assert_array_equal(units.cost, [2.0, np.nan, np.nan])
    np.testing.assert_array_equal(units.is_recorded, [True, True, False])
    np.testing.assert_array_equal(units.where(Stage.TENTH, Arm.TREATMENT), [False, True, True])
    assert units.assigned_at.tolist() == [int(NOW.timestamp()) * 1_000_000] * 3


async def test_outcomes_that_come_again_are_counted_with_their_unit(
    store: Store, test: ABTest, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = unit(test, "one"), unit(test, "two", Arm.CONTROL), unit(test, "three")

    async def repeats() -> dict[str, int]:
        units = await store.ab_tests.units(test.experiment_id)
        return dict(zip(units.unit, units.repeats.tolist(), strict=True))

    await store.ab_tests.record_units([one, one, known(two, 1.0), three, known(three, 2.0)])
    await store.ab_tests.record_units([one, two, known(one, 1.0)])
    assert await repeats() == {"one": 0, "two": 0, "three": 0}, "no outcome came twice"
    await store.ab_tests.record_units([known(two, 5.0)], is_retry=True)
    assert await repeats() == {"one": 0, "two": 0, "three": 0}, "they may not have been stored"
    await store.ab_tests.record_units([known(one, 5.0), known(one, 6.0), known(two, 1.0), one])
    four = known(unit(test, "four"), 1.0)
    await store.ab_tests.record_units([four, four])
    assert await repeats() == {"one": 2, "two": 1, "three": 0, "four": 1}
    assert caplog.messages == []
    await store.ab_tests.record_units([known(unit(test, "two"), 5.0)])
    assert await repeats() == {"one": 2, "two": 1, "three": 0, "four": 1}
    assert caplog.messages == [
        "1 units of A/B tests name another arm than before, 'two' among them; the first stays"
    ]


async def test_processes_that_record_the_same_units_at_once_count_each_once(
    store: Store, test: ABTest
) -> None:
    rows = [unit(test, f"unit {place}") for place in range(500)]
    counts = await asyncio.gather(*(store.ab_tests.record_units(rows[::step]) for step in (1, -1, 1, -1)))
    assert sum(count.new for count in counts) == 500
    assert sum(count.new + count.repeated for count in counts) == 2_000
    assert store.counters.deadlocks == 0


async def test_units_that_cannot_be_are_refused_with_their_batch(store: Store, test: ABTest) -> None:
    good = unit(test, "good")
    for wrong, message in (
        (unit(test, "wrong")._replace(policy_version=test.control), "was served version"),
        (unit(test, "wrong")._replace(experiment_id=77), "of test 77, which has no such arm"),
        (unit(test, "wrong")._replace(arm=Arm.OUTSIDE), "in arm outside"),
        (unit(test, "wrong")._replace(stage=30), "units_stage_is_known"),
        (unit(test, "wrong")._replace(reward=1.0), "units_outcome_is_whole"),
        (known(unit(test, "wrong"), float("nan")), "units_figures_are_finite"),
        (known(unit(test, "wrong"), 1.0)._replace(duration_seconds=-1.0), "units_figures_are_finite"),
    ):
        with pytest.raises(ABTestError, match=message):
            await store.ab_tests.record_units([good, wrong])
    assert len(await store.ab_tests.units(test.experiment_id)) == 0
    assert (await store.ab_tests.record_units([])).new == 0


async def test_ten_thousand_units_take_a_moment(store: Store, test: ABTest) -> None:
    rows = [unit(test, f"unit {place:05d}") for place in range(10_000)]
    began = time.perf_counter()
    await store.ab_tests.record_units(rows)
    await store.ab_tests.record_units([known(row, 1.0) for row in rows])
    assert len(await store.ab_tests.units(test.experiment_id)) == 10_000
    # Alone it takes under half a second; a busy machine is given twenty times that.
    assert time.perf_counter() - began < 10


async def test_every_look_is_kept_in_order(store: Store, test: ABTest) -> None:
    for verdict, effect in (("continue", 0.25), ("promote", 0.5)):
        kept = await store.ab_tests.save_analysis(
            test.experiment_id, stage=Stage.TENTH, verdict=verdict, analysis={"effect": effect, "looks": [1]}
        )
        assert kept.analysis == {"effect": effect, "looks": [1]}
    assert [look.verdict for look in await store.ab_tests.analyses(test.experiment_id)] == [
        "continue",
        "promote",
    ]
    with pytest.raises(ABTestError, match="a look at test 404 was not stored"):
        await store.ab_tests.save_analysis(404, stage=Stage.TENTH, verdict="continue", analysis={})
