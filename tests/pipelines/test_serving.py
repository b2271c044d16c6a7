"""Plain `dagster dev` with the workspace file: it answers, lists the graph, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ANSWER_SECONDS = 180.0
"""A quiet machine answers within 20 s; one that runs other tests beside this may take much longer."""
QUERY = """
{
  shouldShowNux
  assetNodes { assetKey { path } groupName isPartitioned }
  repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { name sensorState { status } } schedules { name scheduleState { status } }
  } } }
}
"""


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(port: int) -> dict[str, list[dict[str, object]]]:
    """Return what the web server answers to the query."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": QUERY}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        content = json.load(response)
    assert "errors" not in content, content
    return content["data"]  # type: ignore[no-any-return]


def test_dagster_dev_answers_and_leaves_no_process(
    learned_url: str, subprocess_environment: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    environment = subprocess_environment(learned_url) | {"QE_TEST_MARK": mark}
    port = free_port()
    log = tmp_path / "dagster.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dagster",
                "dev",
                "-w",
                "workspace.yaml",
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
            ],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
    try:
        data = wait_for_assets(port, process, log)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        left = wait_until_gone(mark)
    assert left == []
    names = {"/".join(node["assetKey"]["path"]): node for node in data["assetNodes"]}  # type: ignore[index]
    assert {
        "experiences", "individual_q_table", "category_q_table/core_testing", "fleet_q_table",
        "convergence_statistics", "replayed_policy", "fleet_report", "views/agent_health",
        "policy_snapshots", "ab_results", "rollout_state", "rollback_events", "views/rollbacks",
    } <= names.keys()  # fmt: skip
    assert names["individual_q_table"]["isPartitioned"]
    assert names["views/agent_health"]["groupName"] == "stage_6_reporting"
    assert data["shouldShowNux"] is False
    [repository] = data["repositoriesOrError"]["nodes"]  # type: ignore[call-overload]
    assert {line["name"]: line["sensorState"]["status"] for line in repository["sensors"]} == {
        "new_experiences": "RUNNING",
        "divergence": "RUNNING",
        "stale_agents": "RUNNING",
        "policy_rollbacks": "RUNNING",
        "alert_deliveries": "RUNNING",
        "run_failures": "RUNNING",
        "run_recoveries": "RUNNING",
    }
    assert {line["name"]: line["scheduleState"]["status"] for line in repository["schedules"]} == {
        "replay_training": "RUNNING",
        "statistics_windows": "RUNNING",
        "weekly_contribution": "RUNNING",
        "daily_team_build": "RUNNING",
        "daily_team_pull": "RUNNING",
        "hourly_snapshots": "RUNNING",
        "staged_rollout": "RUNNING",
        "daily_retention": "RUNNING",
    }


def wait_for_assets(
    port: int, process: subprocess.Popen[bytes], log: Path
) -> dict[str, list[dict[str, object]]]:
    """Return the first answer that lists assets."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if (data := answer(port))["assetNodes"]:
                return data
        except (URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.5)
    pytest.fail(f"no answer within {ANSWER_SECONDS:.0f} s:\n{log.read_text()[-4_000:]}")


def wait_until_gone(mark: str) -> list[str]:
    """Return what still carries the mark in its environment after ten seconds."""

    def marked() -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("QE_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    deadline = time.monotonic() + 10.0
    while (left := marked()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def test_workspace_file_is_valid(
    learned_url: str, subprocess_environment: Callable[[str], dict[str, str]]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env=subprocess_environment(learned_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr
