"""What is in the databases of a team, in plain values that can be compared, and rows put into them.

What belongs here: reading and writing, without judging. What does not: what should be there (`model`).
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg2

from qe_core.fleet import registry
from qe_core.store import Store
from qe_core.store.team import PulledTable
from tests.integration.runtime.team.nursery import FLEET, START, Contributor, tasks
from tests.team_interleavings.model import Step, Task


async def append_rows(contributor: Contributor, rows: dict[str, Any], developer: str | None) -> None:
    """Add rows to a contributor's log, recorded for a developer."""
    async with contributor.opened(developer) as (store, _):
        await store.experiences.append(rows)


async def tables_held(contributor: Contributor) -> dict[str, tuple[int, bytes]]:
    """Return version and content of the team's tables in use."""
    found = {}
    async with Store.connect(contributor.url) as store:
        for contract in FLEET:
            table = await store.team_tables.current(contract.name, contract.fingerprint)
            if table is not None:
                found[contract.name] = table_content(table)
    return found


def table_content(table: PulledTable) -> tuple[int, bytes]:
    """Return version and content of a table of the team."""
    evidence = table.evidence
    known = evidence.visits > 0
    arrays = (evidence.visits, evidence.q, evidence.error, np.where(known, evidence.reported, 0.0))
    return table.version, b"".join(array.tobytes() for array in arrays)


def last_step(task: Task, name: str) -> dict[str, Any]:
    """Return the row with which a task that was begun ends."""
    rows = tasks(registry().get(task.agent), [name], seed=1)
    last = {
        name: values[-1:] if isinstance(values, list | np.ndarray) else values
        for name, values in rows.items()
    }
    return last | {"step": [5], "occurred_at": [START + timedelta(hours=1)]}


def steps_of(rows: Mapping[str, Any]) -> list[Step]:
    """Return rows of the log as the model knows steps."""
    columns = (np.asarray(rows[name]).tolist() for name in ("state", "action", "reward", "next_state"))
    return list(zip(*columns, strict=True))


def nonzero_cells(cells: Any) -> dict[tuple[int, int], int]:
    """Return the cells of an array of two dimensions that are not 0."""
    return {(int(row), int(column)): int(cells[row, column]) for row, column in np.argwhere(cells)}


def stored_parts(url: str, table: str) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yield the bytes of each stored part, by release and agent."""
    for release, agent, part in fetched_rows(url, f"SELECT release_id::text, agent, part FROM {table}"):
        yield (release, agent), bytes(part)


def fetched_rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return what a statement answers."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()
