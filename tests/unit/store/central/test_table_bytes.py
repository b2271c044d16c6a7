"""A published table as bytes: back bit for bit, and nothing else comes back."""

import zlib

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.store.central.table_bytes import packed, unpacked
from qe_core.store.errors import TeamError

SHAPE = (3, 2)


def table(error: float = 0.25) -> TeamEvidence:
    """Return a small table."""
    values = np.arange(6.0).reshape(SHAPE)
    return TeamEvidence(values - 2.5, values.astype(np.int64), np.full(SHAPE, error), values * 1.5)


def test_a_table_comes_back_bit_for_bit() -> None:
    content, digest = packed(table())
    found = unpacked(content, *SHAPE)
    for name in ("q", "visits", "error", "reported"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table(), name))
        assert getattr(found, name).dtype == getattr(table(), name).dtype
    assert (packed(found)[1] == digest, packed(table(0.5))[1] == digest) == (True, False)


@pytest.mark.parametrize(
    "content",
    [b"", b"table", zlib.compress(bytes(10)), zlib.compress(bytes(10**8)), packed(table())[0] + b"x"],
    ids=["empty", "not compressed", "too short", "a bomb", "added to"],
)
def test_what_is_no_table_is_refused(content: bytes) -> None:
    with pytest.raises(TeamError, match="ask its curator"):
        unpacked(content, *SHAPE)


def test_numbers_that_are_no_evidence_are_refused() -> None:
    with pytest.raises(LearningError):
        unpacked(zlib.compress(np.full(24, np.nan).tobytes()), *SHAPE)
