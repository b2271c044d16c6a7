"""Reading the log in canonical order, however it lies in chunks."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from io import BytesIO
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.learning.experience import Transitions
from qe_core.store import Store
from qe_core.store import chunk_order as order
from qe_core.store.chunks import CHUNK_COLUMNS, chunk_streams
from qe_core.store.experience_rows import as_experience_table
from tests.integration.store.rows import FINGERPRINT, START, experiences

_numbers = count()
Step = tuple[int, str, str, int]
"""Seconds, source, episode, step: what experiences are ordered by."""

steps = st.tuples(
    st.integers(0, 12),
    st.sampled_from(["agent", "Agent", "zulu"]),
    st.sampled_from(["a", "B", "ä"]),
    st.integers(0, 2),
)


async def store_as_they_arrived(
    store: Store, agent: str, chunks: Sequence[Sequence[tuple[Step, float]]]
) -> None:
    """Store chunks as flushes do: in order of arrival, whatever their times, nothing compared."""
    async with store._database.transaction() as connection:
        for rows in chunks:
            for source in sorted({step[1] for step, _ in rows}):
                mine = [(step, reward) for step, reward in rows if step[1] == source]
                table = as_experience_table(
                    experiences(
                        len(mine),
                        agent=agent,
                        source=source,
                        occurred_at=[START + timedelta(seconds=step[0]) for step, _ in mine],
                        episode=[step[2] for step, _ in mine],
                        step=[step[3] for step, _ in mine],
                        reward=[reward for _, reward in mine],
                    )
                )
                for stream in chunk_streams(table):
                    await connection.copy_to_table(
                        "experience_chunks", source=BytesIO(stream), columns=CHUNK_COLUMNS, format="binary"
                    )


async def batches(store: Store, agent: str, batch_rows: int) -> list[Transitions]:
    return [batch async for batch in store.experiences.transition_batches(agent, FINGERPRINT, batch_rows)]


@pytest.fixture(params=[0, 64], ids=["whole chunks", "row by row"])
def few_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read small chunks in both ways, a few rows at a time."""
    monkeypatch.setattr(order, "FEW_ROWS", request.param)
    monkeypatch.setattr(order, "_GROUP_ROWS", 7)


@pytest.mark.usefixtures("few_rows")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(steps, unique=True, min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    batch_rows=st.integers(1, 50),
)
async def test_order_and_batches_do_not_depend_on_how_the_log_is_cut(
    store: Store, keys: list[Step], cuts: list[int], batch_rows: int
) -> None:
    agent = f"agent-{next(_numbers)}"
    rows = [(key, float(number)) for number, key in enumerate(keys)]
    places = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [rows[begin:end] for begin, end in pairwise(places) if end > begin]
    await store_as_they_arrived(store, agent, pieces)
    expected = [
        reward
        for _, reward in sorted(
            rows, key=lambda row: (row[0][0], row[0][1].encode(), row[0][2].encode(), row[0][3])
        )
    ]
    whole = await store.experiences.load_transitions(agent, FINGERPRINT)
    assert whole.reward.tolist() == expected
    found = await batches(store, agent, batch_rows)
    assert [len(batch) for batch in found[:-1]] == [batch_rows] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= batch_rows
    assert Transitions.concatenate(found).reward.tolist() == expected


@pytest.mark.usefixtures("few_rows")
async def test_experiences_alike_in_everything_keep_the_order_of_their_arrival(store: Store) -> None:
    same = (3, "agent", "a", 0)
    await store_as_they_arrived(store, "tester", [[(same, 1.0), (same, 2.0)], [(same, 3.0)], [(same, 4.0)]])
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    assert found.reward.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.usefixtures("few_rows")
async def test_numbers_bound_what_is_read_inside_chunks_too(store: Store) -> None:
    rows = [((second, "agent", "a", 0), float(second)) for second in range(12)]
    await store_as_they_arrived(store, "tester", [rows[:5], rows[5:7], rows[7:]])
    ids = (await store.experiences.read_columns("tester", 0, 100))["experience_id"].to_numpy()
    for after in range(12):
        for up_to in range(after, 12):
            found = await store.experiences.load_transitions(
                "tester", FINGERPRINT, int(ids[after]), int(ids[up_to])
            )
            assert found.reward.tolist() == [float(second) for second in range(after + 1, up_to + 1)]


async def test_an_empty_log_gives_no_batch_and_one_left_early_frees_its_connection(store: Store) -> None:
    assert await batches(store, "nobody", 10) == []
    await store.experiences.append(experiences(50))
    for _ in range(8):
        async with aclosing(store.experiences.transition_batches("tester", FINGERPRINT, 10)) as found:
            async for batch in found:
                assert len(batch) == 10
                break
    assert len(await store.experiences.load_transitions("tester", FINGERPRINT)) == 50


async def test_batches_show_one_moment_while_others_append(store: Store) -> None:
    await store.experiences.append(experiences(50))
    sizes = []
    async with aclosing(store.experiences.transition_batches("tester", FINGERPRINT, 20)) as found:
        async for batch in found:
            sizes.append(len(batch))
            await store.experiences.append(experiences(5, source=f"import:{len(sizes)}"))
    assert sizes == [20, 20, 10]
    np.testing.assert_equal(len(await store.experiences.load_transitions("tester", FINGERPRINT)), 65)
