"""PostgreSQL's binary COPY format."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qe_core.errors import StoreError
from qe_core.store.binary_copy import Column, RowFormat

FORMAT = RowFormat(
    [
        Column("state", "int8"),
        Column("action", "int2"),
        Column("step", "int4"),
        Column("done", "bool"),
        Column("reward", "float8"),
        Column("q", "float8", 3),
        Column("visits", "int8", 2),
    ]
)


def columns(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "state": rng.integers(-(2**63), 2**63 - 1, count),
        "action": rng.integers(-(2**15), 2**15, count).astype(np.int16),
        "step": rng.integers(-(2**31), 2**31, count).astype(np.int32),
        "done": rng.random(count) < 0.5,
        "reward": rng.normal(size=count),
        "q": rng.normal(size=(count, 3)),
        "visits": rng.integers(0, 2**62, (count, 2)),
    }


async def decode(stream: bytes, piece: int) -> dict[str, np.ndarray]:
    decoder = FORMAT.decoder()
    for start in range(0, len(stream), piece):
        await decoder.feed(stream[start : start + piece])
    return decoder.columns()


@pytest.mark.parametrize("count", [0, 1, 3, 10_000])
@pytest.mark.parametrize("piece", [1_000_000, 997, 64])
async def test_what_is_encoded_decodes_bit_for_bit_in_pieces_of_any_size(count: int, piece: int) -> None:
    given_columns = columns(count)
    found = await decode(FORMAT.encode(given_columns), piece)
    for name, values in given_columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
        assert found[name].flags.c_contiguous


@given(values=hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(allow_nan=True)))
async def test_any_float_keeps_its_bits(values: np.ndarray) -> None:
    single = RowFormat([Column("value", "float8")])
    decoder = single.decoder()
    await decoder.feed(single.encode({"value": values}))
    np.testing.assert_array_equal(decoder.columns()["value"].view(np.int64), values.view(np.int64))


def test_a_row_is_laid_out_as_the_manual_says() -> None:
    pair = RowFormat([Column("state", "int8"), Column("q", "float8", 1)])
    stream = pair.encode({"state": np.array([7]), "q": np.array([[1.5]])})
    row = struct.pack(">hiqi5iid", 2, 8, 7, 32, 1, 0, 701, 1, 1, 8, 1.5)
    assert stream == b"PGCOPY\n\xff\r\n\x00" + bytes(8) + row + b"\xff\xff"


async def test_a_stream_that_breaks_off_is_refused() -> None:
    with pytest.raises(StoreError, match="the answer broke off"):
        await decode(FORMAT.encode(columns(5))[:-30], 100)
    with pytest.raises(StoreError, match="the answer broke off"):
        await decode(b"PGCO", 100)


async def test_an_array_of_another_length_is_refused() -> None:
    other = RowFormat([Column("q", "float8", 4)])
    decoder = RowFormat([Column("q", "float8", 3)]).decoder()
    with pytest.raises(StoreError, match="another length than the table has actions"):
        await decoder.feed(other.encode({"q": np.zeros((9, 4))}))
