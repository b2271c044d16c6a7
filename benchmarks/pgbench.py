"""The yardstick that comes with PostgreSQL: ``pgbench``.

What belongs here: preparing and running it, and checking that it did what it says. What does not: our side.
"""

import re
import subprocess
from pathlib import Path

from benchmarks.harness import BenchmarkError, Measurement
from benchmarks.statements import value_of
from qe_core.store.server.binaries import pg_binaries

SCALE = 50
CLIENTS = 16
THREADS = 4
_PROCESSED = re.compile(r"transactions actually processed: (\d+)")
_FAILED = re.compile(r"failed transactions: (\d+)")
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)


def prepare_pgbench(url: str, scale: int = SCALE) -> None:
    """Create pgbench's tables, 100,000 accounts for each unit of scale."""
    _run("-i", "-q", "-s", str(scale), url)


def run_simple_update(url: str, seconds: int) -> Measurement:
    """Run ``pgbench -N -M prepared``: one account updated, read back, one line of history, committed.

    Returns:
        ``updates_per_second`` and ``latency_ms``; the result says whether every transaction left its trace.
    """
    before = value_of(url, "count_pgbench_history")
    said = _run("-N", "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", str(THREADS), "-T", str(seconds), url)
    processed, failed = int(_found(_PROCESSED, said)), int(_found(_FAILED, said))
    traced = int(value_of(url, "count_pgbench_history")) - int(before)
    is_balanced = bool(value_of(url, "is_pgbench_balanced"))
    return Measurement(
        {"updates_per_second": float(_found(_RATE, said)), "latency_ms": float(_found(_LATENCY, said))},
        (failed, processed - traced, is_balanced),
    )


HONEST = (0, 0, True)
"""The result of a run without failures in which history and balances agree with what it reports."""


def _run(*arguments: str) -> str:
    program = pg_binaries() / "pgbench"
    answer = subprocess.run(  # noqa: S603
        [program, *arguments], check=False, capture_output=True, text=True, cwd=Path("/")
    )
    if answer.returncode != 0:
        raise BenchmarkError(f"pgbench failed: {answer.stderr.strip()[-1000:]}")
    return answer.stdout


def _found(pattern: re.Pattern[str], said: str) -> str:
    match = pattern.search(said)
    if match is None:
        raise BenchmarkError(f"pgbench's answer has no {pattern.pattern!r}: {said}")
    return match[1]
