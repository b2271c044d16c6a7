"""One process at a time.

What belongs here: the file lock around starting and stopping. What does not: locks inside the database.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qe_core.errors import DatabaseUnavailableError

_PAUSE_SECONDS = 0.05


@contextmanager
def exclusive(lock_file: Path, seconds: float) -> Iterator[None]:
    """Hold ``lock_file`` against other processes; the system frees it when the holder dies.

    Args:
        lock_file: created if missing, never removed.
        seconds: how long to wait for another holder.

    Raises:
        DatabaseUnavailableError: another process held it for longer.
    """
    handle = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"another process has been starting or stopping the server for {seconds:g} s; "
                    f"find it with: fuser {lock_file}"
                )
            time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
