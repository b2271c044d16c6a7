"""Packing experiences into chunks and unpacking them."""

import asyncio
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qe_core.store import chunks
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.array_wire import EPOCH_MICROSECONDS
from qe_core.store.chunks import CHUNK_COLUMNS, CHUNK_ROWS, chunk_streams, experience_ids, numbered_table
from qe_core.store.experience_rows import SCHEMA, as_experience_table
from qe_core.store.identity import Identity
from tests.integration.store.rows import START, experiences

KINDS = {
    "agent": "text", "fingerprint": "text", "source": "text", "experiences": "int4", "first_at": "int8",
    "last_at": "int8", "is_in_order": "bool", "occurred_at": "timestamptz[]", "episode": "text[]",
    "step": "int4[]", "state": "int8[]",
    "action": "int2[]", "reward": "float8[]", "next_state": "int8[]", "terminated": "bool[]",
    "truncated": "bool[]", "propensity": "float8[]", "exploration_rate": "float8[]", "success": "int2[]",
    "policy_version": "int8[]", "developer": "text", "project": "text",
}  # fmt: skip
SOMEBODY = Identity("d" * 32, "e" * 32)


def unpacked(streams: list[bytes]) -> dict[str, Any]:
    """Return the fields of all chunks, numbered 7, 8 and so on."""
    decoder = ArrayDecoder(KINDS)
    # One stream of all rows: their beginnings and ends belong to streams, not to rows.
    head, end = streams[0][:19], streams[0][-2:]
    asyncio.run(decoder.feed(head + b"".join(stream[19:-2] for stream in streams) + end))
    found = decoder.columns()
    return {**found, "chunk_id": np.arange(len(found["experiences"])) + 7}


def test_columns_are_sent_in_the_order_they_are_named() -> None:
    assert tuple(KINDS) == CHUNK_COLUMNS


def test_chunks_belong_to_whom_they_were_made_for() -> None:
    found = unpacked(list(chunk_streams(as_experience_table(experiences(3)), SOMEBODY)))
    assert (found["developer"], found["project"]) == (["d" * 32], ["e" * 32])


def test_every_value_and_every_null_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 4)
    table = as_experience_table(
        experiences(
            10,
            episode=["", "ä", "a" * 300, *"bcdefgh"],
            exploration_rate=[None, 0.0, 0.5, 1.0, None] * 2,
            success=[None, True, False, None, True] * 2,
            policy_version=[None, 0, 2**62, None, 5] * 2,
            truncated=[True, False] * 5,
        )
    )
    streams = list(chunk_streams(table, SOMEBODY))
    assert len(streams) == 3
    found = unpacked(streams)
    np.testing.assert_array_equal(found["experiences"], [4, 4, 2])
    whole = numbered_table(found)
    monkeypatch.undo()
    assert whole.drop_columns("experience_id").select(SCHEMA.names).equals(pa.table(table))


def test_a_chunk_knows_the_span_of_its_times() -> None:
    times = [START.replace(second=second) for second in (5, 2, 9)]
    found = unpacked(list(chunk_streams(as_experience_table(experiences(3, occurred_at=times)), SOMEBODY)))
    start = int(START.timestamp()) * 1_000_000 - EPOCH_MICROSECONDS
    assert (found["first_at"] - start, found["last_at"] - start) == (2_000_000, 9_000_000)


def test_an_experience_is_numbered_by_its_chunk_and_position() -> None:
    ids = experience_ids(np.array([3, 10]), np.array([2, 3]))
    assert ids.tolist() == [3 * CHUNK_ROWS, 3 * CHUNK_ROWS + 1, *range(10 * CHUNK_ROWS, 10 * CHUNK_ROWS + 3)]
    assert len(experience_ids(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))) == 0


def test_a_chunk_says_whether_its_times_increase() -> None:
    table = as_experience_table(experiences(6))
    tied = table.set_column(0, "occurred_at", table["occurred_at"].take([0, 1, 1, 3, 4, 5]))
    turned = table.take([1, 0, 2, 3, 4, 5])
    assert [
        int(unpacked(list(chunk_streams(rows, SOMEBODY)))["is_in_order"][0]) for rows in (table, tied, turned)
    ] == [
        1,
        0,
        0,
    ]
