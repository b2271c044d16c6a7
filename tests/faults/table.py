"""The fault table: one line for each run, for people and as JSON.

What belongs here: what is shown of an outcome. What does not: finding out (`run`, `oracle`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.markup import escape
from rich.table import Table

from tests.faults.run import Outcome

LOSS_COLUMNS = ("lost", "twice", "deadlocks", "hanging", "wrong", "broken")
"""Every number in these must be 0."""

_HEADINGS = (
    *("fault", "faults", "kills", "cuts", "acknowledged", "lost", "twice", "deadlocks", "hanging"),
    *("wrong values", "broken promises", "refused by name", "recovery, s: median / longest"),
)


def as_record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values.

    Args:
        outcome: of one run.
    """
    verdict, recovery = outcome.verdict, outcome.recovery_seconds
    return {
        "fault": outcome.plan.name,
        "seed": outcome.plan.seed,
        "faults": len(outcome.struck),
        "kills": sum(struck.kills for struck in outcome.struck),
        "cuts": sum(struck.cuts for struck in outcome.struck),
        "acknowledged": verdict.acknowledged,
        "lost": verdict.lost,
        "twice": verdict.twice,
        "deadlocks": outcome.deadlocks,
        "hanging": verdict.hanging,
        "wrong": verdict.wrong,
        "broken": verdict.broken,
        "refused": dict(sorted(verdict.refused.items())),
        "settled_without_answer": verdict.settled,
        "repeated_flushes": outcome.repeated_flushes,
        "recovery_median_seconds": round(median(recovery), 3) if recovery else None,
        "recovery_longest_seconds": round(max(recovery), 3) if recovery else None,
        "seconds": round(outcome.seconds, 1),
        "findings": verdict.findings,
        "schedule": [{**asdict(strike), "fault": strike.fault.value} for strike in outcome.plan.strikes],
    }


def total_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over all runs.

    Args:
        records: see `as_record`.
    """
    summed = ("faults", "kills", "cuts", "acknowledged", *LOSS_COLUMNS)
    refused = Counter[str]()
    for record in records:
        refused.update(record["refused"])
    longest = [record["recovery_longest_seconds"] for record in records]
    return {
        "fault": "total",
        **{name: sum(record[name] for record in records) for name in summed},
        "refused": dict(sorted(refused.items())),
        "recovery_median_seconds": None,
        "recovery_longest_seconds": max((of for of in longest if of is not None), default=None),
    }


def is_clean(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there was a run, something was acknowledged in each, and every loss column is 0."""
    return bool(records) and all(
        record["acknowledged"] > 0 and not any(record[column] for column in LOSS_COLUMNS)
        for record in records
    )


def as_table(records: Sequence[Mapping[str, Any]], not_run: Mapping[str, str]) -> Table:
    """Return the table for a terminal, with a line of sums.

    Args:
        records: see `as_record`.
        not_run: why a kind of fault could not be brought about, by its name.
    """
    table = Table(*_HEADINGS, title="Faults: updates written while things break")
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[-2].no_wrap = True
    for record in (*records, total_of(records)):
        table.add_row(*(_coloured(name, text) for name, text in _cells(record, "\n").items()))
    for name, reason in not_run.items():
        table.add_row(escape(name), f"[yellow]not run: {escape(reason)}")
    return table


def as_markdown(records: Sequence[Mapping[str, Any]], not_run: Mapping[str, str]) -> str:
    """Return the same table in Markdown."""
    lines = [_HEADINGS, tuple("---" if place == 0 else "---:" for place in range(len(_HEADINGS)))]
    lines += [tuple(_cells(record, "<br>").values()) for record in (*records, total_of(records))]
    lines += [(name, f"not run: {reason}", *("",) * (len(_HEADINGS) - 2)) for name, reason in not_run.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(record: Mapping[str, Any], separator: str) -> dict[str, str]:
    numbers = ("faults", "kills", "cuts", "acknowledged", *LOSS_COLUMNS)
    middle, longest = record["recovery_median_seconds"], record["recovery_longest_seconds"]
    recovery = [f"{seconds:.2f}" for seconds in (middle, longest) if seconds is not None]
    return {
        "fault": record["fault"],
        **{name: f"{record[name]:,}" for name in numbers},
        "refused": separator.join(f"{count:,} {name}" for name, count in record["refused"].items()) or "0",
        "recovery": " / ".join(recovery),
    }


def _coloured(name: str, text: str) -> str:
    return f"[red]{text}" if name in LOSS_COLUMNS and text != "0" else escape(text)
