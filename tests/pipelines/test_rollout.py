"""The rollout in the graph: what schedules start, what runs do, what people do by hand, what checks find."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.rollout.assignment import Arm
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitRow
from qe_core.store.policies import Mode, PolicyVersion, RollbackEvent, ServingState
from qe_pipelines.running import QUIET
from tests.pipelines.conftest import run_sql
from tests.rollback_drill.policies import best_table, poison, prepare, put_live, upside_down

AGENT = "test-executor"


@pytest.fixture
def url(database_url: str, environment: Callable[[str], str]) -> str:
    """The project's database, empty."""
    return environment(database_url)


def ran(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    name: str,
    config: dict[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    """Return what came of a job, with an op's configuration where it takes one."""
    ops = {"rollback_policy": "take_back", "override_rollout": "overrule"}
    run_config = {**QUIET, **({"ops": {ops[name]: {"config": config}}} if config else {})}
    return definitions.resolve_job_def(name).execute_in_process(
        run_config=run_config, instance=instance, raise_on_error=False
    )


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """Return the values of an asset's metadata."""
    [event] = [
        event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def failed(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return the descriptions of the checks that failed, by name."""
    return {
        one.check_name: str(one.description) for one in result.get_asset_check_evaluations() if not one.passed
    }


async def running(url: str, units: dict[Arm, int], effect: float = 0.0, unit_kind: str = "task") -> ABTest:
    """Return a running test, begun long enough ago to go on, with outcomes of so many units in its arms."""
    contract, rng = registry().get(AGENT), np.random.default_rng(3)
    async with Store.connect(url) as store:
        good = await prepare(store, contract, Mode.SERVING)
        await put_live(store, contract, upside_down(best_table(contract), -1.5))
        other = await store.policies.snapshot(contract, reason="hourly", by="schedule")
        test = await store.ab_tests.start(
            AGENT, key="k", control=good, treatment=other.number, by="mara", why="new experiences",
            unit_kind=unit_kind,
            settings={"check": {"verdict": "ready"}, "rollout": {"dwell_hours_at_10": 0.0}},
        )  # fmt: skip
        at = test.started_at + timedelta(microseconds=1)
        await store.ab_tests.record_units(
            [
                UnitRow(
                    *(test.experiment_id, f"{arm}-{place}", 10, arm),
                    *(test.treatment if arm is Arm.TREATMENT else test.control, at, None),
                    *(float(rng.normal(50.0 + effect * (arm is Arm.TREATMENT), 10.0)), True, 1.0, 9.0, at),
                )
                for arm, count in units.items()
                for place in range(count)
            ]
        )
    return test


def test_schedules_ask_for_one_run_of_everybody(
    url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    roster = registry().names()
    for name, tags in (
        ("hourly_snapshots", {roster[0], roster[-1]}),
        ("staged_rollout", set()),
    ):
        schedule = definitions.resolve_schedule_def(name)
        with dg.build_schedule_context(instance=instance) as context:
            [request] = schedule.evaluate_tick(context).run_requests or []
        assert set(request.tags.values()) >= tags
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_snapshots_freeze_everybody_once_until_something_changes(
    filled_url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    from qe_pipelines.partitions import range_tags

    roster = registry().names()
    job = definitions.resolve_job_def("snapshots")
    for is_new in (True, False):
        result = job.execute_in_process(
            run_config=QUIET, instance=quick_instance, tags=range_tags(roster[0], roster[-1])
        )
        events = result.get_asset_materialization_events()
        assert {event.partition for event in events} == set(roster)
        assert {event.materialization.metadata["is new"].value for event in events} == {is_new}
        assert failed(result) == {}
    assert run_sql(filled_url, "SELECT count(*), count(DISTINCT agent) FROM policy_versions") == [(18, 18)]


def test_running_test_is_judged_shown_and_goes_on_by_the_clock(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    test = asyncio.run(running(url, {Arm.CONTROL: 60, Arm.TREATMENT: 61}, effect=3.0))
    result = ran(definitions, quick_instance, "rollouts")
    assert result.success
    assert failed(result) == {}
    results = shown(result, "ab_results")
    assert f"| {AGENT} | 10 % | not enough data | 61 / 60 |" in str(results["running tests"])
    assert "data:image/png;base64," in str(results[f"effect, {AGENT}"])
    state = shown(result, "rollout_state")
    assert f"| {AGENT} | serving | {test.control} | {test.treatment} | 50 % |" in str(state["agents"])
    assert state["advanced"] == 1
    assert run_sql(url, "SELECT stage, verdict FROM ab_tests") == [(50, None)]
    assert run_sql(url, "SELECT count(*) FROM ab_analyses") == [(1,)]


def test_lopsided_arms_fail_their_check_end_the_test_and_people_are_told(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/nobody")
    asyncio.run(running(url, {Arm.CONTROL: 60, Arm.TREATMENT: 160}))
    result = ran(definitions, quick_instance, "rollouts")
    assert result.success
    assert set(failed(result)) == {"sample_ratios_hold"}
    assert run_sql(url, "SELECT verdict FROM ab_tests") == [(EndVerdict.INVALID.value,)]
    assert run_sql(url, "SELECT kind, subject FROM alerts") == [("test-stopped", AGENT)]
    assert run_sql(url, "SELECT channel FROM alert_deliveries ORDER BY 1") == [("log",), ("webhook",)]


def test_records_that_cannot_be_fail_their_check_and_end_the_test(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    test = asyncio.run(running(url, {Arm.CONTROL: 0, Arm.TREATMENT: 0}, unit_kind="developer"))
    run_sql(
        url,
        "INSERT INTO ab_units (experiment_id, unit, stage, arm, policy_version, assigned_at, cluster, "
        "reward, recorded_at) "
        "SELECT experiment_id, version::text, 10, arm, version, now(), 'Grace', 1, now() FROM ab_tests, "
        "LATERAL (VALUES ('control', control_version), ('treatment', treatment_version)) "
        "AS arms (arm, version)",
    )
    result = ran(definitions, quick_instance, "rollouts")
    assert result.success
    [(check, fault)] = failed(result).items()
    assert check == "sample_ratios_hold"
    assert f"test {test.experiment_id} of {AGENT}: unit 'Grace' is in both arms" in fault
    assert run_sql(url, "SELECT verdict FROM ab_tests") == [(EndVerdict.INVALID.value,)]


def test_moved_candidate_keeps_the_test_from_going_on(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    test = asyncio.run(running(url, {Arm.CONTROL: 60, Arm.TREATMENT: 60}))
    run_sql(url, "ALTER TABLE policy_aliases DISABLE TRIGGER ALL")
    run_sql(url, "UPDATE policy_aliases SET number = (SELECT min(number) FROM policy_versions)")
    result = ran(definitions, quick_instance, "rollouts")
    assert not result.success
    assert f"treats version {test.treatment}" in failed(result)["tests_compare_what_serves"]
    assert run_sql(url, "SELECT stage FROM ab_tests") == [(10,)]


def test_person_takes_a_policy_back_from_the_ui(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    async def poisoned() -> int:
        """Promote a bad version; return the good one."""
        async with Store.connect(url) as store:
            good = await prepare(store, registry().get(AGENT), Mode.SERVING)
            await poison(store, registry().get(AGENT), Mode.SERVING, good)
            return good

    good = asyncio.run(poisoned())
    result = ran(definitions, quick_instance, "rollback_policy", {"agent": AGENT, "why": "it fails"})
    assert result.success
    assert shown(result, "rollback_events")["back to version"] == good
    [(by, evidence, to)] = run_sql(
        url, "SELECT rolled_back_by, evidence::text, to_version FROM rollback_events"
    )
    assert by.startswith("Dagster run ")
    assert "it fails" in evidence
    assert to == good
    refused = ran(definitions, quick_instance, "rollback_policy", {"agent": "nobody", "why": "it fails"})
    assert not refused.success
    [failure] = [event for event in refused.all_events if event.is_step_failure]
    assert "nobody" in str(failure.step_failure_data.error)


def test_person_overrules_a_rollout_from_the_ui(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    asyncio.run(running(url, {Arm.CONTROL: 5, Arm.TREATMENT: 5}))
    for move, left in (("ADVANCE", (50, None)), ("STAY", (50, None)), ("STOP", (50, "stopped by hand"))):
        config = {"agent": AGENT, "move": move, "why": "the release is due"}
        assert ran(definitions, quick_instance, "override_rollout", config).success, move
        assert run_sql(url, "SELECT stage, verdict FROM ab_tests") == [left]
    said = run_sql(url, "SELECT DISTINCT why LIKE '%the release is due%' FROM ab_stages WHERE from_stage > 0")
    assert said == [(True,)]
    again = ran(definitions, quick_instance, "override_rollout", {"agent": AGENT, "move": "STOP", "why": "x"})
    assert not again.success


async def test_faults_of_versions_tests_and_rollbacks_are_named(
    url: str, definitions: dg.Definitions
) -> None:
    from qe_pipelines.defs.rollout.checks import alias_faults, arm_faults, event_faults

    test = await running(url, {Arm.CONTROL: 1, Arm.TREATMENT: 1})
    async with Store.connect(url) as store:
        versions: list[PolicyVersion] = await store.policies.versions(AGENT)
        state: ServingState = (await store.policies.serving([AGENT]))[AGENT]
        event: RollbackEvent = await store.policies.rollback(
            AGENT, trigger="drill", evidence={"why": "drill"}, by="mara"
        )
        now = (await store.policies.serving([AGENT]))[AGENT]
    assert list(alias_faults(state, versions)) == []
    assert "not one of its own" in next(alias_faults(replace(state, stable=999), versions))
    outdated = [replace(version, is_current=False) for version in versions]
    assert "a contract it has no longer" in next(alias_faults(state, outdated))
    assert "no stable version" in next(alias_faults(replace(state, stable=None, test=None), versions))
    assert list(arm_faults(test, state)) == []
    assert "stop it" in next(arm_faults(test, replace(state, candidate=None)))
    assert "stop it" in next(arm_faults(test, replace(state, stable=test.treatment)))
    assert list(event_faults(event, now)) == []
    assert "no evidence" in next(event_faults(replace(event, evidence={}), now))
    assert "still admits writers" in next(event_faults(event, replace(now, epoch=event.epoch_before)))


def test_dashboards_have_a_row_for_each_arm_rollback_and_agent(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    async def rolled_back() -> int:
        """Take back what another agent learned; return the version it went back to."""
        contract = registry().get("quality-gate")
        async with Store.connect(url) as store:
            good = await prepare(store, contract, Mode.LEARNING)
            await poison(store, contract, Mode.LEARNING, good)
            await store.policies.rollback(
                contract.name, trigger="sequential", evidence={"reason": "worse"}, by="x"
            )
            return good

    test = asyncio.run(running(url, {Arm.CONTROL: 60, Arm.TREATMENT: 61}, effect=3.0))
    good = asyncio.run(rolled_back())
    assert ran(definitions, quick_instance, "rollouts").success
    job = definitions.resolve_job_def("whole_graph")
    views = [key for key in job.asset_layer.selected_asset_keys if key.path[0] == "views"]
    result = job.execute_in_process(run_config=QUIET, instance=quick_instance, asset_selection=views)
    assert result.success
    assert failed(result) == {}
    assert run_sql(
        url,
        "SELECT agent, mode, stable_version, running_stage, rollbacks FROM qe_views.policy_serving "
        "ORDER BY agent",
    ) == [("quality-gate", "learning", None, None, 1), (AGENT, "serving", test.control, 50, 0)]
    assert run_sql(
        url, "SELECT agent, verdict, units_recorded, effect > 0, looks FROM qe_views.ab_tests"
    ) == [(AGENT, "not enough data", 121, True, 1)]
    assert run_sql(
        url,
        "SELECT arm, policy_version, units_recorded, difference IS NULL, verdict FROM qe_views.ab_test_arms "
        "ORDER BY arm",
    ) == [
        ("control", test.control, 60, True, "not enough data"),
        ("treatment", test.treatment, 61, False, "not enough data"),
    ]
    assert run_sql(
        url, "SELECT agent, reason, to_version, served_version, refused_updates FROM qe_views.rollbacks"
    ) == [("quality-gate", "worse", good, None, 0)]
