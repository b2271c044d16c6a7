"""Policy versions: exact, of one moment, stored as changes only, unchanged by thinning."""

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.learning.q_table import QTable
from qe_core.store import Store
from qe_core.store.errors import PolicyError
from qe_core.store.live import Live
from qe_core.store.policies import Ages, Alias
from tests.conftest import execute
from tests.integration.store.playing import (
    AGENT,
    CONTRACT,
    SHAPE,
    frozen_bits,
    live_bits,
    own_handle,
    play,
)

NOTHING_KEPT = Ages(timedelta(0), timedelta(0), timedelta(0))
_agents = count()


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


async def test_a_version_holds_every_bit_and_goes_on_holding_it_while_the_table_learns(
    store: Store, live: Live, database_url: str
) -> None:
    await play(store, live, [1.0, -2.5])
    # A sign of zero, a tiny and a huge value: equal to SQL, or lost by rounding, unless bits are compared.
    execute(
        database_url,
        "UPDATE q_values SET q = "
        "ARRAY['-0', '5e-324', '1.7976931348623157e308', '0.1', '-0.30000000000000004', '0']::float8[],"
        " weights = ARRAY[0.5, 0, 0, 0, 0, 0] WHERE state = 0",
    )
    before = await live_bits(store)
    version = await store.policies.snapshot(
        CONTRACT, reason="test", by="me", exploration_state={"epsilon": 0.1 + 0.2, "step": 7}
    )
    assert await frozen_bits(store, version.number) == before
    assert version.exploration_state == {"epsilon": 0.1 + 0.2, "step": 7}
    assert (version.agent, version.visits, version.table_version) == (AGENT, 4, 1)
    await play(store, live, [50.0])
    assert await live_bits(store) != before
    assert await frozen_bits(store, version.number) == before
    frozen = await store.policies.rows(version.number)
    assert [frozen.own.handle.level, frozen.category.handle.level, frozen.fleet.handle.level] == [
        "individual",
        "category",
        "fleet",
    ]
    with pytest.raises(ValueError, match="read-only"):
        frozen.own.q[0, 0] = 1.0


async def test_a_sign_of_zero_is_a_change(store: Store, live: Live, database_url: str) -> None:
    await play(store, live, [1.0])
    execute(database_url, "UPDATE q_values SET q = ARRAY[0, 0, 0, 0, 0, 0] WHERE state = 0")
    first = await store.policies.snapshot(CONTRACT, reason="test", by="me")
    execute(
        database_url, "UPDATE q_values SET q = ARRAY['-0', '0', '0', '0', '0', '0']::float8[] WHERE state = 0"
    )
    second = await store.policies.snapshot(CONTRACT, reason="test", by="me")
    assert second.number > first.number
    assert np.signbit((await store.policies.rows(second.number)).own.q[0, 0])
    assert not np.signbit((await store.policies.rows(first.number)).own.q[0, 0])
    await store.policies.rollback(AGENT, to=first.number, trigger="test", evidence={}, by="me")
    assert await live_bits(store) == await frozen_bits(store, first.number)


async def test_only_rows_that_changed_are_stored_and_nothing_new_is_no_new_version(
    store: Store, live: Live, database_url: str
) -> None:
    await play(store, live, [1.0, 2.0, 3.0, 4.0])
    first = await store.policies.snapshot(CONTRACT, reason="test", by="me", exploration_state={"step": 1})
    same = await store.policies.snapshot(CONTRACT, reason="again", by="you")
    assert same == first
    moved = await store.policies.snapshot(CONTRACT, reason="test", by="me", exploration_state={"step": 2})
    assert moved.number > first.number
    assert moved.own_snapshot == first.own_snapshot
    await play(store, live, [9.0], states=1, steps=1)
    await store.policies.snapshot(CONTRACT, reason="test", by="me")
    stored = ask(database_url, "SELECT states, rows_stored FROM table_snapshots WHERE states > 0 ORDER BY 2")
    assert stored == [(7, 1), (7, 7)]
    assert ask(database_url, "SELECT count(*) FROM snapshot_rows") == [(8,)]


async def test_of_snapshots_at_once_one_is_taken_and_all_get_it(store: Store, live: Live) -> None:
    await play(store, live, [1.0, 2.0, 3.0, 4.0])
    asked = [store.policies.snapshot(CONTRACT, reason="test", by=str(place)) for place in range(6)]
    assert len({version.number for version in await asyncio.gather(*asked)}) == 1
    assert store.counters.deadlocks == 0


async def test_an_unknown_version_is_refused_by_name(store: Store) -> None:
    with pytest.raises(PolicyError, match="there is no policy version 17"):
        await store.policies.version(17)
    with pytest.raises(PolicyError, match="there is no policy version 17"):
        await store.policies.rows(17)


async def test_snapshots_beside_running_agents_are_of_one_moment_and_keep_nobody_waiting(
    store: Store, live: Live, database_url: str
) -> None:
    await play(store, live, [0.0])
    is_over = False

    async def learn(seed: int) -> int:
        flushes = 0
        while not is_over:
            await play(store, live, [float(seed), float(flushes % 50)], steps=3, states=40)
            flushes += 1
        return flushes

    agents = [asyncio.create_task(learn(seed)) for seed in range(3)]
    numbers = []
    for _ in range(12):
        numbers.append((await store.policies.snapshot(CONTRACT, reason="test", by="me")).number)
        await asyncio.sleep(0.02)
    is_over = True
    assert sum(await asyncio.gather(*agents)) > len(numbers)
    assert len(set(numbers)) > 1
    for number in set(numbers):
        version = await store.policies.version(number)
        [(logged,)] = ask(
            database_url,
            "SELECT sum(experiences)::bigint FROM experience_chunks"
            f" WHERE q_table_id = {version.q_table_id} AND table_version <= {version.table_version}",
        )
        frozen = (await store.policies.rows(number)).own
        assert int(frozen.visits.sum()) == version.visits == logged


contents = st.dictionaries(
    st.integers(0, 3), st.sampled_from([0.0, -0.1, 1.0, 1 / 3, 1e-300, 100.0]), max_size=4
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), contents),
        st.tuples(st.just("freeze"), st.none()),
        st.tuples(st.just("thin"), st.none()),
        st.tuples(st.just("name"), st.integers(0, 9)),
        st.tuples(st.just("roll back"), st.integers(0, 9)),
    ),
    max_size=14,
)


async def check_against_model(url: str, taken: list[tuple[str, Any]]) -> None:
    """Play steps on a table of its own; every version there is must hold what the model remembers."""
    contract = replace(CONTRACT, name=f"agent-{next(_agents)}")
    async with Store.connect(url) as store:
        handle = await own_handle(store, contract)
        model: dict[int, bytes] = {}
        for step, value in taken:
            numbers = sorted(model)
            match step:
                case "change":
                    table = QTable.zeros(*SHAPE)
                    for state, number in value.items():
                        table.q[state] = number
                        table.visits[state, 0] = state
                        table.target_mean[state] = -number
                        table.target_m2[state] = abs(number)
                    handle = await own_handle(store, contract)
                    await store.q_tables.publish(handle, table, np.abs(table.q), handle.version, {"n": 1})
                case "freeze":
                    version = await store.policies.snapshot(contract, reason="test", by="me")
                    model[version.number] = await live_bits(store, contract)
                case "thin":
                    await store.policies.thin(datetime.now(UTC) + timedelta(days=1), NOTHING_KEPT)
                    left = {version.number for version in await store.policies.versions(contract.name)}
                    assert left <= set(model)
                    assert not model or max(model) in left
                    model = {number: bits for number, bits in model.items() if number in left}
                case "name" if numbers:
                    number = numbers[value % len(numbers)]
                    await store.policies.point(
                        contract.name, Alias.CANDIDATE, number, by="me", why="to keep it"
                    )
                case "roll back" if numbers:
                    before = await live_bits(store, contract)
                    event = await store.policies.rollback(
                        contract.name, to=numbers[value % len(numbers)], trigger="test", evidence={}, by="me"
                    )
                    model.setdefault(event.from_version, before)
                    assert model[event.from_version] == before
                    assert await live_bits(store, contract) == model[event.to_version]
                case _:
                    pass
            for number, bits in model.items():
                assert await frozen_bits(store, number) == bits


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_any_sequence_of_changes_snapshots_thinning_and_restores_agrees_with_the_model(
    database_url: str, taken: list[tuple[str, Any]]
) -> None:
    asyncio.run(check_against_model(database_url, taken))


async def test_thinning_keeps_what_something_names_and_leaves_no_row_that_nobody_holds(
    store: Store, live: Live, database_url: str
) -> None:
    numbers = []
    for reward in range(6):
        await play(store, live, [float(reward)], states=1 + reward % 2)
        numbers.append((await store.policies.snapshot(CONTRACT, reason="test", by="me")).number)
    await store.policies.point(AGENT, Alias.STABLE, numbers[1], by="me", why="good")
    bits = {number: await frozen_bits(store, number) for number in (numbers[1], numbers[5])}
    now = datetime.now(UTC)
    assert (await store.policies.thin(now)).versions == 0
    thinned = await store.policies.thin(now + timedelta(days=200))
    assert thinned.versions == 4
    left = [version.number for version in await store.policies.versions(AGENT)]
    assert left == [numbers[5], numbers[1]]
    assert {number: await frozen_bits(store, number) for number in left} == bits
    held = ask(
        database_url,
        "SELECT count(*) FROM snapshot_rows AS kept WHERE NOT EXISTS (SELECT FROM table_snapshots AS one"
        " WHERE one.q_table_id = kept.q_table_id AND one.snapshot_id >= held_from"
        " AND one.snapshot_id < held_until)",
    )
    assert held == [(0,)]
