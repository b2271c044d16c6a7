"""A disk that can be full: a small file system of a run's own, and a file that takes all of it.

What belongs here: mounting, filling, emptying. What does not: what lies on it (`place`). Only the standard
library is imported: a user namespace can be entered only before there are threads.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SMALL_BYTES = 512 * 1024 * 1024
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC_PRIVATE = 0x4000 | 0x40000
_MNT_DETACH = 2
_BLOCK = 1024 * 1024


def enter_own_mounts() -> str | None:
    """Make mounts of this process and its children private to them; they vanish with the last of them.

    Root needs only a mount namespace. Anybody else needs a user namespace too, which some systems refuse.
    Call it before any thread is started.

    Returns:
        None, or why file systems cannot be mounted here.
    """
    if not sys.platform.startswith("linux"):
        return f"mounting a small file system is done on Linux only, this is {sys.platform}"
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call(libc.unshare, _CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER)
        if uid != 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        _call(libc.mount, None, b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None)
    except OSError as error:
        return f"a small file system cannot be mounted here: {error.strerror}"
    return None


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of `SMALL_BYTES` in memory on a new folder; needs `enter_own_mounts`.

    Raises:
        OSError: the system refuses.
    """
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={SMALL_BYTES},mode=0711".encode()
    _call(libc.mount, b"qe-small", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), options)
    try:
        yield folder
    finally:
        _call(libc.umount2, os.fsencode(folder), _MNT_DETACH)


class FullDisk:
    """A file that takes all the room there is.

    Args:
        folder: in the file system to fill.
    """

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Write until the system says that no space is left; again and again, as others free some."""
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = _BLOCK
            while size:
                try:
                    os.write(file, bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        finally:
            os.close(file)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


def _call(function: Any, *arguments: Any) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
