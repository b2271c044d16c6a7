"""Decoding rows of arrays, against what the encoder writes and against malformed streams."""

import asyncio
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import StoreError
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.array_wire import (
    NULL,
    array_field,
    copy_stream,
    int_field,
    text_array_field,
    text_field,
)

KINDS = {"number": "int8", "name": "text", "values": "float8[]", "texts": "text[]", "times": "timestamptz[]"}
Row = tuple[int, str, list[float], list[str], list[int]]


def encoded(rows: list[Row]) -> bytes:
    return copy_stream(
        [
            [
                int_field("int8", number),
                text_field(name),
                array_field("float8", np.array(values)),
                text_array_field(pa.array(texts, pa.string())),
                array_field("timestamptz", np.array(times)),
            ]
            for number, name, values, texts, times in rows
        ]
    )


def decoded(decoder: ArrayDecoder, *pieces: bytes) -> ArrayDecoder:
    for piece in pieces:
        asyncio.run(decoder.feed(piece))
    return decoder


any_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
any_row = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    any_text,
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=5),
    st.lists(any_text, min_size=1, max_size=5),
    st.lists(st.integers(0, 2**52), min_size=1, max_size=5),
)


@settings(deadline=None)
@given(st.lists(any_row, max_size=6), st.lists(st.integers(0, 400), max_size=5))
def test_what_was_encoded_is_decoded_wherever_the_stream_is_cut(rows: list[Row], cuts: list[int]) -> None:
    stream = encoded(rows)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in pairwise(places)]
    found = decoded(ArrayDecoder(KINDS), *pieces).columns()
    assert found["number"].tolist() == [row[0] for row in rows]
    assert found["name"] == [row[1] for row in rows]
    assert found["values"].tolist() == [value for row in rows for value in row[2]]
    assert found["texts"].to_pylist() == [text for row in rows for text in row[3]]
    assert found["times"].tolist() == [time for row in rows for time in row[4]]


@pytest.mark.parametrize("names", [[f"e{n:05d}" for n in range(500)], [f"e{n}" for n in range(500)]])
def test_many_texts_of_one_length_and_of_several_are_the_same(names: list[str]) -> None:
    stream = copy_stream([[text_array_field(pa.array(names))]] * 2)
    assert decoded(ArrayDecoder({"n": "text[]"}), stream).columns()["n"].to_pylist() == names * 2


def test_arrays_keep_their_types() -> None:
    given = {
        "bool": np.array([True, False]),
        "int2": np.array([-3, 7], dtype=np.int16),
        "int4": np.array([-3, 7], dtype=np.int32),
        "int8": np.array([-3, 2**62]),
    }
    stream = copy_stream([[array_field(kind, values) for kind, values in given.items()]])
    found = decoded(ArrayDecoder({kind: f"{kind}[]" for kind in given}), stream).columns()
    for kind, values in given.items():
        np.testing.assert_array_equal(found[kind], values)
        assert found[kind].dtype == values.dtype


def test_a_stream_that_breaks_off_is_an_error() -> None:
    whole = encoded([(1, "a", [1.0], ["x"], [0])])
    for length in (0, 10, 30, len(whole) - 2):
        with pytest.raises(StoreError, match="broke off"):
            decoded(ArrayDecoder(KINDS), whole[:length]).columns()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([NULL], "has no value"),
        ([int_field("int4", 1), int_field("int4", 1)], "2 columns instead of 1"),
        ([array_field("int4", np.array([1, 2]))], "8 bytes each"),
        ([array_field("int8", np.array([], dtype=np.int64))], "array is empty"),
    ],
)
def test_another_layout_than_expected_is_an_error(fields: list[bytes], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        decoded(ArrayDecoder({"values": "int8[]"}), copy_stream([fields])).columns()
