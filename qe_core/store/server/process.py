"""The server's process: is it there, is it ours, is it really gone.

What belongs here: reading ``postmaster.pid``, signals and waiting. What does not: files of the cluster
(`cluster`) and the decision to start or stop (`embedded`).
"""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qe_core.store.server.account import Account

_PAUSE_SECONDS = 0.02
_PROC = Path("/proc")
MINIMAL_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""What the server's programs get of the environment: a stray PGPORT or PGDATA must not reach them."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running server as its lock file describes it.

    Attributes:
        pid: process id.
        socket_dir: where its socket is, or None while it is still starting.
    """

    pid: int
    socket_dir: Path | None


def running_postmaster(cluster: Path) -> Postmaster | None:
    """Return the process that serves ``cluster``, or None; a killed one's lock file does not count."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not lines or not lines[0].strip().isdecimal():
        return None
    pid = int(lines[0])
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4].startswith("/") else None
    return Postmaster(pid, socket_dir) if _serves(pid, cluster) else None


def disown_stale_lock(cluster: Path) -> None:
    """Put our own process into a lock file whose process does not serve the cluster.

    A killed server's number may since have been given to another process of the same user, and PostgreSQL
    would take that for a server. It knows that its own parent, us, is none. The file itself must stay: it
    also names the shared memory by which PostgreSQL notices children of the killed server that still run.
    """
    lock_file = cluster / "postmaster.pid"
    if lock_file.exists() and running_postmaster(cluster) is None:
        _, _, rest = lock_file.read_text().partition("\n")
        lock_file.write_text(f"{os.getpid()}\n{rest}")


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not just waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not _PROC.joinpath("self").exists()
    return state not in ("Z", "X")


def launch(program: list[str | Path], account: Account | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program that outlives us, and reap it should it end before we do.

    It gets a session of its own, so that Ctrl-C and a closed terminal do not reach it, and none of our files.

    Args:
        program: command line.
        account: who runs it; None for the present user.
        log: where its output goes.
    """
    process = subprocess.Popen(  # noqa: S603
        program,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=MINIMAL_ENVIRONMENT,
        start_new_session=True,
        umask=0o077,
        **(account.as_process_arguments() if account else {}),
    )
    threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()
    return process


def stop_process(pid: int, seconds: float) -> bool:
    """End a postmaster and wait until it is really gone: fast, then immediate, then by force.

    Args:
        pid: the postmaster.
        seconds: how long each way is given.

    Returns:
        Whether it is gone.
    """
    for sent in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            return True
        if wait_until_gone(pid, seconds):
            return True
    return False


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Return whether the process ended within the time given."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _serves(pid: int, cluster: Path) -> bool:
    if not is_alive(pid):
        return False
    try:
        return (_PROC / str(pid) / "cwd").resolve() == cluster.resolve()
    except OSError:
        # Another user's process cannot be ours; without /proc the lock file is all there is to go by.
        return not _PROC.joinpath("self").exists()
