"""Tests that end badly: people hear of it, and one that cannot be judged hides no other."""

from datetime import UTC, datetime

import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.rollout.assignment import Arm
from qe_core.rollout.ramp import Move
from qe_core.rollout.verdicts import Verdict
from qe_core.runtime.rollout.ab_testing import ABTestingFramework
from qe_core.runtime.rollout.serving_policies import DEVELOPER
from qe_core.runtime.rollout.staged_rollout import StagedRollout
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitRow
from qe_core.store.alerts import Alert
from qe_core.store.policies import Mode
from tests.integration.runtime.rollout.playing import settings_with
from tests.rollback_drill.policies import best_table, prepare, put_live, upside_down

BROKEN, SOUND = "quality-gate", "test-executor"
SETTINGS = settings_with()
NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def started(store: Store, agent: str, unit_kind: str = "task") -> ABTest:
    """Have an agent serve, and try another version."""
    contract = registry().get(agent)
    await prepare(store, contract, Mode.SERVING)
    await put_live(store, contract, upside_down(best_table(contract), -1.5))
    other = await store.policies.snapshot(contract, reason="hourly", by="schedule")
    return await ABTestingFramework(store, SETTINGS, channels=["webhook"]).start(
        agent, candidate=other.number, by="Ada", why="to see", unit_kind=unit_kind, insistence="a trial"
    )


async def record(store: Store, test: ABTest, units: dict[Arm, int], gain: float, *, of: str = "") -> None:
    """Record units of both arms, of one developer each unless all are of one."""
    rng, now = np.random.default_rng(1), test.started_at
    rows = [
        UnitRow(
            *(test.experiment_id, f"{arm} {number}", 10, arm, version, now, of or f"{arm} {number}"),
            *(float(rng.normal(mean, 10.0)), True, 1.0, 2.0, now),
        )
        for arm, version, mean in ((Arm.CONTROL, test.control, 0.0), (Arm.TREATMENT, test.treatment, gain))
        for number in range(units[arm])
    ]
    await store.ab_tests.record_units(rows)


async def alerts(store: Store) -> list[Alert]:
    """Return all alerts, whose only channel is the one that was asked for."""
    found = await store.alerts.list_alerts(is_all=True)
    for alert in found:
        assert {one.channel for one in await store.alerts.deliveries(alert.alert_id)} == {"webhook"}
    return found


async def test_a_test_whose_records_cannot_be_is_invalid_and_hides_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await started(store, BROKEN, DEVELOPER), await started(store, SOUND)
    await record(store, broken, {Arm.CONTROL: 1, Arm.TREATMENT: 1}, 0.0, of="Grace")
    await record(store, sound, {Arm.CONTROL: 60, Arm.TREATMENT: 60}, 20.0)
    first, second = await ABTestingFramework(store, SETTINGS).analyse_running(NOW)
    assert (first.test, first.judgement.verdict, first.evidence) == (broken, Verdict.INVALID, ())
    assert any("unit 'Grace' is in both arms at one stage" in why for why in first.judgement.reasons)
    assert f"test {broken.experiment_id} of {BROKEN} cannot be judged" in caplog.text
    assert second.test == sound
    assert second.judgement.verdict is not Verdict.INVALID
    steps = await StagedRollout(store, SETTINGS, channels=["webhook"]).advance_due(NOW)
    assert [one.step.move for one in steps] == [Move.STOP, Move.ADVANCE]
    assert steps[0].test.verdict is EndVerdict.INVALID
    [alert] = await alerts(store)
    assert (alert.kind, alert.subject) == ("test-stopped", BROKEN)
    assert "(invalid)" in alert.summary
    assert "unit 'Grace' is in both arms" in alert.summary
    ended = await ABTestingFramework(store, SETTINGS).analyse(broken.experiment_id, NOW)
    assert ended.judgement.verdict is Verdict.INVALID


async def test_people_hear_of_a_test_stopped_for_harm_until_the_next_one_starts(store: Store) -> None:
    test = await started(store, SOUND)
    await record(store, test, {Arm.CONTROL: 200, Arm.TREATMENT: 200}, -30.0)
    rollout = StagedRollout(store, SETTINGS, channels=["webhook"])
    [step] = await rollout.advance_due(NOW)
    assert step.test.verdict is EndVerdict.HARM
    [alert] = await alerts(store)
    assert (alert.kind, alert.subject, alert.severity) == ("test-stopped", SOUND, "warning")
    assert alert.runbook == "docs/runbooks/test-stopped.md"
    assert alert.summary.startswith(
        f"test {test.experiment_id}, version {test.treatment} against {test.control}, was ended at 10 % "
        "(stop for harm): reward is lower: evidence "
    )
    assert await rollout.advance_due(NOW) == []
    again = await ABTestingFramework(store, SETTINGS, channels=["webhook"]).start(
        SOUND, candidate=test.treatment, by="Ada", why="mended", insistence="a trial"
    )
    [alert] = await alerts(store)
    assert (alert.resolved_by, alert.resolution) == ("Ada", f"test {again.experiment_id} was started")


async def test_lopsided_arms_are_told_and_what_a_person_or_futility_ends_is_not(store: Store) -> None:
    lopsided = await started(store, BROKEN)
    await record(store, lopsided, {Arm.CONTROL: 60, Arm.TREATMENT: 160}, 0.0)
    rollout = StagedRollout(store, SETTINGS, channels=["webhook"])
    by_hand = await started(store, SOUND)
    await record(store, by_hand, {Arm.CONTROL: 200, Arm.TREATMENT: 200}, -30.0)
    await rollout.override(by_hand.experiment_id, Move.STOP, by="Ada", why="enough", now=NOW)
    futile = await started(store, SOUND)
    await record(store, futile, {Arm.CONTROL: 1_600, Arm.TREATMENT: 1_600}, 0.0)
    steps = await rollout.advance_due(NOW)
    assert [one.test.verdict for one in steps] == [EndVerdict.INVALID, EndVerdict.FUTILITY]
    [alert] = await alerts(store)
    assert alert.subject == BROKEN
    assert "recorded units at 10 %: 160 treated, 60 control" in alert.summary
