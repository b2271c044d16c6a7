"""Bad input gets a named error, changes nothing, and nobody else notices."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg2
import pytest

from qe_core.config import Settings
from qe_core.errors import (
    FingerprintMismatchError,
    LearningError,
    QEError,
    StateError,
    StoreError,
    UnknownAgentError,
)
from qe_core.fleet import registry
from qe_core.runtime.errors import ContextSizeError
from qe_core.runtime.learner import Learner
from qe_core.store import StaleEpochError, Store, TableHandle
from qe_core.store.errors import ExperienceRejectedError
from qe_core.store.live import Experience, Live, UpdateBatch
from tests.faults.place import ask

SETTINGS = Settings()
STATES, ACTIONS = 7, ("plan", "act", "stop")
OCCURRED_AT = datetime(2026, 5, 1, tzinfo=UTC)
GOOD = Experience(OCCURRED_AT, "episode", 0, 3, 1, 5.0, 4, False, False, 0.5)

BAD_VALUES: dict[str, tuple[Any, ...]] = {
    "reward": (math.nan, math.inf, -math.inf, math.nextafter(100, 101), -1e308),
    "propensity": (math.nan, math.inf, 0.0, -0.5, math.nextafter(1, 2)),
    "exploration_rate": (math.inf, -0.1, math.nextafter(1, 2)),
    "state": (-1, STATES, 2**31, 2**63, -(2**63), 1.5, math.nan),
    "next_state": (-1, STATES, 2**63, 1.5),
    "action": (-1, len(ACTIONS), 2**15, 2**16, 2**63, 1.5),
    "step": (-1, 2**31, 2**63, 1.5),
    "policy_version": (2**63, -(2**63) - 1, -2, 1.5),
    "episode": ("", "a\0b", "x" * 501, "é" * 251, "\ud800"),
    "terminated": (None,),
    "success": (True,),
}
"""Values by field; every one breaks a rule by itself. ``terminated`` stands for ended in both ways."""

BAD_LEARNING: dict[str, tuple[float, ...]] = {
    "target": (math.nan, math.inf, -math.inf, 1e10, -1.7e308),
    "learning_rate": (math.nan, math.inf, -math.inf, -1e-9, math.nextafter(1, 2)),
}

IMPOSSIBLE_TIMES = (
    datetime(2026, 5, 1),  # noqa: DTZ001 - that is what is wrong with it
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1999, 12, 31, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime.now(UTC) + timedelta(days=2),
)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    """The hot path."""
    async with store.live() as opened:
        yield opened


@pytest.fixture
async def handle(store: Store) -> TableHandle:
    """The table of the agent that is given bad input."""
    return await store.q_tables.ensure("individual", "clumsy", "contract-1", STATES, ACTIONS)


@pytest.fixture
async def neighbour(store: Store) -> TableHandle:
    """The table of another agent of the same process."""
    return await store.q_tables.ensure("individual", "careful", "contract-1", STATES, ACTIONS)


async def assert_refused_alone(
    live: Live,
    handle: TableHandle,
    neighbour: TableHandle,
    url: str,
    bad: Sequence[Awaitable[object]],
    error: type[QEError] | tuple[type[QEError], ...],
) -> None:
    """Bad calls are refused by name; good ones before, beside and after them are stored."""
    await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
    beside = asyncio.create_task(live.writer.record(neighbour, GOOD._replace(episode="beside"), 1.0, 0.5))
    own = asyncio.create_task(live.writer.record(handle, GOOD._replace(episode="own"), 1.0, 0.5))
    for number, call in enumerate(bad):
        with pytest.raises(error) as refusal:
            await call
        assert len(str(refusal.value)) > 20, f"call {number} says what is wrong"
    await asyncio.gather(beside, own)
    await live.writer.record(handle, GOOD._replace(episode="after"), 1.0, 0.5)
    assert live.writer.counters.queue_length == 0
    stored = ask(url, "SELECT episode FROM learning_experiences ORDER BY 1")
    assert stored == [("after",), ("before",), ("beside",), ("own",)]
    [[visits]] = ask(url, "SELECT sum(visits)::int FROM q_values_long")
    assert visits == 4


def spoiled(name: str, value: Any) -> Experience:
    """Return an experience with one bad field."""
    if name == "terminated":
        return GOOD._replace(terminated=True, truncated=True)
    return GOOD._replace(**{name: value})


def batch_of(*experiences: Experience, target: float = 1.0, learning_rate: float = 0.5) -> UpdateBatch:
    """Return experiences as columns, as plain lists: the way a careless caller would."""
    columns: dict[str, Any] = dict(zip(Experience._fields, zip(*experiences, strict=True), strict=True))
    del columns["occurred_at"]
    columns["exploration_rate"] = [math.nan if rate is None else rate for rate in columns["exploration_rate"]]
    columns["success"] = [-1 if of is None else int(of) for of in columns["success"]]
    columns["policy_version"] = [-1 if of is None else of for of in columns["policy_version"]]
    return UpdateBatch(
        target=[target] * len(experiences),
        learning_rate=[learning_rate] * len(experiences),
        occurred_at=[round(OCCURRED_AT.timestamp() * 1_000_000)] * len(experiences),
        **columns,
    )


@pytest.mark.parametrize("name", BAD_VALUES)
async def test_a_bad_experience_is_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str, name: str
) -> None:
    bad = [live.writer.record(handle, spoiled(name, value), 1.0, 0.5) for value in BAD_VALUES[name]]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, ExperienceRejectedError)


@pytest.mark.parametrize("name", BAD_VALUES)
async def test_a_batch_with_one_bad_experience_is_refused_whole_and_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str, name: str
) -> None:
    batches = [batch_of(GOOD, spoiled(name, value), GOOD) for value in BAD_VALUES[name]]
    bad = [live.writer.record_many(handle, batch) for batch in batches]
    either = (ExperienceRejectedError, LearningError)
    await assert_refused_alone(live, handle, neighbour, database_url, bad, either)


@pytest.mark.parametrize("name", BAD_LEARNING)
async def test_a_bad_target_or_rate_is_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str, name: str
) -> None:
    arguments = [{"target": 1.0, "learning_rate": 0.5} | {name: value} for value in BAD_LEARNING[name]]
    bad: list[Awaitable[object]] = [live.writer.record(handle, GOOD, **given) for given in arguments]
    bad += [live.writer.record_many(handle, batch_of(GOOD, **given)) for given in arguments]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, LearningError)


async def test_a_time_nothing_can_have_happened_at_is_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    bad = [live.writer.record(handle, GOOD._replace(occurred_at=at), 1.0, 0.5) for at in IMPOSSIBLE_TIMES]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, ExperienceRejectedError)


async def test_values_at_the_edge_of_their_range_are_stored_exactly(
    store: Store, live: Live, handle: TableHandle
) -> None:
    edges = [
        GOOD._replace(step=0, reward=100.0, propensity=1.0, exploration_rate=0.0, policy_version=0),
        GOOD._replace(step=1, reward=-100.0, propensity=5e-324, exploration_rate=1.0),
        GOOD._replace(step=2**31 - 1, policy_version=2**63 - 1, state=STATES - 1, action=len(ACTIONS) - 1),
        GOOD._replace(step=2, episode="é" * 250, terminated=True, success=True),
        GOOD._replace(step=3, reward=5e-324, truncated=True, success=False, state=0, action=0, next_state=0),
        GOOD._replace(step=4, occurred_at=datetime.now(UTC)),
    ]
    for edge in edges:
        await live.writer.record(handle, edge, 1.0, 0.5)
    stored = await store.experiences.read_columns("clumsy", 0, 100)
    for name in Experience._fields:
        assert stored[name].to_pylist() == [getattr(edge, name) for edge in edges], name


@pytest.mark.parametrize("target", [1e9, -1e9, 5e-324, 2.2e-308, -0.0])
async def test_targets_and_rates_at_the_edge_of_their_range_change_values_as_they_should(
    store: Store, live: Live, handle: TableHandle, target: float
) -> None:
    q = 0.0
    for number, rate in enumerate((1.0, 0.0, 5e-324, 0.5, 1.0)):
        await live.writer.record(handle, GOOD._replace(step=number), target, rate)
        q += rate * (target - q)
    stored = await store.q_tables.load("individual", "clumsy", "contract-1")
    assert stored.table.q[3, 1] == pytest.approx(q, rel=1e-12, abs=1e-100)
    assert stored.table.visits[3, 1] == 5
    assert stored.table.target_mean[3, 1] == pytest.approx(target, rel=1e-12, abs=1e-100)


async def test_a_batch_larger_than_a_flush_is_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    column = np.zeros(65_537)
    bad = [
        live.writer.record_many(handle, UpdateBatch(column.astype(int), column.astype(int), column, column))
    ]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, LearningError)


async def test_an_empty_batch_and_columns_of_different_lengths_are_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    bad = [
        live.writer.record_many(handle, replace(batch_of(GOOD, GOOD), reward=[1.0])),
        live.writer.record_many(handle, UpdateBatch([], [], [], [])),
    ]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, LearningError)


async def test_a_table_that_is_not_there_is_refused_alone(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    unknown = replace(handle, q_table_id=handle.q_table_id + 1_000)
    bad = [live.writer.record(unknown, GOOD, 1.0, 0.5)]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, StoreError)


async def test_a_table_of_a_replaced_contract_is_refused_alone(
    store: Store, live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    old = await store.q_tables.ensure("individual", "changed", "contract-1", STATES, ACTIONS)
    await store.q_tables.ensure("individual", "changed", "contract-2", STATES, ACTIONS)
    bad = [live.writer.record(old, GOOD, 1.0, 0.5)]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, StaleEpochError)


async def test_a_passed_epoch_is_refused_whole_and_alone_and_the_new_one_is_taken(
    store: Store, live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    stale = await store.q_tables.ensure("individual", "restored", "contract-1", STATES, ACTIONS)
    fresh = await store.q_tables.raise_epoch(stale)
    bad = [live.writer.record_many(stale, batch_of(GOOD, GOOD))]
    await assert_refused_alone(live, handle, neighbour, database_url, bad, StaleEpochError)
    acknowledged = await live.writer.record(fresh, GOOD, 1.0, 0.5)
    assert acknowledged.version == 1, "the refused flush raised no version"


async def test_an_unknown_agent_is_named(live: Live) -> None:
    with pytest.raises(UnknownAgentError, match="test-generator"):
        await Learner.open(live, "test-generater", SETTINGS, np.random.default_rng(1))


async def test_a_contract_with_another_fingerprint_is_refused_and_the_table_stays(
    store: Store, live: Live
) -> None:
    contract = registry().get("quality-gate")
    await store.q_tables.ensure("individual", contract.name, "another", STATES, ACTIONS)
    with pytest.raises(FingerprintMismatchError, match="another"):
        await Learner.open(live, contract, SETTINGS, np.random.default_rng(1))
    assert (await store.q_tables.load("individual", contract.name, "another")).version == 0


@pytest.mark.parametrize(
    ("context", "error"),
    [
        ({f"feature-{number}": 1 for number in range(100_000)}, ContextSizeError),
        ({"module": "x" * 10_000_000}, ContextSizeError),
        ({"x" * 10_000_000: 1}, ContextSizeError),
        ({"module": math.nan}, StateError),
        ({}, StateError),
        (-1, StateError),
        (2**80, StateError),
        (True, StateError),
        ("quality-gate", StateError),
        ([1, 2, 3], StateError),
        (None, StateError),
        (math.nan, StateError),
    ],
)
async def test_a_context_that_is_no_state_is_refused_and_others_decide_on(
    live: Live, context: Any, error: type[QEError]
) -> None:
    clumsy = await Learner.open(live, "quality-gate", SETTINGS, np.random.default_rng(1))
    careful = await Learner.open(live, "test-executor", SETTINGS, np.random.default_rng(2))
    await clumsy.decide(0)
    with pytest.raises(error) as refusal:
        await clumsy.decide(context)
    assert len(str(refusal.value)) < 2_000, "a huge context is not repeated in the message"
    assert (await careful.decide(0)).state == 0
    assert (await clumsy.decide(1)).state == 1
    assert clumsy.counters.decisions == 2


async def test_what_the_server_checks_again_is_checked_before_it_is_sent(
    live: Live, handle: TableHandle, database_url: str
) -> None:
    """The rules of the log are the database's too: past the product, it refuses the same."""
    await live.writer.record(handle, GOOD, 1.0, 0.5)
    with pytest.raises(psycopg2.errors.CheckViolation):
        ask(database_url, "UPDATE experience_chunks SET reward[1] = 'NaN'")


async def test_a_record_that_cannot_be_sent_leaves_nobody_waiting(
    live: Live, handle: TableHandle, neighbour: TableHandle, database_url: str
) -> None:
    """A value of a type nobody thought of passes the rules and then fits no column."""
    strange = GOOD._replace(terminated=True, success="yes")  # type: ignore[arg-type]
    bad = asyncio.create_task(live.writer.record(handle, strange, 1.0, 0.5))
    beside = await live.writer.record(neighbour, GOOD, 1.0, 0.5)
    with pytest.raises(StoreError, match="none was stored"):
        await bad
    assert beside.version == 1
    assert (await live.writer.record(handle, GOOD, 1.0, 0.5)).version == 1
    assert live.writer.counters.queue_length == 0
    assert live.writer.counters.refused_updates == 1
    assert ask(database_url, "SELECT count(*) FROM learning_experiences") == [(2,)]
