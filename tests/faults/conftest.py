"""Fixtures for tests of the guard itself: a little traffic, written down, in a real database."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qe_core.store import Store
from tests.conftest import execute
from tests.faults.evidence import Evidence
from tests.faults.journal import Journal, Journals
from tests.faults.oracle import Verdict, judge
from tests.faults.traffic import as_batch, as_experience, drawn_call
from tests.faults.writer import ensured

CALLS = 40


@dataclass(frozen=True, slots=True)
class Written:
    """A database that was written to, and the journals of it.

    Attributes:
        url: of the database.
        journals: what the callers meant and were told.
    """

    url: str
    journals: Journals

    def tamper(self, statement: str) -> None:
        """Change the database behind the product's back."""
        execute(self.url, statement)

    def judged(self) -> Verdict:
        """Return the oracle's verdict on the database as it is now."""
        return judge(self.journals, Evidence.read(self.url), {}, longest_seconds=60.0)


@pytest.fixture
async def written(store: Store, database_url: str, tmp_path: Path) -> Written:
    """Forty calls, single and many, each awaited."""
    rng = np.random.default_rng(7)
    with Journal(tmp_path / "w0.0.journal") as journal:
        async with store.live() as live:
            for number in range(CALLS):
                drawn, call = drawn_call(rng, 1_700_000_000_000_000 + 1_000_000 * number), f"w0.0-0-{number}"
                handle = await ensured(store, drawn.table)
                journal.intend(call, handle.q_table_id, drawn.rows)
                if len(drawn.rows) == 1:
                    row = drawn.rows[0]
                    ack = await live.writer.record(
                        handle, as_experience(call, row), row.target, row.learning_rate
                    )
                else:
                    ack = await live.writer.record_many(handle, as_batch(call, drawn.rows))
                journal.acknowledge(call, ack.version, ack.is_repeated)
    return Written(database_url, Journals.read_all(tmp_path))
