"""Which tasks a release is made of: what ended since the last one, of everybody who takes part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from qe_core.privacy.units import ProtectedUnit
from qe_core.store import Store
from qe_core.store.identity import Identity
from qe_core.store.team import OptOutKind, UnreleasedTasks
from tests.conftest import execute
from tests.unit.store.team.made import AGENT, ANN, BOB, COST, OTHER, SHOP, SPACES, released, task, together


async def found(store: Store, unit: ProtectedUnit = ProtectedUnit.TASK) -> UnreleasedTasks:
    return await store.releases.finished_tasks(SPACES, unit=unit)


async def released_now(store: Store) -> UnreleasedTasks:
    """Release what there is and return what it was."""
    tasks = await found(store)
    await store.releases.commit(released(tasks), 1_000 * COST, by="test")
    return tasks


@asynccontextmanager
async def acting_as(url: str, developer: str | None, project: str | None = None) -> AsyncIterator[Store]:
    async with Store.connect(url, identity=Identity(developer, project)) as store:
        yield store


async def test_only_tasks_that_ended_are_found_with_all_their_steps(store: Store) -> None:
    await store.experiences.append(task("begun", [3, 4], is_finished=False))
    await store.experiences.append(task("done", [1, 2], minute=10, is_finished=False))
    await store.experiences.append(task("done", [5], minute=10, first_step=2))
    tasks = await found(store)
    steps = tasks.steps[AGENT]
    assert steps.state.tolist() == [1, 2, 5]
    assert steps.next_state.tolist() == [2, 0, 0]
    assert steps.action.tolist() == [1, 1, 1]
    assert steps.reward.tolist() == [1.0, 1.0, 1.0]
    assert steps.terminated.tolist() == [False, False, True]
    assert len(set(steps.unit.tolist())) == 1
    assert (tasks.task_count, len(tasks.steps[OTHER])) == (1, 0)


async def test_sources_that_are_kept_out_are_passed_over_and_stay_unmarked(store: Store) -> None:
    await store.experiences.append(task("played", [1, 2], source="simulated"))
    await store.experiences.append(task("worked", [3], minute=10, source="agent"))
    tasks = await store.releases.finished_tasks(
        SPACES, unit=ProtectedUnit.TASK, kept_out_sources=("simulated", "recorded")
    )
    assert tasks.steps[AGENT].state.tolist() == [3]
    assert tasks.task_count == 1

    await store.releases.commit(released(tasks), 1_000 * COST, by="test")

    assert (await found(store)).steps[AGENT].state.tolist() == [1, 2]


async def test_a_task_that_was_cut_off_has_ended_too(store: Store) -> None:
    await store.experiences.append(task("cut", [1, 2], is_finished=False, truncated=[False, True]))
    tasks = await found(store)
    assert tasks.steps[AGENT].terminated.tolist() == [False, False]


async def test_steps_come_in_canonical_order_whatever_order_they_arrived_in(store: Store) -> None:
    await store.experiences.append(task("b", [4, 5, 6]))
    await store.experiences.append(task("a", [1, 2, 3]))
    await store.experiences.append(task("late", [9], minute=50))
    await store.experiences.append(task("early", [8], minute=40))
    tasks = await found(store)
    assert tasks.steps[AGENT].state.tolist() == [1, 4, 2, 5, 3, 6, 8, 9]
    assert tasks.task_count == 4


async def test_equal_names_in_two_sources_or_of_two_agents_are_different_tasks(store: Store) -> None:
    await store.experiences.append(task("same", [1, 2]))
    await store.experiences.append(task("same", [3], minute=5, source="import:x"))
    await store.experiences.append(task("same", [4], agent=OTHER))
    tasks = await found(store)
    assert tasks.task_count == 3
    units = np.concatenate([steps.unit for steps in tasks.steps.values()])
    assert len(set(units.tolist())) == 3


async def test_steps_under_another_contract_are_not_found(store: Store) -> None:
    await store.experiences.append(task("old", [1], fingerprint="0" * 16))
    assert (await found(store)).task_count == 0


async def test_what_was_released_is_never_found_again(store: Store) -> None:
    await store.experiences.append(task("first", [1]))
    assert (await released_now(store)).task_count == 1
    assert (await found(store)).task_count == 0
    await store.experiences.append(task("second", [2], minute=5))
    assert (await released_now(store)).steps[AGENT].state.tolist() == [2]
    assert (await found(store)).task_count == 0


async def test_a_task_begun_before_a_release_is_in_the_one_after_its_end_whole(store: Store) -> None:
    await store.experiences.append(task("done", [9]))
    await store.experiences.append(task("long", [1, 2], minute=10, is_finished=False))
    assert (await released_now(store)).steps[AGENT].state.tolist() == [9]
    await store.experiences.append(task("long", [3], minute=10, first_step=2, is_finished=False))
    assert (await released_now(store)).task_count == 0
    await store.experiences.append(task("long", [4], minute=10, first_step=3))
    assert (await released_now(store)).steps[AGENT].state.tolist() == [1, 2, 3, 4]
    assert (await found(store)).task_count == 0


async def test_chunks_are_not_read_again_once_all_their_tasks_have_ended(
    store: Store, database_url: str
) -> None:
    await store.experiences.append(task("long", [1], is_finished=False))
    await released_now(store)
    assert (await found(store)).chunk_ids[AGENT].new.tolist() == []
    await store.experiences.append(task("long", [2], first_step=1))
    last = await released_now(store)
    assert len(last.chunk_ids[AGENT].closed) == 1
    assert (await found(store)).chunk_ids == {}


async def test_a_second_end_of_a_task_that_was_released_is_not_released(store: Store) -> None:
    begun = task("begun", [3], minute=9, is_finished=False)
    await store.experiences.append(together(task("twice", [1, 2]), begun))
    assert (await released_now(store)).task_count == 1
    await store.experiences.append(task("twice", [4], first_step=2))
    assert (await found(store)).task_count == 0


async def test_folded_steps_are_missing_and_the_task_counts_with_the_rest(
    store: Store, database_url: str
) -> None:
    await store.experiences.append(task("long", [1, 2], is_finished=False))
    execute(database_url, "UPDATE experience_chunks SET is_folded = true")
    await store.experiences.append(task("long", [3], first_step=2))
    assert (await found(store)).steps[AGENT].state.tolist() == [3]


@pytest.mark.parametrize(
    ("kind", "subject"), [(OptOutKind.DEVELOPER, ANN), (OptOutKind.PROJECT, SHOP), (OptOutKind.AGENT, AGENT)]
)
async def test_tasks_of_whoever_opted_out_are_left_out_and_stay_out(
    store: Store, database_url: str, kind: OptOutKind, subject: str
) -> None:
    async with acting_as(database_url, ANN, SHOP) as hers:
        await hers.experiences.append(task("hers", [1, 2]))
    await store.experiences.append(task("free", [3], agent=OTHER))
    await store.opt_outs.add(kind, subject, by="ann")
    tasks = await released_now(store)
    assert (len(tasks.steps[AGENT]), tasks.steps[OTHER].state.tolist()) == (0, [3])
    await store.opt_outs.lift(kind, subject, by="ann")
    assert (await found(store)).task_count == 0


async def test_one_step_of_somebody_who_opted_out_keeps_the_whole_task_out(
    store: Store, database_url: str
) -> None:
    async with acting_as(database_url, ANN) as hers, acting_as(database_url, BOB) as his:
        await his.experiences.append(task("shared", [1], is_finished=False))
        await hers.experiences.append(task("shared", [2], first_step=1, is_finished=False))
        await his.experiences.append(task("shared", [3], first_step=2))
        await his.experiences.append(task("his", [4], minute=9))
    assert (await found(store)).task_count == 2
    await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    assert (await found(store)).steps[AGENT].state.tolist() == [4]


async def test_nothing_is_found_while_the_database_opted_out_nor_later_what_it_did_then(store: Store) -> None:
    await store.experiences.append(task("mine", [1]))
    await store.experiences.append(task("begun", [2], minute=5, is_finished=False))
    await store.opt_outs.add(OptOutKind.DATABASE, by="owner")
    tasks = await found(store)
    assert (tasks.task_count, tasks.chunk_ids) == (0, {})
    await store.opt_outs.lift(OptOutKind.DATABASE, by="owner")
    await store.experiences.append(task("begun", [3], minute=5, first_step=1))
    await store.experiences.append(task("new", [4], minute=9))
    assert (await found(store)).steps[AGENT].state.tolist() == [4]


async def test_units_are_developers_over_all_agents_and_nobody_is_one_of_them(
    store: Store, database_url: str
) -> None:
    async with acting_as(database_url, ANN) as hers, acting_as(database_url, BOB) as his:
        await hers.experiences.append(task("1", [1]))
        await hers.experiences.append(task("2", [2], minute=1, agent=OTHER))
        await his.experiences.append(task("3", [3], minute=2))
    await store.experiences.append(task("4", [4], minute=3))
    await store.experiences.append(task("5", [5], minute=4))
    tasks = await found(store, ProtectedUnit.DEVELOPER)
    gate, executor = tasks.steps[AGENT].unit.tolist(), tasks.steps[OTHER].unit.tolist()
    assert gate[0] == executor[0]
    assert gate[2] == gate[3]
    assert len({*gate, *executor}) == 3
    assert (tasks.developer_count, tasks.task_count) == (3, 5)
