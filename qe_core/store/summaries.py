"""What is known of transitions whose experiences retention removed.

What belongs here: reading summaries, and adding chunks to them exactly once. What does not: which chunks are
added, and removing them (`retention`); how counts merge (`qe_core.learning.empirical_mdp`).
"""

from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from qe_core.errors import StoreError
from qe_core.learning.experience import Transitions
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.binary_copy import Column, Columns, RowFormat
from qe_core.store.connection import Connection
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_rows import affected_count

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading the store does not need.
    from qe_core.learning.empirical_mdp import EmpiricalMdp

_FORMAT = RowFormat(
    [
        Column("state", "int8"),
        Column("action", "int2"),
        Column("next_state", "int8"),
        Column("terminated", "bool"),
        Column("count", "int8"),
        Column("reward_mean", "float8"),
        Column("reward_m2", "float8"),
    ]
)
_CHUNKS = {
    "state": "int8[]",
    "action": "int2[]",
    "reward": "float8[]",
    "next_state": "int8[]",
    "terminated": "bool[]",
}


async def read_summaries(connection: Connection, agent: str, fingerprint: str) -> Columns:
    """Return an agent's summaries under one contract as columns, ordered by what they are known by."""
    decoder = _FORMAT.decoder()
    await connection.copy_from_query(
        STATEMENTS["read_summaries"], agent, fingerprint, output=decoder.feed, format="binary"
    )
    return decoder.columns()


async def fold_chunks(
    connection: Connection, agent: str, fingerprint: str, chunk_ids: list[int], before: datetime
) -> int:
    """Add chunks to the summaries, mark them as folded, and return how many experiences that were.

    What a rollback excluded is marked and not counted.

    Args:
        connection: inside a transaction, which makes both one.
        agent: whose chunks they are.
        fingerprint: their contract.
        chunk_ids: their numbers.
        before: they arrived before this.
    """
    decoder = ArrayDecoder(_CHUNKS)
    await connection.copy_from_query(
        STATEMENTS["read_expired_chunks"], before, agent, chunk_ids, output=decoder.feed, format="binary"
    )
    found = decoder.columns()
    if len(found["state"]) > 0:
        merged = _merged(await read_summaries(connection, agent, fingerprint), found)
        await connection.execute(STATEMENTS["create_incoming_summaries"])
        await connection.copy_to_table(
            "incoming_summaries", source=BytesIO(_FORMAT.encode(merged)), format="binary"
        )
        await connection.execute(STATEMENTS["write_summaries"], agent, fingerprint)
    marked = affected_count(await connection.execute(STATEMENTS["mark_folded"], before, agent, chunk_ids))
    if marked != len(chunk_ids):
        raise StoreError(
            f"{marked} of {len(chunk_ids)} chunks of {agent} were there to be folded: somebody else works on "
            "them. Nothing was changed; run retention again"
        )
    return len(found["state"])


def _merged(stored: Columns, arrived: Columns) -> Columns:
    """Return summaries with transitions added.

    States are numbered anew for the counting, so that it needs no contract and no room for states unseen.
    """
    from qe_core.learning.empirical_mdp import EmpiricalMdp

    states = np.unique(
        np.concatenate([part[name] for part in (stored, arrived) for name in ("state", "next_state")])
    )
    actions = 1 + max(int(part["action"].max(initial=0)) for part in (stored, arrived))
    for part in (stored, arrived):
        for name in ("state", "next_state"):
            part[name] = np.searchsorted(states, part[name])
    truncated = np.zeros(len(arrived["state"]), dtype=np.bool_)
    new = EmpiricalMdp.from_transitions(Transitions(**arrived, truncated=truncated), len(states), actions)
    merged = as_columns(EmpiricalMdp.from_summaries(len(states), actions, **stored).merge(new))
    return {**merged, "state": states[merged["state"]], "next_state": states[merged["next_state"]]}


def as_columns(mdp: "EmpiricalMdp") -> Columns:
    """Return an empirical MDP's columns by the names of the summaries."""
    return {column.name: getattr(mdp, column.name) for column in _FORMAT.columns}
