"""The peers' SQL and the questions asked afterwards, by name.

What belongs here: reading ``sql/`` and asking one question. What does not: SQL itself, and the product's.
"""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psycopg2

from qe_core.store.statements import parse_statements

_FILE = Path(__file__).parent / "sql" / "peers.sql"
PEER_STATEMENTS = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)


def execute(url: str, *statements: str) -> None:
    """Run named statements without parameters, each committed by itself."""
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            for statement in statements:
                cursor.execute(PEER_STATEMENTS[statement])


def execute_with(url: str, statement: str, *parameters: Any) -> None:
    """Run one named statement with parameters $1, $2, … and commit it."""

    async def run() -> None:
        """Send it over a connection of its own."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(PEER_STATEMENTS[statement], *parameters)
        finally:
            await connection.close()

    asyncio.run(run())


def rows_of(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows a named statement answers."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(PEER_STATEMENTS[statement])
        return list(cursor.fetchall())


def value_of(url: str, statement: str) -> Any:
    """Return the single value a named statement answers."""
    ((value,),) = rows_of(url, statement)
    return value


def settle(url: str) -> None:
    """Write out what earlier runs left to be written, so that nobody pays for somebody else."""
    execute(url, "checkpoint")
