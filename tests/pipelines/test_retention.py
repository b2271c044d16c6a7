"""Retention as the graph runs it: tables and windows stay, and a loss is found."""

import asyncio
from typing import Any

import dagster as dg
import pytest

from qe_core.fleet import registry
from qe_core.store import StatsWindow, Store
from tests.pipelines.conftest import EPISODES, STEPS, experience_columns, run_sql
from tests.pipelines.test_graph import without_clock

AGENT = "quality-gate"
LOGGED = EPISODES * STEPS


def age(url: str, days: int) -> None:
    """Make everything in the log arrive some days ago."""
    run_sql(
        url,
        "SELECT ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date - days) "
        f"FROM generate_series({days}, {days + 2}) AS days",
    )
    run_sql(url, f"UPDATE experience_chunks SET arrived_at = arrived_at - interval '{days} days'")


def run(definitions: dg.Definitions, job: str) -> dg.ExecuteInProcessResult:
    """Run a job of all agents on the project's database."""
    from qe_pipelines.automation import all_agents

    tags = {} if job == "retention" else all_agents().tags
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(instance=instance, tags=tags)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return what the asset showed."""
    [event] = result.asset_materializations_for_node("experience_retention")
    return {name: value.value for name, value in event.metadata.items()}


async def append_more(url: str, seed: int, first_episode: int) -> None:
    async with Store.connect(url) as store:
        contract = registry().get(AGENT)
        await store.experiences.append(experience_columns(contract, EPISODES, seed, first_episode))


def test_young_experiences_are_left_alone(learned_url: str, definitions: dg.Definitions) -> None:
    before = without_clock(learned_url)
    shown = metadata(run(definitions, "retention"))
    assert shown["experiences folded"] == shown["experiences in summaries"] == 0
    assert shown["dagster/row_count"] == 18 * LOGGED
    assert without_clock(learned_url) == before


def test_old_experiences_are_summarised_and_tables_and_windows_stay(
    learned_url: str, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_REPLAY__CAPACITY_TRANSITIONS", "32")
    age(learned_url, 40)
    asyncio.run(append_more(learned_url, 5, 10_000))
    assert run(definitions, "learn").success
    tables = "SELECT name, version, source_version FROM q_tables ORDER BY level, name"
    before, windows = run_sql(learned_url, tables), asyncio.run(windows_of(learned_url))

    shown = metadata(run(definitions, "retention"))
    # Of the other agents the only chunk there is holds their newest experiences.
    assert shown["experiences folded"] == shown["experiences in summaries"] == LOGGED
    assert shown["older experiences kept for replay"] == 17 * LOGGED
    assert run(definitions, "learn").success
    assert [line[:2] for line in run_sql(learned_url, tables)] == [line[:2] for line in before]
    after = asyncio.run(windows_of(learned_url))
    assert sum(window.episodes for window in after) == 2 * EPISODES
    assert after[: len(windows) // 2] == windows[: len(windows) // 2]
    assert [window.window_index for window in after] == list(range(len(after)))
    assert sum(window.mean_return * window.episodes for window in after) == pytest.approx(
        sum(window.mean_return * window.episodes for window in windows)
    )
    assert run(definitions, "statistics").success
    assert asyncio.run(windows_of(learned_url)) == after


async def windows_of(url: str) -> list[StatsWindow]:
    async with Store.connect(url) as store:
        return await store.stats.windows(AGENT)


async def test_a_loss_is_found(learned_url: str, definitions: dg.Definitions) -> None:
    from qe_pipelines.defs.maintenance.retention import judged_evidence
    from qe_pipelines.resources import FleetDatabase

    assert (await judged_evidence(FleetDatabase())).passed
    run_sql(learned_url, f"DELETE FROM experience_chunks WHERE agent = '{AGENT}'")
    found = await judged_evidence(FleetDatabase())
    assert not found.passed
    assert found.description == (
        f"{AGENT}: {LOGGED} experiences made its table, 0 are left; restore a backup"
    )


def test_it_runs_daily(definitions: dg.Definitions, quick_instance: dg.DagsterInstance) -> None:
    schedule = definitions.resolve_schedule_def("daily_retention")
    context = dg.build_schedule_context(
        instance=quick_instance, repository_def=definitions.get_repository_def()
    )
    data = schedule.evaluate_tick(context)
    assert len(data.run_requests or []) == 1
    assert (schedule.job_name, schedule.cron_schedule) == ("retention", "45 2 * * *")
