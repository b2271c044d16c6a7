"""On what the figures were taken: processor, memory, kernel, Python, packages, PostgreSQL and its settings.

What belongs here: reading what the system says about itself. What does not: measuring.
"""

import os
import platform
import sys
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg2

PACKAGES = ("qe-fleet", "asyncpg", "numpy", "numba", "pyarrow", "cpprb", "adbc-driver-postgresql", "torchrl")
SETTINGS = (
    *("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_sync_method"),
    *("data_checksums", "shared_buffers", "max_wal_size", "max_connections", "autovacuum", "jit"),
)
MOUNTS = Path("/proc/mounts")
_GIBIBYTE = 2**30


BUSY_SHARE = 0.25
"""Of the cores: from this load on, other work disturbs what is measured."""


def busyness(load: float, cores: int) -> str:
    """Return a warning where the machine has other work to do, else nothing.

    Args:
        load: processes running or waiting, over the last minute.
        cores: how many there are.
    """
    if load < BUSY_SHARE * cores:
        return ""
    return (
        f"other work kept this machine busy at the start (load {load:.1f} on {cores} cores): "
        "milliseconds are worth little, ratios less than otherwise"
    )


def describe_machine(directory: Path) -> dict[str, Any]:
    """Return what the figures depend on besides the code.

    Args:
        directory: where the data is kept.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIBIBYTE, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "file_system": file_system_of(directory),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def describe_server(url: str) -> dict[str, str]:
    """Return the settings of a server that decide what durable and fast mean."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        found = {}
        for name in SETTINGS:
            cursor.execute("SELECT current_setting(%s)", (name,))
            found[name] = str(cursor.fetchone()[0])
        return found


def file_system_of(directory: Path) -> str:
    """Return the type of the file system a path is on, such as ``ext4``; ``unknown`` without /proc."""
    if not MOUNTS.exists():
        return "unknown"
    place = str(directory.resolve())
    best, found = "", "unknown"
    for line in MOUNTS.read_text(encoding="utf-8").splitlines():
        _, mounted_on, kind = line.split()[:3]
        is_above = place == mounted_on or place.startswith(mounted_on.rstrip("/") + "/")
        if is_above and len(mounted_on) >= len(best):
            best, found = mounted_on, kind
    return found


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
