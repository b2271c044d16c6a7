"""What waits for one table: entries in the order in which they were recorded.

What belongs here: the line's bookkeeping. What does not: connections and retries (`writer`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from qe_core.store.identity import NOBODY, Identity
from qe_core.store.live.flush import Flush
from qe_core.store.live.packing import pack_singles
from qe_core.store.live.updates import Experience, PackedUpdates
from qe_core.store.records import TableHandle


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What was recorded is durable.

    Attributes:
        q_table_id: the table it updated.
        version: the version it raised that table to; the order of all flushes of the table.
        is_repeated: whether the server had it already, because an earlier acknowledgement was lost.
    """

    q_table_id: int
    version: int
    is_repeated: bool


@dataclass(slots=True, eq=False)
class Entry:
    """One call of ``record`` or ``record_many``.

    Attributes:
        content: a single experience, or a packed batch.
        target: TD target of a single experience; unused for batches.
        learning_rate: of a single experience; unused for batches.
        count: updates.
        future: the caller waits for it.
        expires_at: when he stops waiting, on the event loop's clock.
    """

    content: Experience | PackedUpdates
    target: float
    learning_rate: float
    count: int
    future: "asyncio.Future[Acknowledgement]"
    expires_at: float

    @property
    def has_experiences(self) -> bool:
        """Whether the log is to be appended."""
        return isinstance(self.content, Experience) or self.content.experiences is not None

    def settle(self, outcome: Acknowledgement | Exception) -> None:
        """Answer the caller, unless he was answered before or has gone."""
        if self.future.done():
            return
        if isinstance(outcome, Acknowledgement):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


@dataclass(frozen=True, slots=True)
class Sent:
    """A flush on its way.

    Attributes:
        flush: what is sent.
        entries: whom to answer.
    """

    flush: Flush
    entries: tuple[Entry, ...]


class Line:
    """Everything recorded for one table under one epoch and not yet committed.

    Attributes:
        handle: the table.
        waiting: entries not sent, oldest first.
        sent: the flush on its way, if any. While its outcome is unknown nothing overtakes it.
        is_ambiguous: whether a connection was lost while the flush was on its way.
        is_scheduled: whether a worker serves the line or will.
    """

    def __init__(self, handle: TableHandle) -> None:
        self.handle = handle
        self.waiting: deque[Entry] = deque()
        self.sent: Sent | None = None
        self.is_ambiguous = False
        self.is_scheduled = False
        self._alone = 0
        self._singles: dict[int, list[Entry]] = {}
        self._batches: list[Entry] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.waiting and self.sent is None

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.waiting.append(entry)
        if isinstance(entry.content, Experience):
            self._singles.setdefault(entry.content.state, []).append(entry)
        else:
            self._batches.append(entry)

    def forget(self, entries: Sequence[Entry]) -> None:
        """Take entries that were settled out of what is pending."""
        for entry in entries:
            if isinstance(entry.content, Experience):
                of_state = self._singles[entry.content.state]
                of_state.remove(entry)
                if not of_state:
                    del self._singles[entry.content.state]
            else:
                self._batches.remove(entry)

    def pending(self, state: int) -> list[tuple[int, float, float]]:
        """Return (action, target, learning rate) of what is pending for a state, in the order recorded.

        Singles come before batches: a process that mixes both for one state sees an order that is not
        decided before the flush.
        """
        found = [
            (entry.content.action, entry.target, entry.learning_rate)
            for entry in self._singles.get(state, ())
            if isinstance(entry.content, Experience)
        ]
        for entry in self._batches:
            if isinstance(entry.content, PackedUpdates):
                found += entry.content.of_state(state)
        return found

    def send_next(self, batch_limit: int, source: str, identity: Identity = NOBODY) -> Sent:
        """Return the flush to send: the one whose outcome is unknown, else one of the oldest entries.

        Args:
            batch_limit: updates after which no further entry is taken.
            source: what the log names as the origin.
            identity: whose the experiences are.
        """
        if self.sent is None:
            entries = self._take(batch_limit)
            try:
                flush = Flush.compose(uuid4(), self.handle, packed(entries), source, identity)
            except BaseException:
                self.waiting.extendleft(reversed(entries))
                raise
            self.sent = Sent(flush, tuple(entries))
            self.is_ambiguous = False
        return self.sent

    def take_back(self) -> None:
        """Put the entries of a flush that certainly was not applied in front again."""
        if self.sent is not None and not self.is_ambiguous:
            self.waiting.extendleft(reversed(self.sent.entries))
            self.sent = None

    def take_apart(self) -> None:
        """Put the entries of a flush that was refused in front again, to be sent one by one."""
        if self.sent is not None:
            self._alone = len(self.sent.entries)
            self.waiting.extendleft(reversed(self.sent.entries))
            self.sent = None

    def take_waiting(self) -> list[Entry]:
        """Remove and return all entries that are not sent."""
        found = list(self.waiting)
        self.waiting.clear()
        return found

    def expired(self, now: float) -> list[Entry]:
        """Remove and return the waiting entries whose callers have waited long enough."""
        found = []
        while self.waiting and self.waiting[0].expires_at <= now:
            found.append(self.waiting.popleft())
        return found

    def _take(self, batch_limit: int) -> list[Entry]:
        entries = [self.waiting.popleft()]
        if self._alone > 0:
            self._alone -= 1
            return entries
        count, kind = entries[0].count, entries[0].has_experiences
        while self.waiting:
            following = self.waiting[0]
            if count + following.count > batch_limit or following.has_experiences != kind:
                break
            entries.append(self.waiting.popleft())
            count += following.count
        return entries


def packed(entries: Sequence[Entry]) -> list[PackedUpdates]:
    """Return entries as columns, neighbouring singles in one piece, order kept."""
    parts: list[PackedUpdates] = []
    singles: list[Entry] = []
    for entry in entries:
        if isinstance(entry.content, Experience):
            singles.append(entry)
            continue
        if singles:
            parts.append(_pack(singles))
            singles = []
        parts.append(entry.content)
    if singles:
        parts.append(_pack(singles))
    return parts


def _pack(entries: Sequence[Entry]) -> PackedUpdates:
    experiences = [entry.content for entry in entries if isinstance(entry.content, Experience)]
    return pack_singles(
        experiences, [entry.target for entry in entries], [entry.learning_rate for entry in entries]
    )
