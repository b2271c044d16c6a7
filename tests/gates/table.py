"""The gates as Markdown and as JSON.

What belongs here: what is shown of a row. What does not: counting (`rates`, `checks`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from tests.gates.sizes import Row

COUNTED = (
    "tests",
    "looks",
    "families",
    "runs",
    "ramps",
    "units",
    "treated units",
    "90 % seen by",
    "t-test once: units",
)
PLAIN = ("days", "largest bias")


def as_markdown(rows: Sequence[Row]) -> str:
    """Return one table for each gate, figures as shares unless they are counts."""
    return (
        "\n\n".join("\n".join(_lines(gate, list(own))) for gate, own in groupby(rows, lambda row: row.gate))
        + "\n"
    )


def as_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [asdict(row) for row in rows]


def is_clean(rows: Sequence[Row]) -> bool:
    """Say whether every promise is kept."""
    return all(row.is_met is not False for row in rows)


def _lines(gate: str, rows: Sequence[Row]) -> Iterator[str]:
    columns = list(rows[0].figures)
    yield f"| {' | '.join([gate, *columns, 'met'])} |"
    yield f"|---|{'--:|' * len(columns)}---|"
    for row in rows:
        met = {True: "yes", False: "**no**", None: "–"}[row.is_met]
        yield f"| {' | '.join([row.case, *(_shown(name, row.figures[name]) for name in columns), met])} |"


def _shown(name: str, value: Any) -> str:
    match value:
        case None:
            return "–"
        case (low, high):
            return f"{low:.2%} … {high:.2%}"
        case _ if name.startswith(COUNTED) or name.endswith(": units"):
            return f"{value:,.0f}"
        case _ if name.startswith(PLAIN):
            return f"{value:.2f}"
        case _:
            return f"{value:.2%}"
