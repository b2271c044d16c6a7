"""The outcome as one JSON file and one Markdown table.

What belongs here: how outcomes are written for people and for programs. What does not: judging (`harness`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Outcome, RowResult, Spread, Verdict

INSTALL = "python -m pip install -r benchmarks/requirements.txt (torchrl: see the note in that file)"
_BROKEN = (Verdict.RESULTS_DIFFER, Verdict.FAILED)


def exit_code(outcomes: Sequence[Outcome], is_strict: bool) -> int:
    """Return 1 where results differ or a benchmark broke; strictly, also where a figure is not met."""
    wrong = (*_BROKEN, Verdict.NOT_MET, Verdict.NOT_MEASURED) if is_strict else _BROKEN
    return int(any(result.verdict in wrong for outcome in outcomes for result in outcome.rows))


def write_report(
    directory: Path, name: str, circumstances: Mapping[str, Any], outcomes: Sequence[Outcome]
) -> tuple[Path, Path]:
    """Write ``name.json`` and ``name.md`` and return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    as_data, as_text = directory / f"{name}.json", directory / f"{name}.md"
    document = json.dumps(as_json(circumstances, outcomes), indent=2, ensure_ascii=False, allow_nan=False)
    as_data.write_text(document + "\n", encoding="utf-8")
    as_text.write_text(as_markdown(circumstances, outcomes), encoding="utf-8")
    return as_data, as_text


def as_json(circumstances: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that was measured as JSON values; what is not a number becomes null."""
    benchmarks = [
        {
            "name": outcome.benchmark.name,
            "seconds": round(outcome.seconds, 1),
            "contestants": {c.name: c.description for c in outcome.benchmark.contestants},
            "rows": [_row_as_json(result) for result in outcome.rows],
            "values": {
                contestant: {name: _spread_as_json(spread) for name, spread in values.items()}
                for contestant, values in outcome.values.items()
            },
        }
        for outcome in outcomes
    ]
    return {**circumstances, "benchmarks": benchmarks}


def as_markdown(circumstances: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Return the table, what each side is, and the machine, as Markdown."""
    results = [result for outcome in outcomes for result in outcome.rows]
    lines = [
        "# Benchmarks",
        "",
        _summary(results),
        "",
        *([f"**Careful:** {circumstances['warning']}.", ""] if circumstances.get("warning") else []),
        "| figure | owed | measured | lowest … highest | margin | | ours | against |",
        "|---|---|---|---|---|---|---|---|",
        *(_table_line(result) for result in results),
        "",
        "Measured: the ratio of two medians, or a median. Lowest … highest: single rounds. Margin: how many "
        "times better than owed.",
        "",
    ]
    reasons = [f"- {r.row.name}: {r.verdict.value}: {r.reason}" for r in results if r.reason]
    if reasons:
        lines += ["## Without a figure", "", *reasons, ""]
    if any(result.verdict is Verdict.NOT_MEASURED for result in results):
        lines += [f"Install what is missing: `{INSTALL}`", ""]
    lines += ["## Who against whom", ""]
    for outcome in outcomes:
        lines += [f"**{outcome.benchmark.name}** ({outcome.seconds:.0f} s)", ""]
        lines += [f"- {c.name}: {c.description}" for c in outcome.benchmark.contestants]
        lines += ["", *_value_lines(outcome), ""]
    lines += ["## Circumstances", ""]
    lines += [f"- {name}: {_plain(value)}" for name, value in circumstances.items()]
    return "\n".join(lines) + "\n"


def shown(number: float) -> str:
    """Return a number with three or four significant digits and thousands separated."""
    if math.isnan(number):
        return "–"
    if math.isinf(number) or number == 0.0 or 1e-3 <= abs(number) < 1e15:
        digits = 0 if abs(number) >= 1000 else 1 if abs(number) >= 100 else 2 if abs(number) >= 1 else 4
        text = f"{number:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{number:.2e}"


def _summary(results: Sequence[RowResult]) -> str:
    counts = {verdict: sum(r.verdict is verdict for r in results) for verdict in Verdict}
    return (
        ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count) or "nothing ran"
    )


def _table_line(result: RowResult) -> str:
    row, figure = result.row, result.figure
    unit = "" if row.unit == "count" else f" {row.unit}"
    owed = f"{row.bound}{unit}" if row.bound else ""
    margin = shown(row.bound.margin(figure.median)) + "×" if row.bound and figure else ""
    return (
        "| "
        + " | ".join(
            (
                row.title,
                owed,
                f"{shown(figure.median)}{unit}" if figure else "",
                f"{shown(figure.low)} … {shown(figure.high)}" if figure else "",
                "" if margin == "–×" else margin,
                f"**{result.verdict.value}**",
                f"{shown(result.ours.median)} {row.figure.value}" if result.ours and result.over else "",
                f"{shown(result.over.median)} {row.over.value} ({row.over.contestant})"
                if result.over and row.over
                else "",
            )
        ).replace("\n", " ")
        + " |"
    )


def _value_lines(outcome: Outcome) -> list[str]:
    if not outcome.values:
        return []
    return ["| | value | median | lowest … highest |", "|---|---|---|---|"] + [
        f"| {contestant} | {name} | {shown(spread.median)} | {shown(spread.low)} … {shown(spread.high)} |"
        for contestant, values in outcome.values.items()
        for name, spread in values.items()
    ]


def _row_as_json(result: RowResult) -> dict[str, Any]:
    row = result.row
    return {
        "name": row.name,
        "title": row.title,
        "unit": row.unit,
        "numerator": asdict(row.figure),
        "denominator": asdict(row.over) if row.over else None,
        "owed": {"direction": row.bound.direction.value, "limit": row.bound.limit} if row.bound else None,
        "verdict": result.verdict.value,
        "margin": _number(row.bound.margin(result.figure.median)) if row.bound and result.figure else None,
        "figure": _spread_as_json(result.figure),
        "ours": _spread_as_json(result.ours),
        "over": _spread_as_json(result.over),
        "rounds": result.rounds,
        "reason": result.reason,
    }


def _spread_as_json(spread: Spread | None) -> dict[str, float | None] | None:
    return {name: _number(value) for name, value in asdict(spread).items()} if spread else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
