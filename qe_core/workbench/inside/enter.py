"""The door of the sandbox: isolates itself as far as the kernel allows, then becomes the given command.

Belongs here: namespaces, privileges, resource limits, the deadline and the final sweep. Does not belong here:
what the command does, and which limits it gets; `qe_core.workbench.sandbox` decides that. Run as a script by
a plain interpreter; it imports nothing but the standard library.

Three processes: this one waits; its child is process 1 of a new process namespace, holds the wall-clock
deadline and reports; the grandchild drops every privilege and executes the command. When process 1 ends, the
kernel kills whatever the command left behind. Where the kernel grants no namespaces, a filter of system calls
refuses the network and the final sweep kills what is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_NEW_USER, _NEW_MOUNTS, _NEW_IPC, _NEW_NETWORK, _NEW_PROCESSES = (
    0x10000000,
    0x00020000,
    0x08000000,
    0x40000000,
    0x20000000,
)
_MOUNT_BIND, _MOUNT_RECURSIVE, _MOUNT_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_SET_NO_NEW_PRIVILEGES, _SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 38, 1, 36
_SET_FILTER, _FILTER_MODE = 22, 2
_SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: the kernel's name for it and the number of its system call `socket`."""

_IO_URING_SETUP, _FOREIGN_CALLS = 425, 0x40000000
"""Opens sockets without that call (the same number everywhere); numbers from here are another machine's."""

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_WRITES = 0b1_1111_1111_0010
"""Write-file and every make/remove right of Landlock's first version (bit 0 executes, 2 and 3 read)."""

_LOOK_SECONDS = 0.05
"""How often the command's CPU clock is looked at."""

_SCHEDULED_CPU = 2
"""The kind of a process's CPU clock that the scheduler keeps exactly (see clock_getcpuclockid(3))."""

_TICK_ERROR = 1.5
"""The kernel counts timer ticks for its own CPU limit, a third off on a busy machine: a back-stop only."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: Any) -> bool:
    return bool(getattr(_libc, function)(*arguments) == 0)


def isolate() -> list[str]:
    """What could be isolated: a subset of network, processes, mounts, user; tries the most first."""
    uid, gid = os.getuid(), os.getgid()
    full = _NEW_NETWORK | _NEW_PROCESSES | _NEW_MOUNTS | _NEW_IPC
    user = 0 if uid == 0 else _NEW_USER
    for flags, names in (
        (full | user, ["network", "processes", "mounts"]),
        (_NEW_NETWORK | user, ["network"]),
    ):
        if not _call("unshare", flags):
            continue
        if user:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
            names = [*names, "user"]
        if flags & _NEW_MOUNTS:
            _call("mount", None, b"/", None, _MOUNT_PRIVATE | _MOUNT_RECURSIVE, None)
        return names
    return []


def reveal(paths: list[str]) -> None:
    """Put an empty directory over each private one above the given paths, in which only they are to be seen.

    An interpreter installed in the home directory of root is out of reach for an unprivileged user otherwise,
    and whatever else lies there is hidden by this. Needs the privileges of root and a mount namespace.
    """
    covers: dict[str, list[tuple[str, int]]] = {}
    for path in map(os.path.realpath, paths):
        for above in reversed(Path(path).parents):
            if not above.stat().st_mode & 0o001:
                descriptor = os.open(path, os.O_PATH)
                covers.setdefault(str(above), []).append((path, descriptor))
                break
    for above_name, hidden in covers.items():
        _call("mount", b"tmpfs", above_name.encode(), b"tmpfs", 0, b"mode=755")
        for path, descriptor in hidden:
            os.makedirs(path, exist_ok=True)
            _call("mount", f"/proc/self/fd/{descriptor}".encode(), path.encode(), None, _MOUNT_BIND, None)
            os.close(descriptor)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def restrict_writes(allowed: list[str]) -> bool:
    """Whether the kernel (Landlock, Linux 5.13+) now refuses writing but beneath the allowed paths."""
    attributes = _RulesetAttributes(_LANDLOCK_WRITES)
    ruleset = _libc.syscall(_LANDLOCK_CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    if ruleset < 0:
        return False
    for path in allowed:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _LANDLOCK_WRITES if os.path.isdir(path) else 0b10
        rule = _PathBeneath(rights, descriptor)
        _libc.syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.byref(rule), 0)
        os.close(descriptor)
    restricted = _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return bool(restricted)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_sockets() -> None:
    """Have the kernel refuse every socket but local ones (seccomp(2)), where there is no namespace for it.

    Raises:
        OSError: The kernel has no such filter.
    """
    machine, socket_call = _SYSTEM_CALLS[os.uname().machine]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    allowed, refused = 0x7FFF0000, 0x00050000 | errno.EACCES
    program = (
        (load, 0, 0, 4),
        (equal, 0, 6, machine),
        (load, 0, 0, 0),
        (at_least, 4, 0, _FOREIGN_CALLS),
        (equal, 3, 0, _IO_URING_SETUP),
        (equal, 0, 3, socket_call),
        (load, 0, 0, 16),
        (equal, 1, 0, 1),
        (answer, 0, 0, refused),
        (answer, 0, 0, allowed),
    )
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    if not _call("prctl", _SET_FILTER, _FILTER_MODE, ctypes.byref(_Filter(len(program), instructions)), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel filters no system calls")


def _own_tasks() -> int:
    """How many tasks this user runs now: the kernel counts them all against the limit of processes."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            count += len(os.listdir(process / "task")) if process.stat().st_uid == os.getuid() else 0
    return count


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def become(spec: dict[str, Any], isolation: list[str]) -> None:
    """Drop privileges, take on the limits and execute the command; never returns."""
    os.setpgid(0, 0)
    os.chdir(spec["cwd"])
    if spec["uid"] is not None:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    _call("prctl", _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    restrict_writes([spec["cwd"], "/dev/null"])
    if "sockets" in isolation:
        refuse_sockets()
    if spec["uid"] is None and "user" not in isolation:
        spec["limits"]["RLIMIT_NPROC"] += _own_tasks()
    for what, value in spec["limits"].items():
        _limit(getattr(resource, what), value)
    _limit(resource.RLIMIT_CPU, math.ceil(spec["cpu_seconds"] * _TICK_ERROR) + 1)
    environment = {**spec["env"], "QE_SANDBOX": " ".join(isolation)}
    os.execve(spec["argv"][0], spec["argv"], environment)  # noqa: S606 (a shell is the last thing wanted)


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of a running process by the scheduler's exact account; 0 once it has ended."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULED_CPU)
    except OSError:
        return 0.0


def supervise(spec: dict[str, Any], isolation: list[str]) -> dict[str, Any]:
    """Run the command to its end or its wall-clock deadline; what became of it, with nothing left running."""
    ready, done = os.pipe()
    target = os.fork()
    if target == 0:
        os.close(ready)
        try:
            become(spec, isolation)
        except BaseException as error:
            os.write(done, f"{type(error).__name__}: {error}".encode())
        os._exit(127)
    os.close(done)
    deadline = time.monotonic() + spec["wall_seconds"]
    expired = False

    def look(*_: int | FrameType | None) -> None:
        nonlocal expired
        expired = time.monotonic() > deadline
        if expired or _cpu_seconds(target) >= spec["cpu_seconds"]:
            for end in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    end(target, signal.SIGKILL)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status, usage = os.wait4(-1, 0)
            if pid == target:
                break
    signal.setitimer(signal.ITIMER_REAL, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(target, signal.SIGKILL)
    sweep()
    refusal = os.read(ready, 4096).decode(errors="replace")
    return {
        "isolation": isolation,
        "exit_code": os.waitstatus_to_exitcode(status),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_kilobytes": usage.ru_maxrss,
        "expired": expired,
        "refusal": refusal,
    }


def sweep() -> None:
    """Kill what the command left behind; orphans become children of this process, one generation a round."""
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                # State and parent follow the command's name, which ends with the last bracket.
                if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    os.kill(int(process.name), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def main() -> None:
    """Read the specification from standard input, run it, write what became of it to standard output."""
    _call("prctl", _SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    spec = json.load(sys.stdin)
    report = os.dup(1)
    os.set_inheritable(report, False)
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    isolation = isolate()
    if _libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION) > 0:
        isolation.append("writes")
    if spec["uid"] is not None and "mounts" in isolation:
        reveal(spec["visible"])
    if "network" not in isolation and os.uname().machine in _SYSTEM_CALLS:
        isolation += ["network", "sockets"]
    first = os.fork()
    if first == 0:
        _call("prctl", _SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        _call("prctl", _SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if "processes" in isolation:
            _call("mount", b"proc", b"/proc", b"proc", 0, None)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        outcome = supervise(spec, isolation)
        os.write(report, json.dumps(outcome).encode())
        os._exit(0)
    os.waitpid(first, 0)


if __name__ == "__main__":
    main()
