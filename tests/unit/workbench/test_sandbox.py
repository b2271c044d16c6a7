"""Hostile code in the sandbox: it gets nowhere and leaves nothing behind."""

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from qe_core.errors import WorkbenchError
from qe_core.workbench import sandbox
from qe_core.workbench.sandbox import Limits, Outcome, Scratch

SLOT = 40
LIMITS = Limits(cpu_seconds=2.0, wall_seconds=20.0, memory_bytes=512 * 1024**2)


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with sandbox.scratch(SLOT) as directories:
        yield directories


def run(scratch: Scratch, code: str, limits: Limits = LIMITS) -> Outcome:
    return sandbox.run([sys.executable, "-c", code], scratch.home, limits, slot=SLOT)


def test_harmless_command_runs_and_its_result_can_be_read(scratch: Scratch) -> None:
    scratch.write("question", b"6 7")
    question = str(scratch.inputs / "question")
    code = f"a, b = open({question!r}).read().split(); open('answer', 'w').write(str(int(a) * int(b)))"
    outcome = run(scratch, code)
    assert (outcome.exit_code, outcome.expired) == (0, False)
    assert 0 < outcome.cpu_seconds < 2
    assert scratch.read("answer") == b"42"


def test_endless_loop_ends_at_the_cpu_limit(scratch: Scratch) -> None:
    outcome = run(scratch, "while True: pass", Limits(cpu_seconds=0.5, wall_seconds=20.0))
    assert outcome.is_out_of_cpu
    assert outcome.cpu_seconds == pytest.approx(0.5, abs=0.25)


def test_sleeper_ends_at_the_wall_clock_limit(scratch: Scratch) -> None:
    outcome = run(scratch, "import time; time.sleep(600)", Limits(wall_seconds=1.0))
    assert outcome.expired
    assert not outcome.is_out_of_cpu


def test_memory_is_limited(scratch: Scratch) -> None:
    outcome = run(scratch, "bytearray(2 * 1024**3)")
    assert outcome.exit_code == 1
    assert "MemoryError" in outcome.log


def test_fork_bomb_is_contained_and_cleared_away(scratch: Scratch) -> None:
    token = secrets.token_hex(8)
    code = f"""
import os, time
token = {token!r}
for _ in range(10_000):
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError:
        print("no more processes", flush=True)
        break
"""
    outcome = run(scratch, code, Limits(processes=16, wall_seconds=20.0))
    assert "no more processes" in outcome.log
    assert leftovers(token) == []


def test_daemon_does_not_outlive_its_parent(scratch: Scratch) -> None:
    token = secrets.token_hex(8)
    code = f"""
import os, time
token = {token!r}
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
"""
    assert run(scratch, code).exit_code == 0
    assert leftovers(token) == []


def leftovers(token: str) -> list[int]:
    """Processes that still run the code with this token; they get a moment to be gone."""
    for _ in range(20):
        found = [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if any(token in argument for argument in process.info["cmdline"] or ())
        ]
        if not found:
            break
        time.sleep(0.1)
    return found


def test_loopback_service_cannot_be_reached(scratch: Scratch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        outcome = run(scratch, f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)")
    assert "network" in outcome.isolation
    assert outcome.exit_code == 1


def test_nothing_can_be_written_outside(scratch: Scratch, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    target = tmp_path / "outside"
    outcome = run(scratch, f"open({str(target)!r}, 'w').write('x')")
    assert outcome.exit_code == 1
    assert not target.exists()


def test_inputs_can_be_read_but_not_changed(scratch: Scratch) -> None:
    path = scratch.write("input", b"before")
    assert run(scratch, f"open({str(path)!r}, 'w').write('after')").exit_code == 1
    assert path.read_bytes() == b"before"


def test_link_left_in_place_of_a_result_is_not_followed(scratch: Scratch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    assert run(scratch, f"import os; os.symlink({str(secret)!r}, 'answer')").exit_code == 0
    assert scratch.read("answer") is None


def test_files_cannot_grow_beyond_the_limit(scratch: Scratch) -> None:
    outcome = run(scratch, "open('big', 'wb').write(bytes(2_000_000))", Limits(file_bytes=1_000_000))
    assert outcome.exit_code != 0
    assert (scratch.home / "big").stat().st_size <= 1_000_000


def test_privileges_are_gone_for_good(scratch: Scratch) -> None:
    code = """
import os
assert os.getuid() != 0 or "user" in os.environ["QE_SANDBOX"], os.getuid()
assert os.getgroups() in ([], [os.getgid()]) or "user" in os.environ["QE_SANDBOX"], os.getgroups()
try:
    os.setuid(0)
except OSError:
    print("refused")
"""
    outcome = run(scratch, code)
    assert outcome.exit_code == 0, outcome.log
    assert "refused" in outcome.log


def test_environment_of_the_caller_is_not_passed_on(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    outcome = run(scratch, "import os; print(sorted(os.environ), os.environ['HOME'], os.getcwd())")
    assert "SOME_TOKEN" not in outcome.log
    assert outcome.log.count(str(scratch.home)) == 2


def test_scratch_directories_are_removed() -> None:
    with sandbox.scratch(SLOT) as directories:
        run(directories, "open('file', 'w').write('x')")
    assert not directories.inputs.exists()


def test_command_that_does_not_exist_is_a_workbench_error(scratch: Scratch) -> None:
    with pytest.raises(WorkbenchError, match="could not run /nowhere/python"):
        sandbox.run(["/nowhere/python"], scratch.home, LIMITS, slot=SLOT)


def test_running_as_root_uses_a_user_of_its_own(scratch: Scratch) -> None:
    owner = scratch.home.stat().st_uid
    outcome = run(scratch, "import os; print(os.getuid())")
    assert outcome.log.strip() == str(owner)
    assert owner == (os.getuid() or 61184 + SLOT)
