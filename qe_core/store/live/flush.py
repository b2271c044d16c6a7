"""One flush: everything that goes to one table in one transaction, as the bytes of one row.

What belongs here: composing updates and the layout of ``flush_inbox``. What does not: when to flush
(`writer`) and what the server does with it (``take_flush`` in the migrations).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

import numpy as np

from qe_core.learning.affine_updates import AffineUpdates
from qe_core.store.array_wire import (
    NULL,
    array_field,
    copy_stream,
    int_field,
    text_array_field,
    text_field,
    time_field,
    uuid_field,
)
from qe_core.store.identity import NOBODY, Identity
from qe_core.store.live.packing import pack_singles
from qe_core.store.live.updates import Experience, PackedExperiences, PackedUpdates
from qe_core.store.records import TableHandle

INBOX = "flush_inbox"
_EXPERIENCE_ARRAYS = (
    ("occurred_at", "timestamptz"),
    ("episode", "text"),
    ("step", "int4"),
    ("state", "int8"),
    ("action", "int2"),
    ("reward", "float8"),
    ("next_state", "int8"),
    ("terminated", "bool"),
    ("truncated", "bool"),
    ("propensity", "float8"),
    ("exploration_rate", "float8"),
    ("success", "int2"),
    ("policy_version", "int8"),
)
_EXPERIENCE_FIELDS = 6 + len(_EXPERIENCE_ARRAYS)


@dataclass(frozen=True, slots=True)
class Flush:
    """A flush, ready to be sent any number of times: it is applied once.

    Attributes:
        flush_id: by which the server knows it.
        handle: the table, and the epoch to write under.
        updates: composed per (state, action).
        count: updates before composing.
        stream: a COPY stream of one row for ``flush_inbox``.
    """

    flush_id: UUID
    handle: TableHandle
    updates: AffineUpdates
    count: int
    stream: bytes

    @classmethod
    def compose(
        cls,
        flush_id: UUID,
        handle: TableHandle,
        parts: Sequence[PackedUpdates],
        source: str,
        identity: Identity = NOBODY,
    ) -> Self:
        """Return the flush of these updates, in the order given.

        Args:
            flush_id: chosen anew for every flush, kept when it is sent again.
            handle: the table of all parts.
            parts: at least one; all with experiences or all without.
            source: what the log names as the origin of the experiences.
            identity: whose the experiences are.
        """
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("state", "action", "target", "learning_rate")
        ]
        updates = AffineUpdates.from_targets(*columns)
        experiences = [part.experiences for part in parts if part.experiences is not None]
        fields = [
            uuid_field(flush_id),
            int_field("int4", handle.q_table_id),
            int_field("int8", handle.epoch),
            int_field("int4", handle.action_count),
            *_update_fields(updates, handle.action_count),
            *_experience_fields(handle, PackedExperiences.join(experiences) if experiences else None, source),
            text_field(identity.developer),
            text_field(identity.project),
        ]
        return cls(flush_id, handle, updates, len(columns[0]), copy_stream([fields]))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the stream, as the driver wants it."""
        yield self.stream


def warm_up() -> None:
    """Compose a flush that nobody sends, so that everything composing needs is loaded."""
    handle = TableHandle(0, "individual", "nobody", "none", 1, ("nothing",), 0, 0, None)
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    nothing = Experience(moment, "none", 0, 0, 0, 0.0, 0, False, False, 1.0)
    Flush.compose(UUID(int=0), handle, [pack_singles([nothing], [0.0], [0.0])], "none")


def _update_fields(updates: AffineUpdates, action_count: int) -> list[bytes]:
    """Return updated_state … target_m2: one row of actions for every state that any update touches."""
    state, row = np.unique(updates.state, return_inverse=True)
    cells = row * action_count + updates.action
    fields = [array_field("int8", state)]
    for kind, values, rest in (
        ("float8", updates.scale, 1.0),
        ("float8", updates.offset, 0.0),
        ("int8", updates.count, 0),
        ("float8", updates.target_mean, 0.0),
        ("float8", updates.target_m2, 0.0),
    ):
        dense = np.full(len(state) * action_count, rest, dtype=values.dtype)
        dense[cells] = values
        fields.append(array_field(kind, dense))
    return fields


def _experience_fields(
    handle: TableHandle, experiences: PackedExperiences | None, source: str
) -> list[bytes]:
    """Return agent … policy_version."""
    if experiences is None:
        fields = [NULL] * _EXPERIENCE_FIELDS
        fields[3] = int_field("int4", 0)
        return fields
    fields = [text_field(handle.name), text_field(handle.fingerprint), text_field(source)]
    fields.append(int_field("int4", len(experiences)))
    times = experiences.occurred_at
    fields += [time_field(int(times.min())), time_field(int(times.max()))]
    for name, kind in _EXPERIENCE_ARRAYS:
        column = getattr(experiences, name)
        fields.append(text_array_field(column) if kind == "text" else array_field(kind, column))
    return fields
