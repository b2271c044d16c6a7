"""The team's server as a member sees it: hand in, fetch, and nothing else.

What belongs here: the calls a member's login may make. What does not: what only the curator may (`curation`),
deciding what is sent (`qe_core.runtime.team`).
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from qe_core.errors import ConfigError, ContributionError, DatabaseUnavailableError
from qe_core.privacy.wire import ReleaseHeader
from qe_core.store.central.records import PublishedTable, Receipt, TeamInfo
from qe_core.store.central.refusals import in_words
from qe_core.store.central.table_bytes import unpacked
from qe_core.store.connection import CONNECT_SECONDS, LOST, SESSION
from qe_core.store.errors import TeamError
from qe_core.store.statements import STATEMENTS
from qe_core.store.urls import checked_url, shown

PROTOCOL = 1
"""What the server's functions take and answer; it changes when either side could misunderstand the other."""

ANSWER_SECONDS = 120.0


class TeamServer:
    """One connection to the team's server with a member's login.

    Open it with ``async with TeamServer.connect(url) as server``. It is not for several tasks at once.
    """

    def __init__(self, connection: asyncpg.Connection, url: str) -> None:
        self._connection = connection
        self._url = url

    @classmethod
    @asynccontextmanager
    async def connect(cls, team_url: str) -> AsyncIterator[Self]:
        """Yield a connection to a server that knows this login and speaks this version's protocol.

        Args:
            team_url: as an invitation says it.

        Raises:
            ConfigError: the URL is not a PostgreSQL URL, or names no login.
            DatabaseUnavailableError: nobody answers there, or the login is refused.
            TeamError: it is no team's server, not this login's, or of a version that does not fit.
        """
        url = checked_url(team_url)
        if not urlsplit(url).username:
            # The driver would fill in the operating system's user, which is nobody's business there.
            raise ConfigError("QE_TEAM_URL names no login; set it to the whole address of the invitation")
        try:
            connection = await asyncpg.connect(
                url, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, server_settings=SESSION
            )
        except Exception as error:
            raise _unreached(error, url) from error
        try:
            server = cls(connection, url)
            _require_protocol(await server.hello())
            yield server
        finally:
            connection.terminate()

    async def hello(self) -> TeamInfo:
        """Return what the server says about itself.

        Raises:
            TeamError: this login is no member's, or it is no team's server.
        """
        answer = json.loads(await self._value("team_hello"))
        return TeamInfo(answer["protocol"], answer["name"], answer["members"], answer["agents"])

    async def submit(self, header: ReleaseHeader, parts: Mapping[str, bytes]) -> Receipt:
        """Hand a release in, once: repeated with the same content it changes nothing.

        Args:
            header: of the release.
            parts: the encoded counts of each agent the header names.

        Raises:
            ContributionError: the release will never be taken; the message says why.
            TeamError: not now: the day's limit is reached, or the server does not know an agent yet.
            DatabaseUnavailableError: the connection was lost; the release may have arrived, hand it in again.
        """
        names = [name for name, _ in header.agents]
        if set(names) != set(parts):
            raise ContributionError(
                f"the header of release {header.release_id} names other agents than there are counts of; "
                "prepare it again"
            )
        is_new = await self._value("team_submit", header.model_dump_json(), [parts[name] for name in names])
        return Receipt(header.release_id, is_new)

    async def newest(self, known: Mapping[str, int]) -> list[PublishedTable]:
        """Return the newest table of each agent, by name, as far as it is newer than what is known.

        Args:
            known: the version of each agent's table that is here already.

        Raises:
            TeamError: a table is not what it is said to be, or the login is no member's any more.
        """
        rows = await self._rows("team_newest", list(known), list(known.values()))
        return [
            PublishedTable(
                row["agent"],
                row["fingerprint"],
                row["version"],
                unpacked(row["content"], row["states"], row["actions"]),
                row["contributors"],
                row["published_at"],
            )
            for row in rows
        ]

    async def own_releases(self) -> list[UUID]:
        """Return the numbers of all releases this login handed in, oldest first."""
        return [row["release_id"] for row in await self._rows("team_own_releases")]

    async def _value(self, statement: str, *parameters: Any) -> Any:
        return (await self._rows(statement, *parameters))[0][0]

    async def _rows(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        try:
            return list(await self._connection.fetch(STATEMENTS[statement], *parameters))
        except LOST as error:
            raise DatabaseUnavailableError(
                f"the connection to the team's server {shown(self._url)} was lost: "
                f"{str(error) or type(error).__name__}; what was not acknowledged is sent again next time"
            ) from error
        except asyncpg.PostgresError as error:
            raise in_words(error) from error


def _require_protocol(info: TeamInfo) -> None:
    """Raise `TeamError` unless the server and this version understand each other."""
    if info.protocol != PROTOCOL:
        older = "the team's server" if info.protocol < PROTOCOL else "qe-fleet on this machine"
        raise TeamError(
            f"team {info.name} speaks protocol {info.protocol}, this version {PROTOCOL}; upgrade {older}"
        )


def _unreached(error: Exception, url: str) -> Exception:
    place = shown(url)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return DatabaseUnavailableError(
                f"the team's server {place} refuses the login: {error}; set QE_TEAM_URL to the address of "
                "the invitation, or ask the curator for a new one"
            )
        case asyncpg.ClientConfigurationError():
            return ConfigError(f"QE_TEAM_URL {place} cannot be used: {error}")
        case OSError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return DatabaseUnavailableError(
                f"the team's server {place} cannot be reached: {str(error) or type(error).__name__}; "
                "what is to be sent is kept and sent when it answers again"
            )
        case _:
            return error
