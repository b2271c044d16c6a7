"""The embedded server: PostgreSQL from the wheel's programs, behind a private socket.

What belongs here: start, stop, status of one data directory. What does not: where the project's data
directory is (`project`), the files in it (`cluster`) and the process (`process`).
"""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg2

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.server.account import Account, can_enter, make_open_folder, server_account
from qe_core.store.server.binaries import (
    DEFAULT_VERSION,
    VERSIONS,
    full_version,
    pg_binaries,
    usable_binaries,
)
from qe_core.store.server.cluster import (
    ROLE,
    cluster_version,
    create_cluster,
    prepared_socket_dir,
    write_configuration,
)
from qe_core.store.server.locking import exclusive
from qe_core.store.server.process import (
    Postmaster,
    disown_stale_lock,
    is_alive,
    launch,
    running_postmaster,
    stop_process,
)
from qe_core.store.statements import STATEMENTS
from qe_core.store.urls import socket_url

PRODUCT_DATABASE = "qe"
SHARED_DIR = Path("/var/lib/qe-fleet")
"""Where root keeps what the server's account must reach when the project's own place is private."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_PAUSE_SECONDS = 0.02
_LOG_LIMIT_BYTES = 10_000_000
_TAIL_CHARACTERS = 1_500
_FULL = ("too many clients", "remaining connection slots")
"""What a server says that works but has no connection left."""

_STILL_DYING = ("is still in use", "already exists", "is already in use")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Whether a server runs and where.

    Attributes:
        is_running: whether it answers a query.
        data_dir: where it keeps everything.
        log_file: what it said.
        pid: of its process, or None when there is none.
        version: for example ``18.4``: of the running server, or of the one that would be started.
        url: of the product's database, or None when not running.
    """

    is_running: bool
    data_dir: Path
    log_file: Path
    pid: int | None
    version: str
    url: str | None


class EmbeddedServer:
    """One data directory and the server over it; any number of processes may share it.

    As a context manager it starts the server and, if it was this object that started it, stops it at the end.

    Args:
        data_dir: where everything is kept: cluster, socket, log, lock.
        version: major version for a new cluster; an existing one keeps the version it was created by.
        settings: PostgreSQL parameters on top of the defaults, used when the server is started.
        shared_dir: where root puts a copy of the programs if the server's account cannot reach them.
    """

    def __init__(
        self,
        data_dir: Path,
        version: int = DEFAULT_VERSION,
        settings: Mapping[str, str] | None = None,
        shared_dir: Path = SHARED_DIR,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._version = version
        self._settings = dict(settings or {})
        self._shared_dir = shared_dir
        self._cluster = self.data_dir / "cluster"
        self._is_started_here = False

    @property
    def log_file(self) -> Path:
        """Where the server's messages are."""
        return self.data_dir / "server.log"

    def start(self) -> str:
        """Return the URL of the product's database, after starting the server unless it runs already.

        Raises:
            DatabaseUnavailableError: it cannot be created or does not answer in time; the message ends with
                the last lines of its log.
        """
        self._ensure_started()
        return self.url()

    def stop(self) -> bool:
        """Stop the server, letting transactions that are committing finish; return whether it was running.

        Raises:
            DatabaseUnavailableError: its process cannot be ended.
        """
        self._require_access()
        if not self._cluster.exists():
            return False
        with self._lock():
            found = running_postmaster(self._cluster)
            if found is None:
                return False
            if not stop_process(found.pid, STOP_SECONDS):
                raise DatabaseUnavailableError(
                    f"the server's process {found.pid} does not end; look into {self.log_file}"
                )
            if found.socket_dir is not None and not found.socket_dir.is_relative_to(self.data_dir):
                with suppress(OSError):
                    found.socket_dir.rmdir()
            return True

    def status(self) -> ServerStatus:
        """Return whether the server runs and where; never starts anything."""
        self._require_access()
        found = running_postmaster(self._cluster)
        answer = None if found is None else self._probe(found)
        return ServerStatus(
            is_running=answer is not None,
            data_dir=self.data_dir,
            log_file=self.log_file,
            pid=found.pid if found else None,
            version=answer or full_version(pg_binaries(self._cluster_version())),
            url=self.url() if answer is not None else None,
        )

    def url(self, database: str = PRODUCT_DATABASE) -> str:
        """Return the URL of one of the running server's databases.

        Raises:
            DatabaseUnavailableError: the server is not running.
        """
        self._require_access()
        found = running_postmaster(self._cluster)
        if found is None or found.socket_dir is None:
            raise DatabaseUnavailableError(
                f"the embedded PostgreSQL in {self.data_dir} is not running; start it first"
            )
        return socket_url(found.socket_dir, ROLE, database)

    def __enter__(self) -> Self:
        self._is_started_here = self._ensure_started()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_started_here:
            self.stop()

    def _lock(self) -> AbstractContextManager[None]:
        return exclusive(self.data_dir / "start.lock", START_SECONDS + 3 * STOP_SECONDS)

    def _cluster_version(self) -> int:
        found = cluster_version(self._cluster)
        if found is not None and found not in VERSIONS:
            raise DatabaseUnavailableError(
                f"{self._cluster} was created by PostgreSQL {found}, which does not come with this product; "
                "dump it with that version and restore it into a new one, or set QE_HOME elsewhere"
            )
        return found or self._version

    def _ensure_started(self) -> bool:
        self._make_data_dir()
        with self._lock():
            found = running_postmaster(self._cluster)
            if found is not None and self._wait_for_answer(found.pid):
                return False
            # It may have ended while we waited, as a killed one does.
            found = running_postmaster(self._cluster)
            if found is not None and not self._has_lost_socket():
                raise DatabaseUnavailableError(
                    f"process {found.pid} serves {self.data_dir} but does not answer within "
                    f"{START_SECONDS:g} s; it may be recovering, see {self.log_file}, or end it: qe db stop"
                )
            if found is not None:
                stop_process(found.pid, STOP_SECONDS)
            try:
                self._launch_until_answering()
            except OSError as error:
                raise DatabaseUnavailableError(
                    f"PostgreSQL cannot be prepared in {self.data_dir}: {error}; set QE_HOME to another "
                    "directory, or QE_DATABASE_URL to a server of your own"
                ) from error
            return True

    def _require_access(self) -> None:
        if self.data_dir.exists() and not os.access(self.data_dir, os.R_OK | os.W_OK | os.X_OK):
            raise DatabaseUnavailableError(
                f"{self.data_dir} belongs to another user; work as that user, or set QE_HOME to a directory "
                "of "
                "your own"
            )

    def _make_data_dir(self) -> None:
        self._require_access()
        account = server_account(self._cluster)
        try:
            if account is None:
                self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            else:
                make_open_folder(self.data_dir)
        except OSError as error:
            raise DatabaseUnavailableError(
                f"{self.data_dir} cannot be created: {error.strerror}; set QE_HOME to a directory you may "
                "write to"
            ) from None
        if account is not None and not can_enter(self._cluster):
            raise DatabaseUnavailableError(
                "run by root, PostgreSQL needs an account of its own, and that cannot enter "
                f"{self.data_dir}; set QE_HOME to a directory everybody may enter, such as one below /srv"
            )

    def _launch_until_answering(self) -> None:
        account = server_account(self._cluster)
        version = self._cluster_version()
        binaries = usable_binaries(version, account, self._shared_dir)
        if not self._cluster.exists():
            create_cluster(binaries, self._cluster, account, self._settings.get("fsync") != "off")
        socket_dir = prepared_socket_dir(self.data_dir, account)
        write_configuration(self._cluster, socket_dir, account, self._settings)
        deadline = time.monotonic() + START_SECONDS
        while not self._launch_once(binaries, account):
            # The children of a killed server take a moment to notice; until then PostgreSQL does not start.
            is_worth_retrying = any(phrase in self._log_tail() for phrase in _STILL_DYING)
            if not is_worth_retrying or time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"the embedded PostgreSQL in {self.data_dir} did not start; its log ends "
                    f"with:\n{self._log_tail()}"
                )
            time.sleep(10 * _PAUSE_SECONDS)

    def _launch_once(self, binaries: Path, account: Account | None) -> bool:
        disown_stale_lock(self._cluster)
        is_long = self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT_BYTES
        with self.log_file.open("wb" if is_long else "ab") as log:
            process = launch([binaries / "postgres", "-D", self._cluster], account, log)
        return self._wait_for_answer(process.pid)

    def _wait_for_answer(self, pid: int) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and is_alive(pid):
            found = running_postmaster(self._cluster)
            if found is not None and self._probe(found) is not None:
                return True
            if self._has_lost_socket():
                return False
            time.sleep(_PAUSE_SECONDS)
        return False

    def _probe(self, found: Postmaster) -> str | None:
        if found.socket_dir is None:
            return None
        try:
            url = socket_url(found.socket_dir, ROLE, "postgres")
            with closing(psycopg2.connect(url, connect_timeout=5)) as session, session.cursor() as cursor:
                cursor.execute(STATEMENTS["probe"])
                return str(cursor.fetchone()[0])
        except psycopg2.OperationalError as error:
            is_full = any(phrase in str(error) for phrase in _FULL)
            return full_version(pg_binaries(self._cluster_version())) if is_full else None

    def _has_lost_socket(self) -> bool:
        """Whether the server runs but its socket's directory was swept away, so that nobody reaches it."""
        found = running_postmaster(self._cluster)
        return found is not None and found.socket_dir is not None and not found.socket_dir.exists()

    def _log_tail(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:].strip()
