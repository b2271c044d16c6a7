"""A graph killed at any moment, and run again, ends where an undisturbed one does."""

import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable

import dagster as dg

from qe_pipelines.automation import UNFINISHED
from tests.pipelines.conftest import run_sql
from tests.pipelines.test_graph import without_clock

PROGRESS = """
SELECT (SELECT count(*) FROM q_tables WHERE version > 0)
    + (SELECT count(DISTINCT agent) FROM learning_stats)
"""
"""How many tables and agents' statistics are there: at the end 24 and 18."""

PATIENCE_SECONDS = 120.0


def materialize_tables(environment: dict[str, str]) -> None:
    """Run the program; its environment is given, because a fork server keeps the one it began with."""
    os.environ.update(environment)
    from qe_pipelines.materialize import main

    sys.exit(main(["--tables-only"]))


def test_killing_it_at_random_moments_and_running_again_leads_to_the_same_tables(
    filled_url: str,
    learned_url: str,
    instance: dg.DagsterInstance,
    subprocess_environment: Callable[[str], dict[str, str]],
) -> None:
    from qe_pipelines.running import HOST_TAG

    environment = subprocess_environment(filled_url)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["qe_pipelines.materialize"])

    def run_until(progress: int) -> int | None:
        """Kill the program as soon as there is so much progress; returns how it ended."""
        process = processes.Process(target=materialize_tables, args=(environment,))
        process.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while process.exitcode is None and run_sql(filled_url, PROGRESS)[0][0] < progress:
            assert time.monotonic() < deadline
            process.join(0.02)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        return process.exitcode

    chance = random.Random(7)
    moments = [chance.randint(*between) for between in ((1, 12), (14, 23), (26, 40))]
    for moment in moments:
        assert run_until(moment) == -signal.SIGKILL
        assert run_sql(filled_url, PROGRESS)[0][0] >= moment
    assert run_until(10_000) == 0
    assert without_clock(filled_url) == without_clock(learned_url)

    here = {HOST_TAG: socket.gethostname()}  # others of the same name wait for a daemon that does not run
    statuses = [run.status for run in instance.get_runs(dg.RunsFilter(job_name="learn", tags=here))]
    assert statuses.count(dg.DagsterRunStatus.FAILURE) >= len(moments)
    assert not set(statuses) & set(UNFINISHED)
