"""The team's server of the search: a cluster of its own that logs every statement, and all it has.

What belongs here: founding it, and reading all it holds: files, log, values. What does not: the search.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from errno import ENXIO
from hashlib import blake2b
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import numpy as np

from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store import migrate
from qe_core.store.central import TeamCuration
from qe_core.store.server import EmbeddedServer

DATABASE = "team"
PUBLISHED = 4
"""Agents of which the team has a table to pull."""

MEMBERS = ("first", "second", "third")
TALKATIVE = {
    "log_statement": "all",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_error_verbosity": "verbose",
    "log_min_messages": "info",
    "log_line_prefix": "%m %p %a %u %d %r %b %e ",
    "wal_compression": "off",
    "ssl": "off",
    "fsync": "off",
}
"""All that a curious curator could switch on."""

_CATALOGUE = (
    "pg_authid", "pg_database", "pg_db_role_setting", "pg_shdescription", "pg_stat_activity", "pg_settings",
)  # fmt: skip
_RELATIONS = """
SELECT format('%I.%I', nspname, relname)
FROM pg_class INNER JOIN pg_namespace ON relnamespace = pg_namespace.oid
WHERE relkind IN ('r', 'v', 'm') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Central:
    """A team's server.

    Attributes:
        server: the server.
        url: the curator's address.
    """

    server: EmbeddedServer
    url: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        [directory] = parse_qs(urlsplit(self.url).query)["host"]
        return Path(directory) / ".s.PGSQL.5432"

    async def founded(self, address: str) -> str:
        """Found a team that has published tables; return the address of a member."""
        await migrate(self.url)
        async with TeamCuration.connect(self.url) as curation:
            await curation.found("curator", "the team")
            spaces = shareable_spaces()
            await curation.register(spaces.values())
            for space in list(spaces.values())[:PUBLISHED]:
                shape = (space.state_count, space.action_count)
                values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) % 7
                table = TeamEvidence(values, np.full(shape, 30), np.ones(shape), np.full(shape, 90.0))
                await curation.publish(space, table, len(MEMBERS), {})
            urls = [await curation.invite(name, address=address) for name in MEMBERS]
        return urls[0]

    async def checkpoint(self) -> None:
        """Have everything written to the files of tables."""
        async with _connected(self.url) as connection:
            await connection.execute("CHECKPOINT")

    async def release_count(self) -> int:
        """Return how many releases it holds."""
        async with TeamCuration.connect(self.url) as curation:
            return sum([member.releases for member in await curation.members()])

    async def values(self) -> bytes:
        """Return every value of every table and view, as programs get them: not compressed, not cut up."""
        found = bytearray()

        async def keep(data: bytes) -> None:
            found.extend(data)

        async with _connected(self.url) as connection:
            names = [row[0] for row in await connection.fetch(_RELATIONS)]
            for name in (*names, *_CATALOGUE):
                query = f"SELECT * FROM {name}"
                if name in _CATALOGUE:
                    query = f"SELECT row_to_json(line)::text FROM {name} AS line"
                await connection.copy_from_query(query, output=keep, format="binary")
        return bytes(found)


class Files:
    """The files of a server; what was read before is not read again.

    Args:
        directory: where it keeps everything.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = set[bytes]()
        self.count = 0

    def changed(self) -> Iterator[bytes]:
        """Yield the content of every file that has changed since the last time."""
        for path in sorted(self._directory.rglob("*")):
            try:
                content = path.read_bytes()
            except (IsADirectoryError, FileNotFoundError):
                # A directory, or a file that the server removed meanwhile.
                continue
            except OSError as error:
                if error.errno == ENXIO:  # its socket
                    continue
                raise
            digest = blake2b(content, digest_size=16).digest()
            if digest not in self._seen:
                self._seen.add(digest)
                self.count += 1
                yield content


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
