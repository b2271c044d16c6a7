"""Child processes that end when we do: in a session of their own, stopped as a group, checked to be gone.

What belongs here: starting, stopping and finding what is left. What does not: what the children do
(`graph`, `serving`).
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")
POLITE_SECONDS = 20.0
"""How long a child may take to stop after an interrupt."""

FORCED_SECONDS = 5.0
"""How long it may take the system to remove killed processes."""

MARK = "QE_PROCESS_GROUP"
"""The variable by which all descendants of a child are recognised, whatever session they moved to."""


async def start(
    command: Sequence[str],
    mark: str,
    variables: Mapping[str, str] | None = None,
    output: int | None = None,
    *,
    is_told: bool = False,
) -> asyncio.subprocess.Process:
    """Return a started child in a session of its own, so that a Ctrl-C reaches it only through us.

    Args:
        command: program and arguments.
        mark: a text no other child has; see `left_over`.
        variables: environment variables on top of our own.
        output: file descriptor for its output, or None for pipes.
        is_told: whether we write to its standard input.
    """
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe if is_told else asyncio.subprocess.DEVNULL,
        stdout=pipe if output is None else output,
        stderr=pipe if output is None else asyncio.subprocess.STDOUT,
        env={**os.environ, **(variables or {}), MARK: mark},
        start_new_session=True,
        limit=2**20,
    )


async def stop(
    process: asyncio.subprocess.Process, mark: str, polite_seconds: float = POLITE_SECONDS
) -> list[int]:
    """Stop a child and everything it started; return the processes that survive even SIGKILL, normally none.

    An interrupt first: Dagster passes that on to its code servers, a termination it does not.
    """
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGINT)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), polite_seconds)
        await _wait_until(lambda: not _is_group_alive(process.pid) and not left_over(mark), 2.0)
    _signal_group(process.pid, signal.SIGKILL)
    for pid in left_over(mark):
        _signal(pid, signal.SIGKILL)
    with suppress(TimeoutError):  # waiting ends only when nobody holds the child's pipes any more
        await asyncio.wait_for(process.wait(), FORCED_SECONDS)
    await _wait_until(lambda: not left_over(mark), FORCED_SECONDS)
    return left_over(mark)


def left_over(mark: str) -> list[int]:
    """Return the processes that descend from the child with this mark, as far as the system tells."""
    wanted = f"{MARK}={mark}".encode()
    return [
        int(entry.name)
        for entry in (PROCESSES.iterdir() if PROCESSES.is_dir() else ())
        if entry.name.isdigit() and wanted in _environment(entry).split(b"\0")
    ]


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""  # it ended meanwhile, or belongs to somebody else


def _is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
