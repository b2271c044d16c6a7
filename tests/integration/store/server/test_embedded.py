"""Starting, sharing, killing and stopping the embedded PostgreSQL."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.server import EmbeddedServer, database_url, pg_binaries, project_server
from qe_core.store.server import binaries as binaries_module
from qe_core.store.server import embedded as embedded_module
from tests.conftest import THROWAWAY_SETTINGS, execute

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def server(server_directory: Path, request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server of this test's own, not started, stopped afterwards."""
    own = EmbeddedServer(server_directory / request.node.name[:40], settings=THROWAWAY_SETTINGS)
    yield own
    own.stop()
    shutil.rmtree(own.data_dir, ignore_errors=True)


def ask(url: str, question: str) -> str:
    """Return the single value a query answers."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(question)
        return str(cursor.fetchone()[0])


def test_starting_gives_a_url_that_answers(server: EmbeddedServer) -> None:
    server.start()
    assert ask(server.url("postgres"), "SELECT current_user") == "qe"
    assert ask(server.url("postgres"), "SHOW data_checksums") == "on"
    assert ask(server.url("postgres"), "SHOW server_encoding") == "UTF8"
    assert ask(server.url("postgres"), "SELECT datcollate FROM pg_database LIMIT 1") == "C"


def test_a_running_server_is_shared_and_not_started_again(server: EmbeddedServer) -> None:
    url = server.start()
    pid = server.status().pid
    other = EmbeddedServer(server.data_dir)
    assert other.start() == url
    with other:
        assert other.status().pid == pid
    assert server.status().is_running, "whoever did not start it does not stop it"


def test_as_a_context_it_stops_what_it_started(server: EmbeddedServer) -> None:
    with server:
        assert server.status().is_running
    assert not server.status().is_running


def test_status_tells_everything_and_starts_nothing(server: EmbeddedServer) -> None:
    before = server.status()
    assert (before.is_running, before.pid, before.url) == (False, None, None)
    server.start()
    running = server.status()
    assert running.is_running
    assert running.url == server.url()
    assert running.version == before.version
    assert running.log_file.is_file()
    assert server.stop()
    assert not server.stop(), "stopping twice is harmless"
    with pytest.raises(DatabaseUnavailableError, match="is not running; start it first"):
        server.url()


def test_data_survives_stop_and_start(server: EmbeddedServer) -> None:
    server.start()
    execute(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS value")
    server.stop()
    server.start()
    assert ask(server.url("postgres"), "SELECT value FROM kept") == "42"


def test_after_being_killed_it_starts_again_with_what_was_committed(server: EmbeddedServer) -> None:
    server.start()
    execute(server.url("postgres"), "CREATE TABLE kept AS SELECT 42 AS value")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server.start()
    assert server.status().pid != pid
    assert ask(server.url("postgres"), "SELECT value FROM kept") == "42"


def test_a_lock_file_whose_process_id_now_belongs_to_somebody_else_is_stale(server: EmbeddedServer) -> None:
    server.start()
    lock_file = server.data_dir / "cluster" / "postmaster.pid"
    lines = lock_file.read_text().splitlines()
    server.stop()
    lock_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    assert not server.status().is_running
    server.start()
    assert server.status().is_running


def test_a_server_whose_socket_was_swept_away_is_replaced(server: EmbeddedServer) -> None:
    server.start()
    pid = server.status().pid
    for file in (server.data_dir / "socket").iterdir():
        file.unlink()
    (server.data_dir / "socket").rmdir()
    server.start()
    assert server.status().is_running
    assert server.status().pid != pid


def test_processes_starting_at_once_end_up_with_one_server(server: EmbeddedServer) -> None:
    program = (
        "import sys; from pathlib import Path; from qe_core.store.server import EmbeddedServer;"
        "server = EmbeddedServer(Path(sys.argv[1]), settings={'fsync': 'off'});"
        "server.start(); sys.stdout.write(str(server.status().pid))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(server.data_dir)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    pids = {racer.communicate(timeout=90)[0] for racer in racers}
    assert len(pids) == 1
    assert pids == {str(server.status().pid)}, "it outlives the process that started it"


def test_a_killed_start_leaves_nothing_half_made(server: EmbeddedServer) -> None:
    half = server.data_dir / "cluster.half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    server.data_dir.chmod(0o711)
    server.start()
    assert ask(server.url("postgres"), "SELECT 1") == "1"
    assert not half.exists()


@pytest.mark.parametrize(
    "name",
    ["with a space", "x" * 150, "comma, inside", "quote ' and \" quote", "dollar $HOME", "ünïcödé"],
    ids=["space", "150 characters", "comma", "quotes", "dollar", "unicode"],
)
def test_any_directory_name_works(server_directory: Path, name: str) -> None:
    server = EmbeddedServer(server_directory / "names" / name, settings=THROWAWAY_SETTINGS)
    with server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"


def test_only_the_owner_can_connect_and_only_by_the_socket(server: EmbeddedServer) -> None:
    server.start()
    assert ask(server.url("postgres"), "SHOW listen_addresses") == ""
    directory = server.data_dir / "socket"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / ".s.PGSQL.5432").stat().st_mode) == 0o700
    owner = (server.data_dir / "cluster").stat()
    assert (owner.st_uid == os.geteuid()) != IS_ROOT
    assert stat.S_IMODE(owner.st_mode) == 0o700
    rules = (server.data_dir / "cluster" / "pg_hba.conf").read_text().split("\n")
    assert rules == ["local all qe peer map=owner", "local all all scram-sha-256", ""]
    assert pwd.getpwuid(os.geteuid()).pw_name in (server.data_dir / "cluster" / "pg_ident.conf").read_text()


def test_parameters_are_passed_to_the_server(server_directory: Path) -> None:
    settings = {**THROWAWAY_SETTINGS, "work_mem": "7MB", "cluster_name": "it's"}
    with EmbeddedServer(server_directory / "parameters", settings=settings) as server:
        assert ask(server.url("postgres"), "SHOW work_mem") == "7MB"
        assert ask(server.url("postgres"), "SHOW cluster_name") == "it's"


def test_a_stray_environment_does_not_reach_the_server(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PGPORT", "1"), ("PGDATA", "/nowhere"), ("PGHOST", "nowhere"), ("PGUSER", "nobody")):
        monkeypatch.setenv(name, value)
    server.start()
    assert ask(server.url("postgres"), "SHOW port") == "5432"


def test_a_full_server_is_recognised_as_running(server_directory: Path) -> None:
    settings = {**THROWAWAY_SETTINGS, "max_connections": "4", "max_wal_senders": "0"}
    with EmbeddedServer(server_directory / "full", settings=settings) as server:
        sessions = [psycopg2.connect(server.url("postgres")) for _ in range(4)]
        assert server.status().is_running
        assert server.start() == server.url()
        for session in sessions:
            session.close()


def test_a_server_that_hangs_is_not_killed_but_named(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    pid = server.status().pid
    assert pid is not None
    monkeypatch.setattr(embedded_module, "START_SECONDS", 0.3)
    monkeypatch.setattr(EmbeddedServer, "_probe", lambda _self, _found: None)
    with pytest.raises(DatabaseUnavailableError, match=rf"process {pid} serves .* but does not answer"):
        server.start()
    monkeypatch.undo()
    assert server.status().pid == pid


def test_a_place_that_cannot_be_written_is_named(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded_module, "create_cluster", full_disk)
    with pytest.raises(
        DatabaseUnavailableError, match=r"cannot be prepared in .*No space left on device; set QE_HOME"
    ):
        server.start()


def test_another_users_data_is_not_touched(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.data_dir.mkdir(mode=0o711)
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    for refused in (server.start, server.stop, server.status, server.url):
        with pytest.raises(DatabaseUnavailableError, match="belongs to another user; work as that user"):
            refused()
    monkeypatch.undo()


def test_a_server_that_does_not_start_says_why(server_directory: Path) -> None:
    broken = EmbeddedServer(
        server_directory / "broken", settings={"shared_buffers": "banana", "fsync": "off"}
    )
    with pytest.raises(DatabaseUnavailableError, match=r'(?s)log ends with.*"shared_buffers": "banana"'):
        broken.start()


def test_a_cluster_of_a_version_that_is_not_shipped_says_what_to_do(server: EmbeddedServer) -> None:
    cluster = server.data_dir / "cluster"
    cluster.mkdir(parents=True)
    if IS_ROOT:
        os.chown(cluster, 60578, 60578)
    (cluster / "PG_VERSION").write_text("13\n")
    with pytest.raises(DatabaseUnavailableError, match="created by PostgreSQL 13, which does not come with"):
        server.start()


def test_a_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnavailableError, match="set QE_HOME to a directory you may write to"):
        EmbeddedServer(tmp_path / "file" / "postgres").start()


def test_somebody_elses_socket_directory_is_not_used(server: EmbeddedServer) -> None:
    server.data_dir.mkdir(parents=True, mode=0o711)
    (server.data_dir / "socket").write_text("planted")
    with pytest.raises(DatabaseUnavailableError, match="should be a private directory of user id"):
        server.start()
    (server.data_dir / "socket").unlink()


def test_a_version_that_is_not_in_the_wheel_is_refused() -> None:
    with pytest.raises(
        DatabaseUnavailableError, match="PostgreSQL 12 does not come with the product, only 18, 16"
    ):
        pg_binaries(12)


def test_programs_in_a_private_place_are_copied_once_and_run_from_there(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = server_directory / "shared"
    monkeypatch.setattr(binaries_module, "can_enter", lambda _path: False)
    account = binaries_module.Account(os.geteuid(), os.getegid())
    copied = binaries_module.usable_binaries(18, account, shared)
    assert copied.is_relative_to(shared)
    before = (copied / "postgres").stat().st_ino
    assert binaries_module.usable_binaries(18, account, shared) == copied
    assert (copied / "postgres").stat().st_ino == before
    assert binaries_module.usable_binaries(18, None, shared) == pg_binaries(18)
    for program in ("postgres", "initdb", "pg_dump"):
        answer = subprocess.run([copied / program, "--version"], capture_output=True, text=True, check=True)
        assert binaries_module.full_version(pg_binaries(18)) in answer.stdout
    with EmbeddedServer(
        server_directory / "copied", settings=THROWAWAY_SETTINGS, shared_dir=shared
    ) as server:
        assert ask(server.url("postgres"), "SELECT 1") == "1"


def test_below_a_private_home_root_keeps_the_data_where_the_server_can_reach_it(
    tmp_path: Path, server_directory: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = project_server(private / ".qe", server_directory / "elsewhere")
    is_elsewhere = server.data_dir.is_relative_to(server_directory / "elsewhere")
    assert is_elsewhere == IS_ROOT
    assert server.data_dir == project_server(private / ".qe", server_directory / "elsewhere").data_dir
    assert stat.S_IMODE(private.stat().st_mode) == 0o700, "nobody's home is opened"


def test_a_data_directory_out_of_the_accounts_reach_is_refused_for_root_only(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedServer(private / "postgres", settings=THROWAWAY_SETTINGS)
    if IS_ROOT:
        with pytest.raises(DatabaseUnavailableError, match="set QE_HOME to a directory everybody may enter"):
            server.start()
    else:
        with server:
            assert server.status().is_running


def test_an_ordinary_user_runs_the_server_as_himself(server_directory: Path) -> None:
    home = server_directory / "ordinary"
    home.mkdir()
    user = pwd.getpwnam("nobody") if IS_ROOT else pwd.getpwuid(os.geteuid())
    if IS_ROOT:
        os.chown(home, user.pw_uid, user.pw_gid)
    # Before privileges are dropped, everything is imported and PostgreSQL's programs are put within reach:
    # the environment itself may live in a private home.
    program = (
        "import os, sys; from pathlib import Path; from qe_core.store.server import EmbeddedServer;"
        "from qe_core.store.server import account, binaries, embedded;"
        "uid, gid = int(sys.argv[2]), int(sys.argv[3]);"
        "shared = Path(sys.argv[1]).parent / 'programs';"
        "programs = binaries.usable_binaries(18, account.creating_account(), shared);"
        "binaries.pg_binaries = embedded.pg_binaries = lambda *_: programs;"
        "os.geteuid() == uid or (os.setgroups([]), os.setgid(gid), os.setuid(uid));"
        "server = EmbeddedServer(Path(sys.argv[1]) / 'postgres', settings={'fsync': 'off'});"
        "server.start(); owner = (server.data_dir / 'cluster').stat().st_uid;"
        "print(server.status().is_running, owner == uid, server.stop())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(home), str(user.pw_uid), str(user.pw_gid)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["True", "True", "True"]


def test_the_configured_url_wins_over_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QE_DATABASE_URL", "postgres://me:secret@db.example:5433/product?sslmode=require")
    assert database_url() == "postgresql://me:secret@db.example:5433/product?sslmode=require"
    assert database_url("qe_dagster") == "postgresql://me:secret@db.example:5433/qe_dagster?sslmode=require"


def test_without_a_configured_url_the_projects_server_is_started(
    server_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_HOME", str(server_directory / "home"))
    try:
        url = database_url("postgres")
        assert ask(url, "SELECT 1") == "1"
        assert project_server().status().is_running
    finally:
        project_server().stop()


def test_a_strict_umask_does_not_lock_the_server_out(server_directory: Path) -> None:
    before = os.umask(0o077)
    try:
        with EmbeddedServer(
            server_directory / "strict" / ".qe" / "postgres", settings=THROWAWAY_SETTINGS
        ) as server:
            assert server.status().is_running
    finally:
        os.umask(before)
