"""The embedded server."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Whether a server runs and where.

    Attributes:
        is_running: whether it answers.
        data_dir: where it keeps everything.
        log_file: what it said.
        pid: of the postmaster, or None.
        version: for example 18.4, or None when not running.
        url: of the product's database, or None when not running.
    """

    is_running: bool
    data_dir: Path
    log_file: Path
    pid: int | None = None
    version: str | None = None
    url: str | None = None


class EmbeddedServer:
    """PostgreSQL from the wheel, on a private socket."""

    def __init__(self, data_dir: Path, version: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir

    def start(self) -> str:
        """Return the URL of database qe (created if missing), after starting the server unless it runs already."""
        raise ConnectionError

    def stop(self) -> bool:
        """Stop it; returns whether it had been running."""
        raise ConnectionError

    def status(self) -> ServerStatus:
        """Return whether it runs and where."""
        raise ConnectionError

    def url(self, database: str = "qe") -> str:
        """Return the URL of a database."""
        raise ConnectionError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def project_server() -> EmbeddedServer:
    """Return the embedded server of this project (not started)."""
    raise ConnectionError


def database_url(database: str | None = None) -> str:
    """Return QE_DATABASE_URL, or the embedded server's URL after starting it; ``database`` swaps the database's name (qe_dagster)."""
    raise ConnectionError
