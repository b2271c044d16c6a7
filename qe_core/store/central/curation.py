"""The team's server as its curator sees it: who contributes, what came, what is published.

What belongs here: everything the login that owns the database does there. What does not: what members may
(`server`), what is made of contributions (`qe_core.runtime.team.building`).
"""

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID

import asyncpg

from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.space import PublicSpace
from qe_core.store.central.logins import member_url, new_password, scram_verifier
from qe_core.store.central.records import (
    CuratorEntry,
    Member,
    Publication,
    SetAside,
    StoredContribution,
)
from qe_core.store.central.refusals import in_words
from qe_core.store.central.table_bytes import packed
from qe_core.store.connection import Connection, Database, open_database
from qe_core.store.errors import TeamError
from qe_core.store.json_text import json_text
from qe_core.store.statements import STATEMENTS
from qe_core.store.urls import checked_url, database_name

CURATOR = "curator"
"""Who did it, where nobody says who."""

_SALT_BYTES = 16


class TeamCuration:
    """The team's database, opened by the login that owns it.

    Open it with ``async with TeamCuration.connect(url) as curation``.
    """

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url

    @classmethod
    @asynccontextmanager
    async def connect(cls, database_url: str) -> AsyncIterator[Self]:
        """Yield the team's database, or one to found a team in.

        Raises:
            ConfigError: the URL is not a PostgreSQL URL.
            DatabaseUnavailableError: nobody answers there, refuses the login, is too old or is read-only.
            MigrationError: the database or its schema is missing, or older or newer than this version.
        """
        async with open_database(database_url, pool_size=2) as database:
            yield cls(database, checked_url(database_url))

    async def found(self, by: str = CURATOR, name: str | None = None) -> bool:
        """Create the team's roles and close everything else to its members; return whether the team is new.

        Safe to repeat: roles and rights that are missing, as after a restore, are put back. Members whose
        login is missing then count as revoked and can be invited again.

        Args:
            by: who does it.
            name: the team's, for people; the database's by default. Only the first one counts.

        Raises:
            TeamError: this login may not create roles, or does not own the database.
        """
        async with self._changing() as connection:
            is_new: bool = await connection.fetchval(
                STATEMENTS["team_found"], name or database_name(self._url)
            )
            await connection.execute(STATEMENTS["team_drop_closed_logins"])
            await _note(connection, "founded", by, {"is_new": is_new})
        return is_new

    async def is_founded(self) -> bool:
        """Return whether this database serves a team."""
        return bool(await self._rows("team_identity"))

    async def close_other_databases(self) -> None:
        """Let nobody connect to other databases of this server by default, as far as this login may.

        Their owners, superusers and whoever was granted it by name can still connect.
        """
        async with self._changing() as connection:
            await connection.execute(STATEMENTS["team_close_other_databases"])

    async def openings(self) -> list[str]:
        """Return what founding could not close to members, in words; ideally nothing."""
        return [row["opening"] for row in await self._rows("team_openings")]

    async def invite(self, name: str, by: str = CURATOR, address: str | None = None) -> str:
        """Create a login for one contributor and return its address, which holds the password, once.

        Args:
            name: a machine's or person's, seen by the curator only.
            by: who invites.
            address: ``host`` or ``host:port`` as the member sees the server; None where it is as seen here.

        Raises:
            ConfigError: the address is none.
            TeamError: the name is taken or none, or there is no team here yet.
        """
        password = new_password()
        member_url(self._url, "", "", address)
        verifier = scram_verifier(password, secrets.token_bytes(_SALT_BYTES))
        async with self._changing() as connection:
            try:
                login = await connection.fetchval(STATEMENTS["team_invite"], name, verifier)
            except asyncpg.CheckViolationError as error:
                raise TeamError(
                    f"{name!r:.120} is no name: take up to 100 letters, digits, spaces and . _ @ + -"
                ) from error
            await _note(connection, "invited", by, {"name": name})
        return member_url(self._url, login, password, address)

    async def revoke(self, name: str, by: str = CURATOR, *, is_left_out: bool = False) -> int:
        """End a member's login and its sessions at once; return how many contributions are left out now.

        Args:
            name: as invited.
            by: who revokes.
            is_left_out: whether builds leave out from now on what the member sent.

        Raises:
            TeamError: there is no such member.
        """
        async with self._changing() as connection:
            await connection.execute(STATEMENTS["team_close_login"], name)
        # Only now that nobody comes in any more, and before any row is locked: a session of the member may
        # hold a lock on its own.
        async with self._changing() as connection:
            await connection.execute(STATEMENTS["team_drop_closed_logins"])
            rows = (
                await connection.fetch(STATEMENTS["team_set_member_aside"], name, "its member was revoked")
                if is_left_out
                else []
            )
            await _note(connection, "revoked", by, {"name": name, "left_out": len(rows)})
        return len(rows)

    async def register(self, spaces: Iterable[PublicSpace], by: str = CURATOR) -> bool:
        """Take contributions about these agents, and publish for these contracts only; return what changed.

        Contributions made under contracts that were registered before are still taken, and not used.
        """
        given = sorted(spaces, key=lambda space: space.agent)
        names, fingerprints = [one.agent for one in given], [one.fingerprint for one in given]
        async with self._changing() as connection:
            retired = await connection.fetch(STATEMENTS["team_retire_agents"], names, fingerprints)
            taken = await connection.fetch(
                STATEMENTS["team_register_agents"],
                *(names, fingerprints, [one.state_count for one in given]),
                *([one.action_count for one in given], [one.part_count for one in given]),
            )
            changed = {
                "registered": sorted(row["agent"] for row in taken),
                "retired": sorted({row["agent"] for row in retired} - set(names)),
            }
            is_changed = any(changed.values())
            if is_changed:
                await _note(connection, "registered", by, changed)
        return is_changed

    async def members(self) -> list[Member]:
        """Return everybody who was ever invited, by name."""
        return [Member(**dict(row)) for row in await self._rows("team_members")]

    async def contributions(self, agent: str) -> AsyncGenerator[StoredContribution]:
        """Yield what counts about an agent under its present contract, member by member, of one moment."""
        async with self._database.snapshot() as connection:
            async for row in connection.cursor(STATEMENTS["team_contributions"], agent, prefetch=8):
                yield StoredContribution(row["release_id"], row["member_id"], row["header"], row["part"])

    async def set_aside(self, release_id: UUID, agent: str, why: str, by: str = CURATOR) -> bool:
        """Leave a contribution out of every build; return whether it was not already."""
        async with self._changing() as connection:
            is_new = bool(await connection.fetch(STATEMENTS["team_set_aside"], release_id, agent, why))
            if is_new:
                details = {"release_id": str(release_id), "agent": agent, "why": why}
                await _note(connection, "set-aside", by, details)
        return is_new

    async def all_set_aside(self) -> list[SetAside]:
        """Return what no build uses, and why, the latest first."""
        return [SetAside(**dict(row)) for row in await self._rows("team_all_set_aside")]

    async def publish(
        self,
        space: PublicSpace,
        table: TeamEvidence,
        contributors: int,
        lineage: Mapping[str, Any],
        by: str = CURATOR,
    ) -> int | None:
        """Publish a table for everybody to pull; return its version, None where the newest is the same.

        Args:
            space: the agent's, registered.
            table: its values.
            contributors: how many it rests on.
            lineage: what it rests on, JSON values; no names.
            by: who publishes.

        Raises:
            TeamError: somebody else published the same version just now, or the agent is not registered.
        """
        content, digest = packed(table)
        async with self._changing() as connection:
            newest = await connection.fetchrow(STATEMENTS["team_newest_version"], space.agent)
            if newest is not None and (newest["fingerprint"], newest["digest"]) == (
                space.fingerprint,
                digest,
            ):
                return None
            version: int = 1 if newest is None else newest["version"] + 1
            try:
                await connection.execute(
                    STATEMENTS["team_publish"],
                    *(space.agent, version, space.fingerprint, content, digest, contributors),
                    json_text(dict(lineage)),
                )
            except asyncpg.IntegrityConstraintViolationError as error:
                raise TeamError(
                    f"version {version} of {space.agent} cannot be published: {error}; build again"
                ) from error
            details = {"agent": space.agent, "version": version, "contributors": contributors}
            await _note(connection, "published", by, details)
        return version

    async def publications(self) -> list[Publication]:
        """Return every table that was published, the newest first."""
        return [
            Publication(**{**row, "lineage": json.loads(row["lineage"])})
            for row in map(dict, await self._rows("team_publications"))
        ]

    @asynccontextmanager
    async def building(self) -> AsyncIterator[None]:
        """Keep other builds out meanwhile; one that comes waits.

        The lock is a row no member may touch: anybody may take an advisory lock, and keep it.

        Raises:
            TeamError: no team was founded here.
        """
        async with self._database.lone_transaction() as connection:
            if not await connection.fetch(STATEMENTS["team_begin_build"]):
                raise TeamError("no team was founded in this database yet; run: qe team found")
            yield

    async def log(self, limit: int = 1_000) -> list[CuratorEntry]:
        """Return what was done, the latest first."""
        return [
            CuratorEntry(**{**row, "details": json.loads(row["details"])})
            for row in map(dict, await self._rows("team_log", limit))
        ]

    async def _rows(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        try:
            return await self._database.fetch(statement, *parameters)
        except asyncpg.PostgresError as error:
            raise in_words(error) from error

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """Yield a connection in a transaction; the database's refusals come in words."""
        try:
            async with self._database.transaction() as connection:
                yield connection
        except asyncpg.PostgresError as error:
            raise in_words(error) from error


async def _note(connection: Connection, kind: str, by: str, details: dict[str, Any]) -> None:
    await connection.execute(STATEMENTS["team_add_log"], kind, by, json_text(details))
