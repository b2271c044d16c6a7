"""Which policy versions are let go as they grow old, and letting them go.

What belongs here: the rule and its execution. What does not: how rows are shared between snapshots
(`snapshots`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qe_core.store.connection import Database
from qe_core.store.policy_records import ThinCount
from qe_core.store.snapshots import lock_snapshots
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_rows import affected_count


@dataclass(frozen=True, slots=True)
class Ages:
    """How long versions are kept.

    Attributes:
        all_for: every version younger than this.
        hourly_for: the newest of each hour, UTC, younger than this.
        daily_for: the newest of each day, UTC, younger than this.
    """

    all_for: timedelta = timedelta(days=1)
    hourly_for: timedelta = timedelta(days=7)
    daily_for: timedelta = timedelta(days=90)


DEFAULT_AGES = Ages()


@dataclass(frozen=True, slots=True)
class VersionAge:
    """What thinning must know of a version.

    Attributes:
        number: its number.
        agent: whose.
        created_at: when, aware.
        is_named: whether an alias, a test or a rollback names it.
    """

    number: int
    agent: str
    created_at: datetime
    is_named: bool


def outgrown(versions: Iterable[VersionAge], now: datetime, ages: Ages) -> list[int]:
    """Return the numbers of versions to let go, increasing.

    Args:
        versions: all of them.
        now: the present, aware.
        ages: how long they are kept.
    """
    gone: list[int] = []
    newest_first = sorted(versions, key=lambda version: version.number, reverse=True)
    seen: set[tuple[object, ...]] = set()
    for version in newest_first:
        age, created_at = now - version.created_at, version.created_at.astimezone(UTC)
        day = (version.agent, created_at.date())
        hour = (*day, created_at.hour)
        is_newest = (version.agent,) not in seen
        is_kept = (
            age < ages.all_for
            or (age < ages.hourly_for and hour not in seen)
            or (age < ages.daily_for and day not in seen)
        )
        if not (is_newest or is_kept or version.is_named):
            gone.append(version.number)
        seen.update([(version.agent,), day, hour])
    return sorted(gone)


async def thin(database: Database, now: datetime, ages: Ages) -> ThinCount:
    """Remove outgrown versions, the snapshots only they named, and the rows only those held."""
    async with database.transaction() as connection:
        tables = await connection.fetch(STATEMENTS["read_frozen_table_ids"])
        await lock_snapshots(connection, [row["q_table_id"] for row in tables])
        await connection.execute(STATEMENTS["hold_versions"])
        found = await connection.fetch(STATEMENTS["read_version_ages"])
        gone = outgrown([VersionAge(**dict(row)) for row in found], now, ages)
        if not gone:
            return ThinCount(0, 0, 0)
        counts = [
            affected_count(await connection.execute(STATEMENTS["remove_versions"], gone)),
            affected_count(await connection.execute(STATEMENTS["remove_unnamed_snapshots"])),
            affected_count(await connection.execute(STATEMENTS["remove_unheld_rows"])),
        ]
        return ThinCount(*counts)
