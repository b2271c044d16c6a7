"""Releases: what this database has shared, shares, or will.

What belongs here: storing a release with its debit, sending it, withdrawing it. What does not: which tasks it
is made of (`finished_tasks`), noise (`qe_core.privacy`), and the team's server (`qe_core.store.central`).

Storing, debiting and marking are one transaction, under the lock that every debit takes. So a process that is
killed leaves a release that is paid for and will be sent, always with the same noise, or nothing at all.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import numpy as np

from qe_core.errors import BudgetError, PrivacyError
from qe_core.learning.arrays import Float64Array
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import OptOutChangedError, ReleaseConflictError
from qe_core.store.statements import STATEMENTS
from qe_core.store.team.finished_tasks import read_finished_tasks
from qe_core.store.team.log import note
from qe_core.store.team.opt_outs import read_generation
from qe_core.store.team.records import (
    Committed,
    LedgerEntry,
    PreparedRelease,
    ReleaseRecord,
    TeamEvent,
    UnreleasedTasks,
    Withdrawal,
)

if TYPE_CHECKING:
    from qe_core.privacy.space import PublicSpace
    from qe_core.privacy.units import ProtectedUnit

OVERSPENT = "QE006"
"""The SQLSTATE with which the ledger refuses a debit."""

_OVERTAKEN = "somebody opted out since it was made"


class ReleaseStore:
    """All releases of this database.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def finished_tasks(
        self,
        spaces: "Mapping[str, PublicSpace]",
        *,
        unit: "ProtectedUnit",
        kept_out_sources: Sequence[str] = (),
    ) -> UnreleasedTasks:
        """Return what has ended since the last release, of everybody who takes part.

        Args:
            spaces: the agents that are shared.
            unit: what units are coded for: each task, or each developer. What is nobody's is one unit.
            kept_out_sources: whose experiences are passed over.
        """
        async with self._database.snapshot() as connection:
            return await read_finished_tasks(connection, spaces, unit, kept_out_sources)

    async def commit(self, release: PreparedRelease, lifetime_nano_rho: int, *, by: str) -> Committed:
        """Store a release, debit it and mark what it is made of; all or nothing.

        Args:
            release: with its noise.
            lifetime_nano_rho: what all releases may cost together, billionths of ρ.
            by: who.

        Raises:
            PrivacyError: its parts are not those its header names.
            OptOutChangedError: somebody opted out or in since its data was read; read it anew.
            ReleaseConflictError: another release has taken some of its data meanwhile; read it anew.
            BudgetError: it would cost more than is left.
        """
        _require_whole(release)
        with _refused_in_words(release):
            async with self._database.transaction() as connection:
                await connection.execute(STATEMENTS["lock_ledger"])
                if await read_generation(connection) != release.opt_out_generation:
                    raise OptOutChangedError(
                        "somebody opted out or in while this release was made; nothing was stored or spent, "
                        "make it anew"
                    )
                await _insert(connection, release)
                await _mark(connection, release)
                debit = await _debit(connection, release, lifetime_nano_rho, by)
                await note(connection, TeamEvent.RELEASE, by, _told(release, debit))
        return Committed(release.header.release_id, debit)

    async def pending(self) -> list[ReleaseRecord]:
        """Return releases that wait to be sent, the oldest first."""
        return [record for record in await self.all() if not (record.sent_at or record.withdrawn_at)]

    async def sent(self) -> list[ReleaseRecord]:
        """Return releases the team's server has, the oldest first."""
        return [record for record in await self.all() if record.sent_at]

    async def all(self) -> list[ReleaseRecord]:
        """Return all releases, the oldest first."""
        return [_record(row) for row in await self._database.fetch("list_releases")]

    @asynccontextmanager
    async def sending(self, release_id: UUID, *, by: str) -> AsyncIterator[Mapping[str, bytes] | None]:
        """Yield the parts of a pending release by agent; it counts as sent once the block ends cleanly.

        Nobody else can send or withdraw it meanwhile. None where there is nothing to send: it was sent or
        withdrawn, another process is sending it, or somebody opted out since, which withdraws it here.

        Args:
            release_id: which.
            by: who.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(STATEMENTS["lock_pending"], release_id):
                pass
            elif await connection.fetchval(STATEMENTS["has_opted_out_since"], release_id):
                await _withdraw(connection, release_id, _OVERTAKEN, by)
            else:
                # Committed before anything leaves: whatever breaks off then, this is known.
                await connection.execute(STATEMENTS["begin_delivery"], release_id)
        async with self._database.lone_transaction() as connection:
            # Who held it a moment ago may have let go without beginning.
            if not await connection.fetchval(STATEMENTS["lock_begun"], release_id):
                yield None
                return
            rows = await connection.fetch(STATEMENTS["read_parts"], release_id)
            yield {row["agent"]: row["part"] for row in rows}
            await connection.execute(STATEMENTS["mark_sent"], release_id)
            await note(connection, TeamEvent.PUSH, by, {"release_id": str(release_id)})

    async def withdraw_pending(self, reason: str, *, by: str, only: UUID | None = None) -> Withdrawal:
        """Withdraw every release that waits to be sent: its counts are deleted, its tasks are free again.

        What it cost stays spent. Of one that may have arrived, because an attempt to send it broke off,
        counts and marks are kept, so that no task is sent twice. Those on their way now are left alone.

        Args:
            reason: why.
            by: who.
            only: this one; None for all.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(STATEMENTS["lock_all_pending"], only)
            locked = [row for row in rows if row["is_locked"]]
            for row in locked:
                await _withdraw(connection, row["release_id"], reason, by)
        return Withdrawal(
            withdrawn=tuple(row["release_id"] for row in locked if not row["has_begun"]),
            being_sent=tuple(row["release_id"] for row in rows if not row["is_locked"]),
            maybe_sent=tuple(row["release_id"] for row in locked if row["has_begun"]),
        )

    async def own_reported(self, space: "PublicSpace") -> Float64Array:
        """Return the noisy visits about one agent that this database has sent, or may have, float64[S, A].

        Raises:
            ContributionError: a stored part cannot be read.
        """
        from qe_core.privacy.wire import decode

        total = np.zeros((space.state_count, space.action_count))
        for row in await self._database.fetch("read_sent_parts", space.agent, space.fingerprint):
            total += decode(row["part"], space).visits
        return total


async def _insert(connection: Connection, release: PreparedRelease) -> None:
    """Store header and parts."""
    header = release.header
    await connection.execute(
        STATEMENTS["insert_release"],
        *(header.release_id, header.model_dump_json(), header.nano_rho, release.opt_out_generation),
    )
    for agent, fingerprint in header.agents:
        await connection.execute(
            STATEMENTS["insert_part"], header.release_id, agent, fingerprint, release.parts[agent]
        )


async def _mark(connection: Connection, release: PreparedRelease) -> None:
    """Have no other release take what this one is made of."""
    for agent, chunks in release.chunk_ids.items():
        await connection.execute(
            STATEMENTS["mark_chunks"],
            *(release.header.release_id, agent, chunks.new.tolist(), chunks.is_open.tolist()),
        )
        await connection.execute(
            STATEMENTS["close_chunks"], release.header.release_id, chunks.closed.tolist()
        )


async def _debit(
    connection: Connection, release: PreparedRelease, lifetime_nano_rho: int, by: str
) -> LedgerEntry:
    """Pay for a release; a limit that differs from the last one is noted."""
    header = release.header
    before = await connection.fetchval(STATEMENTS["read_last_limit"])
    if before is not None and before != lifetime_nano_rho:
        details = {"lifetime_nano_rho_before": before, "lifetime_nano_rho": lifetime_nano_rho}
        await note(connection, TeamEvent.BUDGET, by, details)
    row = await connection.fetchrow(
        STATEMENTS["insert_debit"], header.release_id, header.nano_rho, lifetime_nano_rho
    )
    return LedgerEntry(**dict(row))


async def _withdraw(connection: Connection, release_id: UUID, reason: str, by: str) -> None:
    """Withdraw a release that the caller holds; one that never left is forgotten and its tasks are free."""
    may_have_arrived = await connection.fetchval(STATEMENTS["withdraw_release"], release_id, reason)
    if not may_have_arrived:
        for statement in ("delete_parts", "free_chunks", "reopen_chunks"):
            await connection.execute(STATEMENTS[statement], release_id)
    details = {"release_id": str(release_id), "reason": reason, "may_have_arrived": may_have_arrived}
    await note(connection, TeamEvent.WITHDRAWAL, by, details)


@contextmanager
def _refused_in_words(release: PreparedRelease) -> Iterator[None]:
    """Turn the database's refusals of a release into the product's."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise ReleaseConflictError(
            "another release took some of the same tasks meanwhile; nothing was stored or spent, "
            "make this one anew"
        ) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate != OVERSPENT:
            raise
        raise BudgetError(
            f"a release at ε = {release.header.privacy_epsilon:g} is refused: {error}. Nothing was stored or "
            "spent. See qe privacy status; lower team.privacy_epsilon_per_release, or raise "
            "team.privacy_epsilon_lifetime if everybody concerned agrees"
        ) from error


def _require_whole(release: PreparedRelease) -> None:
    named = {agent for agent, _ in release.header.agents}
    if named != set(release.parts):
        raise PrivacyError(
            f"the release names {len(named)} agents but has counts of {len(release.parts)}; every agent that "
            "is shared is in every release, or what is missing says who did nothing"
        )


def _told(release: PreparedRelease, debit: LedgerEntry) -> dict[str, Any]:
    return {
        "release_id": str(release.header.release_id),
        "agents": len(release.header.agents),
        "chunks": sum(len(chunks.new) for chunks in release.chunk_ids.values()),
        "nano_rho": debit.nano_rho,
        "spent_nano_rho": debit.spent_nano_rho,
        "lifetime_nano_rho": debit.lifetime_nano_rho,
    }


def _record(row: asyncpg.Record) -> ReleaseRecord:
    from qe_core.privacy.wire import ReleaseHeader

    return ReleaseRecord(**{**dict(row), "header": ReleaseHeader.model_validate_json(row["header"])})
