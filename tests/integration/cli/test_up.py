"""`qe up` for real: everything answers, one Ctrl-C ends everything, nothing is left."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from qe_core.runtime import processes
from qe_core.runtime.serving import ServingError, require_free_port

STARTING_SECONDS = 200
STOPPING_SECONDS = 60


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def first_line(process: subprocess.Popen[str]) -> str:
    """What it says first, or the end of the test."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return line


@pytest.mark.timeout(600)
def test_one_interrupt_stops_database_web_ui_and_daemon(server_directory, tmp_path, free_port):
    home = server_directory / "home of up"
    environment = {**os.environ, "QE_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "qe_core.cli", "up", "--port", str(free_port)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{free_port}" in first_line(process)
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/server_info", timeout=10) as answer:
            assert answer.status == 200
        family = psutil.Process(process.pid).children(recursive=True)
        commands = [" ".join(child.cmdline()) for child in family]
        assert any("webserver" in command for command in commands), commands
        assert any("daemon" in command for command in commands), commands
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=STOPPING_SECONDS)
        assert process.returncode == 0, complaints
        assert "stopped; nothing is left running" in complaints
        assert time.monotonic() - began < STOPPING_SECONDS
        assert [child for child in family if is_alive(child)] == []
        assert processes_naming(home) == []
    finally:
        if process.poll() is None:  # a failed test must not leave Dagster behind either
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=STOPPING_SECONDS)
        subprocess.run(
            [sys.executable, "-m", "qe_core.cli", "db", "stop"],
            env=environment,
            check=True,
            capture_output=True,
        )


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does anything: one that ended and was not collected by its new parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_naming(home: Path) -> list[str]:
    """Command lines of running processes that mention a directory: PostgreSQL names its data there."""
    lines = (" ".join(item.info["cmdline"] or ()) for item in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(home) in line]


def test_a_taken_port_is_refused_before_anything_starts(qe_here, taken_port):
    outcome = qe_here("up", "--port", str(taken_port))
    assert outcome.returncode == 1
    assert f"port {taken_port} cannot be used (Address already in use)" in outcome.stderr
    assert "stop the program that has it or say --port" in outcome.stderr


def test_a_free_port_is_accepted(free_port):
    require_free_port(free_port)


def test_a_port_in_use_is_an_error_of_serving(taken_port):
    with pytest.raises(ServingError):
        require_free_port(taken_port)


STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "child = 'import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)'\n"
    "subprocess.Popen([sys.executable, '-c', child], start_new_session=True)\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)


async def test_children_that_ignore_interrupts_and_move_away_are_ended_too():
    process = await processes.start([sys.executable, "-c", STUBBORN], "stubborn-test")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    assert len(processes.left_over("stubborn-test")) >= 1
    assert await processes.stop(process, "stubborn-test", polite_seconds=0.5) == []
    assert process.returncode == -signal.SIGKILL
    assert processes.left_over("stubborn-test") == []
