"""Running a command that may do anything: without network, privileges, or a way to outlive its deadline.

Belongs here: the limits, the private directory and the outcome of one sandboxed command. Does not belong
here: the kernel calls themselves (`inside/enter.py` makes them, in the child) and what the commands are for.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qe_core.errors import WorkbenchError

_FIRST_UID = 61184
"""Start of the range that systemd reserves for users that exist only while a service runs."""

_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandboxed command may use.

    Attributes:
        cpu_seconds: CPU seconds of the command and the children it waited for; killed at that point.
        wall_seconds: Wall-clock seconds until everything is killed.
        memory_bytes: Address space of each process.
        processes: Processes and threads at a time.
        file_bytes: Size of a single file.
        open_files: File descriptors of each process.
    """

    cpu_seconds: float = 8.0
    wall_seconds: float = 45.0
    memory_bytes: int = 2 * 1024**3
    processes: int = 64
    file_bytes: int = 32 * 1024**2
    open_files: int = 256


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sandboxed command.

    Attributes:
        exit_code: Exit code; negative is the signal that ended it.
        cpu_seconds: CPU seconds consumed, children included.
        peak_bytes: Largest resident size of any one process.
        expired: Whether the wall-clock deadline ended it.
        isolation: What the kernel granted: of network, processes, mounts, user, writes; sockets where a
            filter of system calls refuses the network instead of a namespace.
        log: The end of what it printed.
    """

    exit_code: int
    cpu_seconds: float
    peak_bytes: int
    expired: bool
    isolation: tuple[str, ...]
    log: str = field(repr=False)

    @property
    def is_out_of_cpu(self) -> bool:
        """Whether the CPU limit ended it."""
        return self.exit_code in {-signal.SIGPROF, -signal.SIGXCPU, -signal.SIGKILL} and not self.expired


@dataclass(frozen=True, slots=True)
class Scratch:
    """The two directories of one command: `inputs`, which it can read, and `home`, which it owns."""

    inputs: Path
    home: Path

    def write(self, name: str, content: bytes) -> Path:
        """Give the command a file to read; its path."""
        path = self.inputs / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def read(self, name: str) -> bytes | None:
        """A regular file the command left in its home; None if there is none. Links are not followed."""
        try:
            descriptor = os.open(self.home / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()


@contextlib.contextmanager
def scratch(slot: int = 0) -> Iterator[Scratch]:
    """Private directories for one command, its home owned by the user it will run as; removed afterwards."""
    inputs = Path(tempfile.mkdtemp(prefix="qe-sandbox-"))
    inputs.chmod(0o755)
    home = inputs / "home"
    home.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(home, _FIRST_UID + slot, _FIRST_UID + slot)
    try:
        yield Scratch(inputs, home)
    finally:
        shutil.rmtree(inputs, ignore_errors=True)


def run(
    argv: Sequence[str],
    home: Path,
    limits: Limits,
    environment: Mapping[str, str] | None = None,
    slot: int = 0,
    visible: Sequence[Path] = (),
) -> Outcome:
    """Run a command in the sandbox and wait for its end.

    Args:
        argv: The command; the first entry is an absolute path.
        home: Its home and working directory, from `scratch`; the only place it may write.
        limits: What it may use.
        environment: Variables beside the fixed ones; nothing of the caller's environment is passed on.
        slot: Which of the unprivileged users to run as, when the caller is root; one for each parallel
            worker.
        visible: What the command must be able to read besides its interpreter, even if it lies in a private
            directory of root.

    Raises:
        WorkbenchError: If the command could not be started at all.
    """
    with tempfile.TemporaryDirectory(prefix="qe-sandbox-log-") as log_directory:
        log = Path(log_directory) / "output"
        spec = {
            "argv": list(argv),
            "cwd": str(home),
            "visible": [str(Path(argv[0]).parents[1]), sys.base_prefix, *map(str, visible)],
            "log": str(log),
            "uid": _FIRST_UID + slot if os.getuid() == 0 else None,
            "cpu_seconds": limits.cpu_seconds,
            "wall_seconds": limits.wall_seconds,
            "limits": {
                "RLIMIT_AS": limits.memory_bytes,
                "RLIMIT_NPROC": limits.processes,
                "RLIMIT_FSIZE": limits.file_bytes,
                "RLIMIT_NOFILE": limits.open_files,
                "RLIMIT_CORE": 0,
            },
            "env": {
                "HOME": str(home),
                "TMPDIR": str(home),
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "TZ": "UTC",
                "PYTHONHASHSEED": "0",
                **(environment or {}),
            },
        }
        report = _enter(json.dumps(spec), limits.wall_seconds + _GRACE_SECONDS)
        text = log.read_bytes()[-4000:].decode(errors="replace") if log.exists() else ""
    if not report or report["refusal"]:
        reason = report["refusal"] if report else "the sandbox itself was killed"
        raise WorkbenchError(
            f"The sandbox could not run {argv[0]}: {reason}. Check that this user may execute it and, when "
            f"running as root, that every directory above it can be entered by other users."
        )
    return Outcome(
        exit_code=report["exit_code"],
        cpu_seconds=report["cpu_seconds"],
        peak_bytes=report["peak_kilobytes"] * 1024,
        expired=report["expired"],
        isolation=tuple(report["isolation"]),
        log=text,
    )


def _enter(spec: str, timeout: float) -> dict[str, Any] | None:
    door = Path(__file__).parent / "inside" / "enter.py"
    process = subprocess.Popen(  # noqa: S603 (the interpreter and the script are our own)
        [sys.executable, "-I", "-S", str(door)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        output, _ = process.communicate(spec, timeout=timeout)
    except subprocess.TimeoutExpired:
        output = ""
    finally:
        process.kill()
        process.communicate()
    return json.loads(output) if output else None
