"""Statistics windows, the ledger of imports and the line per agent."""

from dataclasses import replace
from typing import Any

import pytest

from qe_core.errors import StoreError
from qe_core.store import ExperienceRejectedError, StatsWindow, Store, TableHandle
from tests.integration.store.rows import experiences
from tests.recording import as_batch, record

WINDOW = StatsWindow(
    window_index=0,
    first_experience_id=1,
    last_experience_id=250,
    episodes=50,
    experiences=250,
    mean_return=12.5,
    reward_mean=2.5,
    reward_sd=4.0,
    success_rate=0.8,
    exploration_rate=None,
    mean_abs_q_change=None,
    bellman_residual=0.25,
    greedy_churn=0.0,
    states_visited=17,
    verdict="learning",
    reason="success rate 0.80 is not above 0.85",
)
NEXT = replace(WINDOW, window_index=1, verdict="converged", reason="")


async def test_windows_read_back_as_they_were_stored(store: Store) -> None:
    assert await store.stats.replace("tester", [NEXT, WINDOW])
    assert await store.stats.windows("tester") == [WINDOW, NEXT]
    assert await store.stats.latest() == {"tester": NEXT}
    assert await store.stats.windows("nobody") == []


async def test_replacing_windows_by_the_same_changes_nothing(store: Store) -> None:
    await store.stats.replace("tester", [WINDOW])
    assert not await store.stats.replace("tester", [WINDOW])
    assert await store.stats.replace("tester", [NEXT])
    assert await store.stats.windows("tester") == [NEXT]
    assert await store.stats.replace("tester", [])
    assert await store.stats.latest() == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"success_rate": 1.5},
        {"exploration_rate": -0.1},
        {"mean_return": float("nan")},
        {"reward_sd": float("inf")},
        {"episodes": 0},
        {"verdict": "splendid"},
    ],
    ids=str,
)
async def test_impossible_statistics_are_refused_and_the_old_ones_kept(
    store: Store, changed: dict[str, Any]
) -> None:
    await store.stats.replace("tester", [WINDOW])
    with pytest.raises(StoreError, match="statistics of tester cannot be stored, the old ones are kept"):
        await store.stats.replace("tester", [replace(NEXT, **changed)])
    assert await store.stats.windows("tester") == [WINDOW]


async def test_an_import_is_taken_up_where_it_stopped(store: Store) -> None:
    begun = await store.imports.begin("import:jira", "abc", "jira.csv")
    assert (begun.rows_read, begun.state) == (0, "running")
    assert await store.imports.append_chunk(begun.import_id, experiences(5, source="import:jira"), 6, 1) == 5
    again = await store.imports.begin("import:jira", "abc", "renamed.csv")
    assert (again.import_id, again.rows_read, again.rows_new, again.rows_bad) == (begun.import_id, 6, 5, 1)
    assert (again.file_name, again.created_at) == ("renamed.csv", begun.created_at)
    assert await store.imports.append_chunk(begun.import_id, experiences(8, source="import:jira"), 9, 0) == 3
    done = await store.imports.finish(begun.import_id, is_successful=True)
    assert (done.state, done.rows_new) == ("done", 8)
    assert (await store.imports.begin("import:jira", "abc", "jira.csv")).state == "done"
    assert await store.imports.history() == [await store.imports.begin("import:jira", "abc", "jira.csv")]


async def test_a_chunk_the_log_refuses_does_not_move_the_import(store: Store) -> None:
    begun = await store.imports.begin("import:jira", "abc", "jira.csv")
    with pytest.raises(ExperienceRejectedError, match="propensity"):
        await store.imports.append_chunk(begun.import_id, experiences(5, propensity=0.0), 5, 0)
    assert (await store.imports.history())[0].rows_read == 0


async def test_a_chunk_another_process_has_passed_is_not_stored(store: Store) -> None:
    begun = await store.imports.begin("import:jira", "abc", "jira.csv")
    await store.imports.append_chunk(begun.import_id, experiences(5), 5, 0)
    with pytest.raises(StoreError, match="another process imports the same file"):
        await store.imports.append_chunk(begun.import_id, experiences(9), 5, 0)
    assert (await store.experiences.counts())[0].experiences == 5


async def test_a_failed_import_may_be_begun_again(store: Store) -> None:
    begun = await store.imports.begin("import:jira", "abc", "jira.csv")
    assert (await store.imports.finish(begun.import_id, is_successful=False)).state == "failed"
    with pytest.raises(StoreError, match="is not running"):
        await store.imports.append_chunk(begun.import_id, experiences(1), 1, 0)
    assert (await store.imports.begin("import:jira", "abc", "jira.csv")).state == "running"


async def test_finishing_an_import_that_was_never_begun_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no import 77"):
        await store.imports.finish(77, is_successful=True)


async def test_status_joins_log_table_and_verdict(store: Store) -> None:
    handle: TableHandle = await store.q_tables.ensure(
        "individual", "tester", "contract-1", 7, ["a", "b", "c"]
    )
    await record(store, handle, as_batch(experiences(10)))
    await store.experiences.append(experiences(3, agent="only-logged"))
    await store.q_tables.ensure("individual", "only-registered", "contract-1", 7, ["a"])
    await store.stats.replace("tester", [WINDOW, NEXT])
    logged, registered, tester = await store.status()
    assert (logged.agent, logged.experiences, logged.updates) == ("only-logged", 3, 0)
    assert (registered.agent, registered.experiences, registered.episodes) == ("only-registered", 0, 0)
    assert (tester.experiences, tester.episodes, tester.updates, tester.states_visited) == (10, 2, 10, 7)
    assert [line.convergence for line in (logged, registered, tester)] == [
        "insufficient data",
        "insufficient data",
        "converged",
    ]
    assert all(line.last_update is not None for line in (logged, registered, tester))


async def test_tables_of_other_levels_are_no_agents(store: Store) -> None:
    await store.q_tables.ensure("category", "core-testing", "c", 7, ["quick"])
    assert await store.status() == []
