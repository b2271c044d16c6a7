"""The hot path of one process: recording what agents learn and looking up what they know.

What belongs here: queues, caches, and the connections they keep to themselves. What does not: what values
mean (`qe_core.learning`, `qe_core.hierarchy`) and what an agent does with them (`qe_core.runtime`).
"""

from qe_core.store.live.line import Acknowledgement
from qe_core.store.live.live import Live, open_live
from qe_core.store.live.reader import Reader
from qe_core.store.live.reader_settings import DEFAULT_READER, ReadCounters, ReaderSettings
from qe_core.store.live.settings import DEFAULT_LIVE, LiveSettings
from qe_core.store.live.updates import Experience, UpdateBatch
from qe_core.store.live.writer import UpdateWriter, WriterCounters

__all__ = [
    "DEFAULT_LIVE",
    "DEFAULT_READER",
    "Acknowledgement",
    "Experience",
    "Live",
    "LiveSettings",
    "ReadCounters",
    "Reader",
    "ReaderSettings",
    "UpdateBatch",
    "UpdateWriter",
    "WriterCounters",
    "open_live",
]
