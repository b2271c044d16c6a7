"""Worker processes: what goes wrong in one is told, and nothing is left running."""

import asyncio
import multiprocessing

import pytest

from benchmarks.harness import BenchmarkError
from benchmarks.processes import run_together, shares_of


def test_failing_worker_is_reported_with_its_traceback():
    with pytest.raises(BenchmarkError, match="TypeError"):
        run_together(asyncio.sleep, [("not a number",), ("nor this",)], seconds=30.0)
    assert multiprocessing.active_children() == []


def test_shares_add_up_and_differ_by_one_at_most():
    assert shares_of(1_000, 3) == [334, 333, 333]
    assert shares_of(64, 4) == [16] * 4
