"""A graph killed at any moment, and run again, ends where an undisturbed one does."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.pipelines.conftest import dump
from tests.pipelines.test_graph import without_clock

MOMENTS = 4
"""How often the graph is killed before it is left alone."""


def test_killing_it_at_random_moments_and_running_again_leads_to_the_same_tables(
    filled_url: str,
    learned_url: str,
    subprocess_environment: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in subprocess_environment(filled_url).items():
        monkeypatch.setenv(name, value)
    from qe_pipelines.materialize import main

    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["qe_pipelines.materialize"])

    def run(seconds: float | None) -> int | None:
        process = processes.Process(target=main, args=(["--tables-only"],))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        return process.exitcode

    assert run(0.0) == -signal.SIGKILL  # starts the server of processes, which imports everything once
    chance, killed = random.Random(7), 0
    progress = []
    for _ in range(MOMENTS):
        killed += run(chance.uniform(2.5, 7.0)) == -signal.SIGKILL
        progress.append(len(dump(filled_url)["q_values"]))
    assert killed >= 2
    assert max(progress) > 0
    # main() ends by returning its code, which a process target does not turn into an exit code.
    assert run(None) == 0
    assert without_clock(filled_url) == without_clock(learned_url)
