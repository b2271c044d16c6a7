"""A published table as bytes.

What belongs here: packing, unpacking, and checks of what was unpacked. What does not: storing it.
"""

import zlib
from hashlib import sha256

import numpy as np

from qe_core.learning.team_evidence import TeamEvidence
from qe_core.store.errors import TeamError

_NUMBER = np.dtype("<f8")
_COUNT = np.dtype("<i8")
_ARRAYS = 4


def packed(table: TeamEvidence) -> tuple[bytes, bytes]:
    """Return a table compressed, and the SHA-256 of what was compressed: the same for the same values."""
    raw = b"".join(
        (
            table.q.astype(_NUMBER).tobytes(),
            table.visits.astype(_COUNT).tobytes(),
            table.error.astype(_NUMBER).tobytes(),
            table.reported.astype(_NUMBER).tobytes(),
        )
    )
    return zlib.compress(raw, level=6), sha256(raw).digest()


def unpacked(content: bytes, state_count: int, action_count: int) -> TeamEvidence:
    """Return the table of an agent with S states and A actions.

    Raises:
        TeamError: the content is not such a table.
        LearningError: its numbers are no evidence.
    """
    size = state_count * action_count * _NUMBER.itemsize
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(content, _ARRAYS * size + 1)
    except zlib.error as fault:
        raise TeamError(f"a table of the team's server cannot be read: {fault}; ask its curator") from fault
    if len(raw) != _ARRAYS * size or not stream.eof or stream.unused_data:
        raise TeamError(
            f"a table of the team's server does not hold {state_count} states and {action_count} actions; "
            "ask its curator to build it again"
        )
    q, visits, error, reported = (raw[place : place + size] for place in range(0, _ARRAYS * size, size))
    shape = (state_count, action_count)
    return TeamEvidence(
        np.frombuffer(q, _NUMBER).astype(np.float64).reshape(shape),
        np.frombuffer(visits, _COUNT).astype(np.int64).reshape(shape),
        np.frombuffer(error, _NUMBER).astype(np.float64).reshape(shape),
        np.frombuffer(reported, _NUMBER).astype(np.float64).reshape(shape),
    )
