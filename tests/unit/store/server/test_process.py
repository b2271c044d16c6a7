"""Recognising the server's process, and choosing who runs it and where its socket goes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.server import account as account_module
from qe_core.store.server.account import Account, can_enter, creating_account, own_name, server_account
from qe_core.store.server.cluster import SOCKET_DIR_LIMIT_BYTES, cluster_version, prepared_socket_dir
from qe_core.store.server.locking import exclusive
from qe_core.store.server.process import is_alive, running_postmaster, stop_process, wait_until_gone


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    """A process that does nothing for a minute."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_killed_process_that_nobody_reaped_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    assert is_alive(sleeper.pid)
    sleeper.kill()
    assert wait_until_gone(sleeper.pid, 5.0)
    sleeper.wait()
    assert not is_alive(sleeper.pid)


def test_stopping_escalates_until_the_process_is_gone() -> None:
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
            "signal.signal(signal.SIGQUIT, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    started = time.monotonic()
    assert stop_process(stubborn.pid, seconds=0.2)
    assert time.monotonic() - started >= 0.4
    stubborn.communicate()
    assert stop_process(stubborn.pid, seconds=0.2), "stopping what is gone already is fine"


def test_waiting_for_a_living_process_ends_in_time(sleeper: subprocess.Popen[bytes]) -> None:
    assert not wait_until_gone(sleeper.pid, 0.05)
    sleeper.kill()
    sleeper.wait()


@pytest.mark.parametrize("content", ["", "not a number\n", "-5\n", f"{2**22 + 1}\n/x\n"])
def test_an_unreadable_or_stale_lock_file_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / "postmaster.pid").write_text(content)
    assert running_postmaster(tmp_path) is None


def test_a_missing_directory_holds_no_server_and_no_cluster(tmp_path: Path) -> None:
    assert running_postmaster(tmp_path / "nowhere") is None
    assert cluster_version(tmp_path / "nowhere") is None


def test_a_process_working_in_the_directory_is_its_server_even_while_starting(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path)
    (tmp_path / "postmaster.pid").write_text(f"{worker.pid}\n{tmp_path}\n1\n5432\n")
    found = running_postmaster(tmp_path)
    worker.kill()
    worker.wait()
    assert found is not None
    assert (found.pid, found.socket_dir) == (worker.pid, None)


def test_only_one_holder_of_a_lock_at_a_time(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock", seconds=1.0),
        pytest.raises(DatabaseUnavailableError, match="another process has been starting"),
        exclusive(tmp_path / "lock", seconds=0.1),
    ):
        pytest.fail("two holders at once")
    with exclusive(tmp_path / "lock", seconds=0.1):
        pass


def test_a_path_is_entered_only_if_every_folder_above_lets_everybody_in(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not can_enter(closed / "file")
    assert can_enter(Path("/usr/bin/env").resolve())
    assert can_enter(Path("/nowhere/at/all"))


def test_root_gets_an_account_nobody_else_uses_and_others_stay_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chosen = server_account(tmp_path / "new")
    assert chosen is not None
    assert chosen.uid in range(60578, 61184)
    owned = server_account(tmp_path)
    assert owned == Account(tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    creator = creating_account()
    assert creator is not None
    assert creator.uid > 0
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account(tmp_path / "new") is None
    assert creating_account() is None


def test_root_on_a_machine_without_users_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account_module.pwd, "getpwall", list)
    with pytest.raises(DatabaseUnavailableError, match="/etc/passwd names nobody else; add a user"):
        creating_account()


def test_a_user_without_a_name_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    with pytest.raises(DatabaseUnavailableError, match="user id 4000000000 has no name in /etc/passwd"):
        own_name()


def test_sockets_stay_inside_unless_the_path_is_too_long_or_odd(tmp_path: Path) -> None:
    short = Path("/tmp") / f"qe-unit-{os.getpid()}"
    short.mkdir()
    try:
        assert prepared_socket_dir(short, None) == short / "socket"
        assert prepared_socket_dir(short, None) == short / "socket", "asking again is harmless"
        (short / "socket").rmdir()
    finally:
        short.rmdir()
    for data_dir in (tmp_path / ("x" * 150), tmp_path / "a,b"):
        elsewhere = prepared_socket_dir(data_dir, None)
        assert len(os.fsencode(elsewhere)) <= SOCKET_DIR_LIMIT_BYTES
        assert elsewhere.stat().st_mode & 0o777 == 0o700
        elsewhere.rmdir()
