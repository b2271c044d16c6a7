"""Evaluated ticks of sensors and schedules, against a real instance and PostgreSQL."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.config.settings import PipelineSettings
from qe_core.fleet import registry
from qe_core.store import ExperienceCounts, Store
from qe_core.store.chunks import CHUNK_ROWS
from qe_pipelines.defs.experiences.sensors import Mark, plan
from tests.pipelines.conftest import EPISODES, STEPS, experience_columns, run_sql

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SETTINGS = PipelineSettings(experience_batch_count=100, experience_batch_age_seconds=300)


def line(agent: str, experiences: int, last_id: int) -> ExperienceCounts:
    """Return counts of one agent."""
    return ExperienceCounts(agent, experiences, 1, last_id, NOW)


def test_batch_is_due_by_count_at_once() -> None:
    found = plan([line("quality-gate", 100, 100)], {}, NOW, SETTINGS)
    assert found.due == ("quality-gate",)
    assert found.marks["quality-gate"] == Mark(100, 100)


def test_fewer_wait_until_the_first_is_old_enough() -> None:
    first = plan([line("quality-gate", 99, 99)], {}, NOW, SETTINGS)
    assert first.due == ()
    assert first.marks["quality-gate"].pending_since == NOW.timestamp()
    just_before = plan([line("quality-gate", 99, 99)], first.marks, NOW + timedelta(seconds=299), SETTINGS)
    assert just_before.due == ()
    at_last = plan([line("quality-gate", 99, 99)], just_before.marks, NOW + timedelta(seconds=300), SETTINGS)
    assert at_last.due == ("quality-gate",)
    assert plan([line("quality-gate", 99, 99)], at_last.marks, NOW + timedelta(days=9), SETTINGS).due == ()


def test_expired_rows_do_not_hide_new_ones() -> None:
    marks = {"quality-gate": Mark(500, 500)}
    waiting = plan([line("quality-gate", 20, 510)], marks, NOW, SETTINGS)
    assert waiting.due == ()
    assert plan([line("quality-gate", 20, 510)], waiting.marks, NOW + timedelta(hours=1), SETTINGS).due


def test_unregistered_agents_start_nothing() -> None:
    assert plan([line("nobody", 10_000, 10_000)], {}, NOW, SETTINGS).due == ()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_every_experience_is_handed_over_once_and_never_one_run_for_each_row(arrivals: list[int]) -> None:
    marks: dict[str, Mark] = {}
    total, runs = 0, 0
    for minute, arrived in enumerate([*arrivals, 0, 0, 0, 0, 0, 0]):
        total += arrived
        found = plan([line("quality-gate", total, total)], marks, NOW + timedelta(minutes=minute), SETTINGS)
        runs += len(found.due)
        marks = dict(found.marks)
    assert marks["quality-gate"] == Mark(total, total)
    assert runs <= 1 + total // SETTINGS.experience_batch_count + (len(arrivals) + 6) // 5


def tick(
    instance: dg.DagsterInstance, cursor: str | None, definitions: dg.Definitions
) -> dg.SensorResult | dg.SkipReason:
    """Return what one tick of the sensor answers."""
    from qe_pipelines.defs.experiences.sensors import new_experiences
    from qe_pipelines.resources import FleetDatabase, FleetSettings

    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=definitions, sensor_name="new_experiences"
    )
    found = new_experiences(context, database=FleetDatabase(), settings=FleetSettings())
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_sensor_asks_for_one_run_of_all_due_agents_and_then_rests(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    first = tick(instance, None, definitions)
    assert isinstance(first, dg.SensorResult)
    [request] = first.run_requests or []
    roster = registry().names()
    assert request.tags["dagster/asset_partition_range_start"] == roster[0]
    assert request.tags["dagster/asset_partition_range_end"] == roster[-1]
    assert request.run_key == f"up to experience {18 * CHUNK_ROWS + EPISODES * STEPS - 1}"

    second = tick(instance, first.cursor, definitions)
    assert isinstance(second, dg.SensorResult)
    assert not second.run_requests
    assert "no agent is due; 0 have fewer new experiences than a batch" in str(second.skip_reason)

    async def add(episodes: int, first_episode: int) -> None:
        contract = registry().get("visual-tester")
        async with Store.connect(learned_url) as store:
            await store.experiences.append(experience_columns(contract, episodes, 5, first_episode))

    asyncio.run(add(2, 5_000))
    third = tick(instance, second.cursor, definitions)
    assert isinstance(third, dg.SensorResult)
    assert not third.run_requests
    asyncio.run(add(30, 6_000))
    fourth = tick(instance, third.cursor, definitions)
    assert isinstance(fourth, dg.SensorResult)
    [request] = fourth.run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == "visual-tester"
    assert request.tags["dagster/asset_partition_range_end"] == "visual-tester"
    assert request.tags["qe/due"] == "1 agents"
    assert json.loads(fourth.cursor or "{}")["visual-tester"]["pending_since"] is None


def test_run_a_tick_asks_for_can_be_executed(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    first = tick(instance, None, definitions)
    assert isinstance(first, dg.SensorResult)
    [request] = first.run_requests or []
    result = definitions.resolve_job_def("learn").execute_in_process(instance=instance, tags=request.tags)
    assert result.success


def test_sensor_waits_while_a_run_is_under_way_and_forgets_nothing(
    learned_url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    job = definitions.resolve_job_def("learn")
    run = quick_instance.create_run_for_job(job, tags={}, status=dg.DagsterRunStatus.STARTED)
    waiting = tick(quick_instance, None, definitions)
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "18 agents are due, but a run is under way; they stay due"
    quick_instance.delete_run(run.run_id)
    free = tick(quick_instance, None, definitions)
    assert isinstance(free, dg.SensorResult)
    assert free.run_requests


@pytest.mark.parametrize("name", ["replay_training", "statistics_windows"])
def test_schedule_asks_for_one_run_of_every_agent(
    name: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    schedule = definitions.resolve_schedule_def(name)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, repository_def=definitions.get_repository_def()
    )
    data = schedule.evaluate_tick(context)
    [request] = data.run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == registry().names()[0]
    assert request.tags["dagster/asset_partition_range_end"] == registry().names()[-1]
    assert schedule.job_name in {"replay", "statistics"}


def test_replay_schedule_trains_beside_the_tables(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    from qe_pipelines.automation import all_agents

    result = definitions.resolve_job_def("replay").execute_in_process(
        instance=instance, tags=all_agents().tags
    )
    assert result.success
    [newest] = instance.fetch_materializations(dg.AssetKey("replayed_policy"), limit=1).records
    metadata = newest.asset_materialization.metadata
    assert metadata["batches"].value == 20 * EPISODES * STEPS // 32
    assert 0.5 < metadata["greedy agreement"].value <= 1.0


def test_everything_automatic_is_on_from_the_start(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "new_experiences",
        "divergence",
        "stale_agents",
        "policy_rollbacks",
        "alert_deliveries",
        "run_failures",
        "run_recoveries",
    }
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "replay_training",
        "statistics_windows",
        "weekly_contribution",
        "daily_team_build",
        "daily_team_pull",
        "hourly_snapshots",
        "staged_rollout",
        "daily_retention",
    }
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name


def test_failed_run_is_reported_with_its_cause_and_what_to_do(
    learned_url: str, quick_instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    from qe_pipelines.defs.maintenance.failures import run_failures, run_recoveries
    from qe_pipelines.resources import FleetDatabase, FleetSettings

    is_broken = True

    @dg.op
    def breaks() -> None:
        if is_broken:
            raise ValueError("the disk is full")

    @dg.job
    def broken() -> None:
        breaks()

    def told(result: dg.ExecuteInProcessResult, event: dg.DagsterEvent) -> dg.RunStatusSensorContext:
        return dg.build_run_status_sensor_context(
            sensor_name="run_failures",
            dagster_instance=quick_instance,
            dagster_run=result.dagster_run,
            dagster_event=event,
            resources={"database": FleetDatabase(), "settings": FleetSettings()},
        )

    result = broken.execute_in_process(instance=quick_instance, raise_on_error=False)
    run_failures(told(result, result.get_run_failure_event()).for_run_failure())
    assert "of broken failed: breaks: " in caplog.text
    assert "the disk is full" in caplog.text
    assert "run it again" in caplog.text
    alerts = "SELECT kind, subject, severity, resolved_at IS NULL FROM alerts"
    assert run_sql(learned_url, alerts) == [("run-failed", "broken", "critical", True)]

    is_broken = False
    result = broken.execute_in_process(instance=quick_instance)
    run_recoveries(told(result, result.get_run_success_event()))
    assert run_sql(learned_url, alerts) == [("run-failed", "broken", "critical", False)]


def test_failed_run_is_reported_although_the_database_is_away(
    quick_instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    from qe_pipelines.defs.maintenance.failures import run_failures
    from qe_pipelines.resources import FleetDatabase, FleetSettings

    @dg.op
    def breaks() -> None:
        raise ValueError("the disk is full")

    @dg.job
    def broken() -> None:
        breaks()

    result = broken.execute_in_process(instance=quick_instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_instance=quick_instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
        resources={
            "database": FleetDatabase(url="postgresql://nobody@127.0.0.1:1/nothing"),
            "settings": FleetSettings(),
        },
    ).for_run_failure()
    run_failures(context)
    assert "the disk is full" in caplog.text
