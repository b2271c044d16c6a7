"""What agents remember on a real PostgreSQL: names, expiry, and one winner among many."""

import asyncio
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.store import Store
from qe_core.store.memory import (
    LARGEST_VALUE_BYTES,
    JSONValue,
    MemoryConflictError,
    MemoryRejectedError,
    QEMemory,
)
from tests.conftest import execute

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def expire(url: str) -> None:
    """Let an hour pass for everything remembered: the server's clock cannot be turned."""
    execute(url, "UPDATE qe_memory SET expires_at = expires_at - interval '1 hour'")


async def test_what_was_set_is_there_in_its_namespace_only(store: Store) -> None:
    memory = store.memory
    entry = await memory.set("plans", "build-7", {"suite": [1, 2.5, None], "ok": True})
    assert await memory.get("plans", "build-7") == entry
    assert entry.value == {"suite": [1, 2.5, None], "ok": True}
    assert entry.expires_at is None
    assert isinstance(entry.updated_at, datetime)
    assert await memory.get("other", "build-7") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_any_json_comes_back_exactly(database_url: str, value: JSONValue) -> None:
    async def there_and_back() -> JSONValue:
        async with Store.connect(database_url) as store:
            return (await store.memory.set("any", "key", value)).value

    assert asyncio.run(there_and_back()) == value


async def test_a_version_is_never_used_twice_not_even_after_deleting(store: Store) -> None:
    memory = store.memory
    first = await memory.set("n", "k", 1)
    assert await memory.delete("n", "k")
    again = await memory.compare_and_set("n", "k", 1, None)
    assert again.version > first.version
    with pytest.raises(MemoryConflictError, match=f"version {again.version}, not version {first.version}"):
        await memory.compare_and_set("n", "k", 2, first.version)
    with pytest.raises(MemoryConflictError, match="not nothing"):
        await memory.compare_and_set("n", "k", 2, None)
    changed = await memory.compare_and_set("n", "k", 2, again.version)
    assert (await memory.get("n", "k")) == changed
    with pytest.raises(MemoryConflictError):
        await memory.delete("n", "k", again.version)
    assert await memory.delete("n", "k", changed.version)
    assert not await memory.delete("n", "k", changed.version)
    with pytest.raises(MemoryConflictError, match="holds nothing"):
        await memory.compare_and_set("n", "k", 3, changed.version)


async def test_what_has_expired_does_not_exist(store: Store, database_url: str) -> None:
    memory = store.memory
    kept = await memory.set("n", "kept", 1)
    short = await memory.set("n", "short", 1, expires_in_seconds=60)
    assert short.expires_at is not None
    assert (short.expires_at - short.updated_at).total_seconds() == 60.0
    assert [entry.key for entry in await memory.list_entries("n")] == ["kept", "short"]
    expire(database_url)
    assert await memory.get("n", "short") is None
    assert await memory.list_entries("n") == [kept]
    assert not await memory.delete("n", "short")
    await memory.set("n", "short", 1, expires_in_seconds=60)
    expire(database_url)
    with pytest.raises(MemoryConflictError):
        await memory.compare_and_set("n", "short", 2, short.version)
    taken = await memory.compare_and_set("n", "short", 2, None, expires_in_seconds=5)
    assert taken.value == 2


async def test_expired_rows_are_removed_by_later_writes(store: Store, database_url: str) -> None:
    memory = store.memory
    for number in range(5):
        await memory.set("n", f"old-{number}", number, expires_in_seconds=1)
    expire(database_url)
    assert await memory.purge_expired() == 5
    assert await memory.purge_expired() == 0
    await memory.set("n", "old", 1, expires_in_seconds=1)
    expire(database_url)
    for number in range(64):
        await memory.set("n", "new", number)
    assert await memory.purge_expired() == 0
    assert (await memory.get("n", "new")) is not None


async def test_a_namespace_is_listed_in_pages_by_prefix(store: Store) -> None:
    memory = store.memory
    for key in ("a%1", "a%2", "a%3", "ab", "b"):
        await memory.set("n", key, key)
    first = await memory.list_entries("n", prefix="a%", limit=2)
    assert [entry.key for entry in first] == ["a%1", "a%2"]
    rest = await memory.list_entries("n", prefix="a%", after=first[-1].key)
    assert [entry.key for entry in rest] == ["a%3"]
    with pytest.raises(MemoryRejectedError, match="10,000"):
        await memory.list_entries("n", limit=0)


@pytest.mark.parametrize("bad", ["", "x" * 201, "nul\x00", "\ud800", 7])
async def test_names_that_cannot_be_are_refused(store: Store, bad: str) -> None:
    with pytest.raises(MemoryRejectedError, match="namespace"):
        await store.memory.set(bad, "k", 1)


@pytest.mark.parametrize("bad", [float("nan"), {1, 2}, object(), "x" * LARGEST_VALUE_BYTES])
async def test_values_that_cannot_be_kept_are_refused(store: Store, bad: object) -> None:
    with pytest.raises(MemoryRejectedError):
        await store.memory.set("n", "k", bad)
    assert await store.memory.get("n", "k") is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan"), 1e12])
async def test_lifetimes_that_cannot_be_are_refused(store: Store, seconds: float) -> None:
    with pytest.raises(MemoryRejectedError, match="lifetime"):
        await store.memory.set("n", "k", 1, expires_in_seconds=seconds)


async def test_of_many_who_create_a_key_one_wins(database_url: str) -> None:
    async def attempt(memory: QEMemory, who: int) -> int | None:
        try:
            return int((await memory.compare_and_set("locks", "leader", who, None)).value)
        except MemoryConflictError:
            return None

    async with Store.connect(database_url, pool_size=8) as store:
        won = await asyncio.gather(*(attempt(store.memory, who) for who in range(40)))
        entry = await store.memory.get("locks", "leader")
    assert entry is not None
    assert [who for who in won if who is not None] == [entry.value]


COUNTER = """
import asyncio, os, sys
from qe_core.store import Store
from qe_core.store.memory import MemoryConflictError

async def main():
    async with Store.connect(sys.argv[1], pool_size=1) as store:
        done = lost = 0
        entry = await store.memory.get("shared", "count")
        await store.memory.set("have looked", str(os.getpid()), True)
        while len(await store.memory.list_entries("have looked")) < 4:
            await asyncio.sleep(0.01)
        while done < 40:
            version, value = (None, 0) if entry is None else (entry.version, entry.value)
            try:
                await store.memory.compare_and_set("shared", "count", value + 1, version)
                done += 1
            except MemoryConflictError:
                lost += 1
            entry = await store.memory.get("shared", "count")
    sys.stdout.write(str(lost))

asyncio.run(main())
"""


async def test_counting_from_several_processes_loses_nothing(store: Store, database_url: str) -> None:
    command = [sys.executable, "-c", COUNTER, database_url]
    ended = await asyncio.gather(
        *(asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=120) for _ in range(4))
    )
    assert [process.returncode for process in ended] == [0] * 4
    lost = sum(int(process.stdout) for process in ended)
    entry = await store.memory.get("shared", "count")
    assert entry is not None
    assert entry.value == 160
    assert lost >= 3, "all four found nothing at first, and one of them can be the first"
