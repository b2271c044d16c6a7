"""What a database holds after a run, read with plain SQL and nothing of the product.

What belongs here: reading. What does not: judging (`oracle`).
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_CHUNKS = """
    SELECT
        q_table_id, table_version, episode, step, occurred_at, state, action, reward, next_state, terminated,
        truncated, propensity, exploration_rate, success, policy_version
    FROM experience_chunks ORDER BY q_table_id, table_version, chunk_id
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """One experience as the log has it.

    Attributes:
        episode: the call that brought it.
        step: position in it.
        columns: occurred_us, state, action, reward, next_state, terminated, truncated, propensity,
            exploration_rate, success and policy_version, None where unknown.
    """

    episode: str
    step: int
    columns: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The experiences of one flush, in their stored order.

    Attributes:
        q_table_id: the table they updated; None if none.
        version: the version the flush raised it to; None likewise.
        rows: the experiences.
    """

    q_table_id: int | None
    version: int | None
    rows: tuple[Logged, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """What a table holds for one (state, action).

    Attributes:
        q: value, points.
        visits: updates so far.
        mean: of their targets.
        m2: squared deviations of their targets, summed.
    """

    q: float = 0.0
    visits: int = 0
    mean: float = 0.0
    m2: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A whole database.

    Attributes:
        versions: of each table, by its key.
        flushes: (table, version) of each flush in the ledger.
        chunks: the log, by table and version.
        pairs: by (table, state, action); those never updated are left out.
        inbox: rows left in the inbox, which should always be empty.
    """

    versions: dict[int, int]
    flushes: tuple[tuple[int, int], ...]
    chunks: tuple[Chunk, ...]
    pairs: dict[tuple[int, int, int], Pair] = field(repr=False)
    inbox: int = 0

    @classmethod
    def read(cls, url: str) -> "Evidence":
        """Return what the database at ``url`` holds at one moment."""
        with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
            session.set_session(isolation_level="REPEATABLE READ", readonly=True)
            return cls(
                versions=dict(_rows(cursor, "SELECT q_table_id, version FROM q_tables")),
                flushes=tuple(_rows(cursor, "SELECT q_table_id, table_version FROM flushes ORDER BY 1, 2")),
                chunks=tuple(_chunk(*row) for row in _rows(cursor, _CHUNKS)),
                pairs=dict(_pairs(cursor)),
                inbox=next(_rows(cursor, "SELECT count(*) FROM flush_inbox"))[0],
            )


def _rows(cursor: Any, statement: str) -> Iterator[tuple[Any, ...]]:
    cursor.execute(statement)
    yield from cursor.fetchall()


def _chunk(q_table_id: int | None, version: int | None, *columns: list[Any]) -> Chunk:
    rows = []
    for episode, step, at, *middle, rate, success, policy in zip(*columns, strict=True):
        rows.append(
            Logged(
                episode,
                step,
                (
                    (at - _EPOCH) // _MICROSECOND,
                    *middle,
                    None if rate != rate else rate,
                    {1: True, 0: False, -1: None}[success],
                    None if policy == -1 else policy,
                ),
            )
        )
    return Chunk(q_table_id, version, tuple(rows))


def _pairs(cursor: Any) -> Iterator[tuple[tuple[int, int, int], Pair]]:
    statement = "SELECT q_table_id, state, q, visits, target_mean, target_m2 FROM q_values"
    for table, state, *columns in _rows(cursor, statement):
        for action, values in enumerate(zip(*columns, strict=True)):
            pair = Pair(*values)
            if pair != Pair():
                yield (table, state, action), pair
