"""Where a run happens: a directory of its own, a server of its own.

What belongs here: starting, killing and asking the server. What does not: when (`schedule`, `injector`) and
the disk that can be full (`small_disk`).
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from qe_core.store.server import EmbeddedServer

SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "96MB",
    "checkpoint_timeout": "30s",
    "deadlock_timeout": "100ms",
}
"""On top of the product's, which keep fsync on. A small log is soon full, and soon replayed."""

_DEADLOCK, _NO_SPACE = b"deadlock detected", b"No space left on device"
_COMPLAINTS = (_DEADLOCK, _NO_SPACE)


@contextmanager
def directory(parent: Path | None = None) -> Iterator[Path]:
    """Yield a private directory that the server's own account can enter; removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="qe-faults-", dir=parent))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Server:
    """An embedded server that can be killed, and what it complained about.

    Args:
        folder: for its data.
        log: its messages go there, to a disk that does not fill.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        data = folder / "server"
        data.mkdir(mode=0o711)
        data.chmod(0o711)
        self.embedded = EmbeddedServer(data, settings=SETTINGS)
        self.embedded.log_file.symlink_to(log)
        self._log_read = 0
        self._said = dict.fromkeys(_COMPLAINTS, 0)

    def start(self) -> None:
        """Start it unless it runs."""
        self._listen()
        self.embedded.start()

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return self.embedded.url(database)

    @property
    def deadlocks(self) -> int:
        """Deadlocks it reported so far; PostgreSQL's own counter does not survive a kill."""
        self._listen()
        return self._said[_DEADLOCK]

    @property
    def complaints_about_room(self) -> int:
        """How often it reported so far that no space was left."""
        self._listen()
        return self._said[_NO_SPACE]

    def kill(self) -> int:
        """SIGKILL the server and every process it started; return how many there were."""
        pid = self.embedded.status().pid
        if pid is None:
            return 0
        # The postmaster comes first: one that saw a child die would begin to recover by itself.
        doomed = _family(pid)
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(doomed, timeout=30)
        return len(doomed)

    def _listen(self) -> None:
        if not self.embedded.log_file.exists():
            return
        with self.embedded.log_file.open("rb") as log:
            # The server's log begins anew when it has grown large.
            if os.fstat(log.fileno()).st_size < self._log_read:
                self._log_read = 0
            log.seek(self._log_read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._log_read += len(line)
                for complaint in _COMPLAINTS:
                    self._said[complaint] += complaint in line


def ask(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a session of its own and return its rows, if it has any."""
    with closing(psycopg2.connect(url, connect_timeout=10)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
