"""What the report says about what serves, of states made through the product on a real database."""

import re
from datetime import timedelta
from html import unescape

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.rollout.assignment import Arm
from qe_core.runtime.report.rollout import alerts_section, duration, rollout_section
from qe_core.runtime.rollout.ab_testing import ABTestingFramework
from qe_core.runtime.rollout.staged_rollout import StagedRollout
from qe_core.runtime.rollout_figures import rollout_figures
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, UnitRow
from qe_core.store.policies import Mode
from tests.rollback_drill.policies import best_table, poison, prepare, put_live, upside_down

TESTED, HARMED, TAKEN_BACK = "test-executor", "quality-gate", "flaky-test-hunter"


def words(html: str) -> str:
    """Return a section without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).replace(" .", ".")


async def started(store: Store, agent: str) -> ABTest:
    """Have an agent serve, and try another version."""
    contract = registry().get(agent)
    good = await prepare(store, contract, Mode.SERVING)
    await put_live(store, contract, upside_down(best_table(contract), -1.5))
    other = await store.policies.snapshot(contract, reason="hourly", by="schedule")
    return await store.ab_tests.start(
        agent, key=agent, control=good, treatment=other.number, by="mara", why="new experiences"
    )


async def look(store: Store, test: ABTest, effect: float, number: int) -> None:
    """Record fifty tasks of either arm, a day and a half after the look before, and look again."""
    rng = np.random.default_rng(number)
    now = test.started_at + timedelta(hours=36 * (number + 1))
    present = await store.ab_tests.test(test.experiment_id)
    rows = [
        UnitRow(
            *(test.experiment_id, f"{number}-{place}-{arm}", int(present.stage), arm),
            *(test.treatment if arm is Arm.TREATMENT else test.control, now, None),
            *(float(rng.normal(60.0 + effect * (arm is Arm.TREATMENT), 20.0)), True, 1.0, 30.0, now),
        )
        for place in range(50)
        for arm in (Arm.CONTROL, Arm.TREATMENT)
    ]
    await ABTestingFramework(store, Settings()).record(rows)
    await StagedRollout(store, Settings()).advance_due(now)


async def test_nothing_rolled_out_says_so_and_which_command_begins(store: Store) -> None:
    assert rollout_section(await rollout_figures(store, registry())) == ""
    await prepare(store, registry().get(TESTED), Mode.LEARNING)
    figures = await rollout_figures(store, registry())
    said = words(rollout_section(figures))
    assert not figures.has_begun
    assert "Nothing is rolled out yet" in said
    assert "qe ab start AGENT --why … begins to try" in said
    assert words(alerts_section(figures)) == " What needs a person Nothing. No alert is open. "


async def test_running_test_is_told_without_statistics_and_drawn(store: Store) -> None:
    test = await started(store, TESTED)
    for number in range(2):
        await look(store, test, 4.0, number)
    html = rollout_section(await rollout_figures(store, registry()))
    said = words(html)
    assert f"version {test.treatment} on 50 % of its tasks" in said
    assert re.search(r"So far [0-9.]+ points a task better; not certain yet. About [0-9.]+ days to go", said)
    assert html.count("<polyline") == 4


async def test_test_that_did_harm_is_told_with_its_reason(store: Store) -> None:
    test = await started(store, HARMED)
    await look(store, test, -40.0, 0)
    figures = await rollout_figures(store, registry())
    assert [one.test.experiment_id for one in figures.ended] == [test.experiment_id]
    assert "Worse, and stopped: reward is lower" in words(rollout_section(figures))


async def test_rollback_is_told_with_reason_time_and_the_open_alert(store: Store) -> None:
    contract = registry().get(TAKEN_BACK)
    good = await prepare(store, contract, Mode.SERVING)
    done = await poison(store, contract, Mode.SERVING, good)
    await store.policies.rollback(
        TAKEN_BACK, trigger="sequential", evidence={"reason": "success rate 41 % & less"}, by="watch"
    )
    figures = await rollout_figures(store, registry())
    [rollback] = figures.rollbacks
    assert rollback.event.served_version == done.bad
    assert rollback.served_seconds is not None
    assert 0.0 <= rollback.served_seconds < 60.0
    said = words(rollout_section(figures))
    assert "went back to it when another did harm" in said
    assert f"version {done.bad} success rate 41 % & less" in said
    assert f"version {good} 0 / 0" in said
    assert "41 % &amp; less" in rollout_section(figures)
    alerts = words(alerts_section(figures))
    assert "critical flaky-test-hunter" in alerts
    assert "docs/runbooks/policy-rolled-back.md" in alerts


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.4, "0 seconds"), (119.0, "119 seconds"), (7_200.0, "2 hours"), (432_000.0, "5 days")],
)
def test_durations_are_told_in_the_largest_unit_that_tells_them(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown
