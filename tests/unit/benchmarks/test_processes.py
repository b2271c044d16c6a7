"""Worker processes: what goes wrong in one is told, and nothing is left running."""

import asyncio
import multiprocessing

import pytest

from benchmarks.harness import BenchmarkError
from benchmarks.processes import run_together


def test_failing_worker_is_reported_with_its_traceback():
    with pytest.raises(BenchmarkError, match="TypeError"):
        run_together(asyncio.sleep, [("not a number",), ("nor this",)], seconds=30.0)
    assert multiprocessing.active_children() == []
