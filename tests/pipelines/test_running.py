"""The programs the command line starts: what they print, and how they end."""

import json
import subprocess
import sys
from collections.abc import Callable

import dagster as dg
import numpy as np
import pytest

from qe_core.errors import UnknownAgentError
from qe_core.fleet import registry
from qe_core.store import AgentStatus, TableSummary
from qe_pipelines.partitions import AGENTS, agent_ranges
from qe_pipelines.pictures import moving_mean


def test_roster_is_cut_into_the_fewest_ranges() -> None:
    roster = registry().names()
    assert agent_ranges(roster) == [(roster[0], roster[-1])]
    assert agent_ranges([roster[3], roster[1], roster[2]]) == [(roster[1], roster[3])]
    assert agent_ranges([roster[0], roster[2]]) == [(roster[0], roster[0]), (roster[2], roster[2])]
    assert agent_ranges([]) == []
    assert tuple(AGENTS.get_partition_keys()) == roster


def test_unknown_agent_is_named_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownAgentError, match=r"'test-generater'.*test-generator"):
        agent_ranges(["test-generater"])


def test_unknown_agent_ends_the_program_with_one_message(
    learned_url: str, subprocess_environment: Callable[[str], dict[str, str]]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qe_pipelines.materialize", "--agent", "test-generater"],
        env=subprocess_environment(learned_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [message] = [json.loads(line) for line in done.stdout.splitlines()]
    assert "test-generator" in message["error"]


def test_only_messages_reach_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    from qe_pipelines.running import messages_on_stdout

    with messages_on_stdout() as say:
        say({"step": "first"})
        subprocess.run([sys.executable, "-c", "print('noise of a child')"], check=True)
        print("noise of our own")  # noqa: T201 - what is tested
    print("afterwards")  # noqa: T201 - what is tested
    written = capfd.readouterr()
    assert written.out == '{"step": "first"}\nafterwards\n'
    assert "noise of a child" in written.err
    assert "noise of our own" in written.err


def test_run_of_a_process_that_is_gone_is_closed_and_others_are_not(
    quick_instance: dg.DagsterInstance,
) -> None:
    import os
    import socket

    from qe_pipelines.running import HOST_TAG, PROCESS_TAG, close_abandoned_runs, process_identity

    @dg.job
    def idle() -> None:
        pass

    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    def start(host: str, process: str) -> str:
        tags = {HOST_TAG: host, PROCESS_TAG: process}
        run = quick_instance.create_run_for_job(idle, tags=tags, status=dg.DagsterRunStatus.STARTED)
        return run.run_id

    gone = start(socket.gethostname(), str(child.pid))
    number_used_again = start(socket.gethostname(), f"{os.getpid()} 1")
    start(socket.gethostname(), str(os.getpid()))
    start(socket.gethostname(), process_identity())
    start("another-machine", str(child.pid))
    assert set(close_abandoned_runs(quick_instance)) == {gone, number_used_again}
    closed = quick_instance.get_run_by_id(gone)
    assert closed is not None
    assert closed.status is dg.DagsterRunStatus.FAILURE


def test_moving_mean_looks_back_and_never_ahead() -> None:
    assert moving_mean(np.array([2.0, 4.0, 6.0, 100.0]), span=2) == [2.0, 3.0, 5.0, 53.0]


def test_report_lists_agents_and_tables(definitions: dg.Definitions) -> None:
    from datetime import UTC, datetime

    from qe_pipelines.defs.reporting.report import agent_table, q_table_table

    now = datetime(2026, 11, 1, tzinfo=UTC)
    agents = agent_table([AgentStatus("quality-gate", 1_200, 60, 1_200, 80, "learning", now)])
    assert agents.splitlines()[-1] == "| quality-gate | 60 | 1,200 | 1,200 | 80 | learning |"
    tables = q_table_table([TableSummary("fleet", "fleet", "f", 3, 18, 1_200, now, 2, 1)])
    assert tables.splitlines()[-1] == "| fleet | fleet | 18 | 1,200 | 3 | 2 | 1 |"
