"""Stopping code that does not come back.

Belongs here: the CPU-time guard around one call. Does not belong here: limits of a whole process (the
sandbox).
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class CallTimeoutError(BaseException):
    """The guarded call used up its CPU time; no `Exception`, so that code under test does not catch it."""


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise CallTimeoutError


@contextlib.contextmanager
def cpu_guard(seconds: float) -> Iterator[None]:
    """Raise `CallTimeoutError` in the block once it used this much user CPU time, and every 50 ms after."""
    signal.signal(signal.SIGVTALRM, _expire)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
