"""Rows that never change: a policy version as an agent process holds it.

What belongs here: a version's three tables as rows by state, in plain numbers. What does not: reading a
version (`qe_core.store.policies`) and when to (`serving`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from qe_core.store.live.rows import Row, empty_row
from qe_core.store.policies import FrozenTable, PolicyRows


@dataclass(frozen=True, slots=True)
class FrozenRows:
    """One frozen table's rows.

    Attributes:
        rows: by state; none for a state nobody had learned anything about.
        nothing: the row of all other states.
    """

    rows: Mapping[int, Row]
    nothing: Row

    @classmethod
    def of(cls, table: FrozenTable) -> Self:
        """Return a frozen table's arrays as rows."""
        columns = (table.q, table.visits, table.target_mean, table.target_m2, table.weights)
        numbers = (map(tuple, column.tolist()) for column in columns)
        rows = {state: Row(*row) for state, *row in zip(table.states.tolist(), *numbers, strict=True)}
        return cls(rows, empty_row(table.q.shape[1]))

    def row(self, state: int) -> Row:
        """Return what was known about a state; the same object each time."""
        return self.rows.get(state, self.nothing)


@dataclass(frozen=True, slots=True)
class FrozenPolicy:
    """The values one policy version decides by.

    Attributes:
        number: of the version, unique over the fleet.
        own: of the agent's own table.
        category: of its category's.
        fleet: of the fleet's.
    """

    number: int
    own: FrozenRows
    category: FrozenRows
    fleet: FrozenRows

    @classmethod
    def of(cls, rows: PolicyRows) -> Self:
        """Return a version's arrays as rows."""
        return cls(rows.number, *(FrozenRows.of(table) for table in (rows.own, rows.category, rows.fleet)))
