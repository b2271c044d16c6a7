"""The operating curve of automatic rollback: false alarms and delay, through the code that decides.

What belongs here: simulated tasks, looking at them once a minute, counting alarms. What does not: deciding
(`qe_core.rollout`). Run it as ``python -m benchmarks.rollback_curve --help``.

A version's tasks succeed or fail by chance; a success is worth `SUCCESS_WORTH` points more, and returns
scatter by `RETURN_NOISE` points besides. Its baseline is a full window of earlier tasks. Once a minute the
version is looked at with all tasks finished by then, as the sensor does, until a trigger fires or the week
is over. The same run counts the ordered triggers alone, the sequential test alone, and both as shipped:
whichever is first.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import typer
from rich.progress import track

from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.rollout.rollback_readings import read_triggers, recent_starts
from qe_core.rollout.rollback_settings import DEFAULT_ROLLBACK, RollbackSettings
from qe_core.rollout.rollback_windows import MICROPOINTS, TaskCounts

SUCCESS_WORTH = 60.0
RETURN_NOISE = 30.0
WEEK_MINUTES = 7 * 24 * 60
FLEET = 18
RULES = ("ordered", "sequential", "both")
TASKS_AT_ONCE = 8_000_000
"""Simulated together at most, to bound memory."""


@dataclass(frozen=True, slots=True)
class Case:
    """One setting of the simulation.

    Attributes:
        tasks_per_hour: finished tasks of one agent.
        success_rate: of the baseline, in (0, 1).
        success_drop: percentage points by which the version succeeds less.
        return_drop: points by which its return is lower besides.
        healthy_tasks: tasks of the version before the harm begins.
        lanes: independent versions, each watched for a week.
        is_live: whether a live table is watched: it has no versions, so the newer half of its latest tasks is
            compared with the older half, and both move on with every task.
    """

    tasks_per_hour: int
    success_rate: float
    success_drop: float = 0.0
    return_drop: float = 0.0
    healthy_tasks: int = 0
    lanes: int = 90
    is_live: bool = False


def draw_tasks(
    case: Case, lanes: int, count: int, first_harmed: int, rng: np.random.Generator
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Return running sums of successes, millionths of returns and squared returns, [lanes, count + 1]."""
    is_harmed = np.arange(count) >= first_harmed
    success = rng.random((lanes, count)) < case.success_rate - is_harmed * case.success_drop / 100.0
    returns = SUCCESS_WORTH * success - is_harmed * case.return_drop
    returns += RETURN_NOISE * rng.standard_normal((lanes, count))
    sums = []
    for values in (success.astype(np.int64), np.rint(returns * MICROPOINTS).astype(np.int64), returns**2):
        total = np.zeros((lanes, count + 1), dtype=values.dtype)
        np.cumsum(values, axis=1, out=total[:, 1:])
        sums.append(total)
    return sums[0], sums[1], sums[2]


def between(sums: tuple[Int64Array, Int64Array, Float64Array], start: Any, stop: int) -> TaskCounts:
    """Return the counts of each lane's tasks from ``start``, int or int64[K], to ``stop``."""
    starts = np.atleast_1d(np.asarray(start, dtype=np.int64))
    success, total, squares = (column[:, [stop]] - column[:, starts] for column in sums)
    tasks = np.broadcast_to(stop - starts, success.shape)
    return TaskCounts(tasks, tasks, success, total, squares)


def looks(tasks_per_hour: int) -> Iterator[tuple[int, int]]:
    """Yield (minute, finished tasks) for every minute of the week that brought a task."""
    before = 0
    for minute in range(1, WEEK_MINUTES + 1):
        finished = tasks_per_hour * minute // 60
        if finished > before:
            yield minute, finished
        before = finished


def first_alarms(
    case: Case, lanes: int, rng: np.random.Generator, settings: RollbackSettings
) -> dict[str, Int64Array]:
    """Return the finished tasks at each lane's first alarm, by rule; 0 where a week passed without one."""
    whole_week = case.tasks_per_hour * WEEK_MINUTES // 60
    baseline = between(draw_tasks(case, lanes, settings.baseline_tasks, settings.baseline_tasks, rng), 0,
                       settings.baseline_tasks)  # fmt: skip
    sums = draw_tasks(case, lanes, whole_week, case.healthy_tasks, rng)
    first = {rule: np.zeros(lanes, dtype=np.int64) for rule in RULES[:2]}
    for _, served in looks(case.tasks_per_hour):
        since = 0
        if case.is_live:
            since = served - min(served // 2, settings.recent_tasks)
            baseline = between(sums, 2 * since - served, since)
        start = recent_starts(served - since, served - since, settings)
        if len(start) == 0 or baseline.tasks[0, 0] < settings.minimum_baseline_tasks:
            continue
        recent = between(sums, since + start * settings.stride, served)
        read = read_triggers(baseline, recent, start, settings)
        for rule, fired in (("ordered", read.success_fired | read.return_fired),
                            ("sequential", read.sequential_fired)):  # fmt: skip
            first[rule][fired & (first[rule] == 0)] = served
        if all((alarm > 0).all() for alarm in first.values()):
            break
    never = whole_week + 1
    both = np.minimum(*(np.where(alarm > 0, alarm, never) for alarm in first.values()))
    return {**first, "both": np.where(both == never, 0, both)}


def measure(case: Case, seed: int, settings: RollbackSettings = DEFAULT_ROLLBACK) -> dict[str, Any]:
    """Return the figures of one case: alarms, and how long harm lasted before one."""
    numbers = (100 * case.success_rate, case.success_drop, case.return_drop, case.healthy_tasks)
    rng = np.random.default_rng([seed, case.tasks_per_hour, *(round(number) for number in numbers)])
    at_once = max(1, TASKS_AT_ONCE // (case.tasks_per_hour * WEEK_MINUTES // 60))
    parts = [
        first_alarms(case, min(at_once, case.lanes - done), rng, settings)
        for done in range(0, case.lanes, at_once)
    ]
    rules = {}
    for rule in RULES:
        tasks = np.concatenate([part[rule] for part in parts])
        is_early = (tasks > 0) & (tasks <= case.healthy_tasks)
        harmed = np.sort(tasks[tasks > case.healthy_tasks]) - case.healthy_tasks
        rules[rule] = {
            "alarms": int((tasks > 0).sum()),
            "alarms_a_fleet_week": float((tasks > 0).mean() * FLEET),
            "before_harm": int(is_early.sum()),
            "found": float(len(harmed) / max(case.lanes - is_early.sum(), 1)),
            "delay_tasks": _quantiles(harmed, case.lanes - int(is_early.sum())),
        }
    return {**asdict(case), "rules": rules}


def _quantiles(delays: Int64Array, lanes: int) -> list[float | None]:
    """Return median and 90th percentile over all lanes; None where so many never had an alarm."""
    ranks = [int(np.ceil(share * lanes)) - 1 for share in (0.5, 0.9)]
    return [float(delays[rank]) if rank < len(delays) else None for rank in ranks]


def cases(lanes: int, rates: tuple[int, ...], success_rates: tuple[float, ...]) -> dict[str, list[Case]]:
    """Return all cases by the question they answer."""
    middle = success_rates[len(success_rates) // 2]
    few = max(lanes // 5, 18)
    return {
        "false alarms": [Case(rate, p, lanes=lanes) for rate in rates for p in success_rates],
        "false alarms of a live table": [
            Case(rate, p, lanes=few, is_live=True) for rate in rates for p in success_rates
        ],
        "success drops": [
            Case(rate, p, success_drop=drop, lanes=few)
            for rate in rates for p in success_rates for drop in (5.0, 10.0, 20.0)
        ],
        "return drops": [
            Case(rate, middle, return_drop=drop, lanes=few) for rate in rates for drop in (5.0, 10.0, 15.0,
            20.0)
        ],
        "late harm": [
            Case(rate, middle, success_drop=drop, healthy_tasks=1_050, lanes=few)
            for rate in rates[1:] for drop in (5.0, 10.0, 20.0)
        ],
    }  # fmt: skip


def main(
    lanes: Annotated[int, typer.Option(help="Versions watched for a week in each case without harm.")] = 900,
    rate: Annotated[list[int] | None, typer.Option(help="Tasks an hour; repeat for more.")] = None,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="A question; repeat for more.")] = None,
    output: Annotated[Path, typer.Option(help="Where the JSON, Markdown and picture go.")] = Path("."),
) -> None:
    """Measure the operating curve and write rollback-curve.json, .md and .png."""
    wanted = cases(lanes, tuple(rate or (10, 100, 1_000)), (0.5, 0.8, 0.95))
    if unknown := set(only or ()) - set(wanted):
        raise typer.BadParameter(f"{sorted(unknown)} is not asked here; choose from {list(wanted)}")
    if only:
        wanted = {question: wanted[question] for question in only}
    results = {
        question: [measure(case, seed) for case in track(of, question)] for question, of in wanted.items()
    }
    output.mkdir(parents=True, exist_ok=True)
    record = {"seed": seed, "settings": asdict(DEFAULT_ROLLBACK), "results": results}
    (output / "rollback-curve.json").write_text(json.dumps(record, indent=1) + "\n")
    (output / "rollback-curve.md").write_text(markdown(results))
    if "success drops" in results:
        draw(results, output / "rollback-curve.png")


def markdown(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the results as Markdown tables."""
    lines: list[str] = []
    for question, items in results.items():
        lines += [f"**{question}**", ""]
        is_quiet = question.startswith("false alarms")
        columns = "alarms a week (seen)" if is_quiet else "found; delay"
        lines += _head("weeks watched" if is_quiet else "drop", [f"{rule}: {columns}" for rule in RULES])
        lines += [_quiet_row(item) if is_quiet else _harmed_row(item) for item in items]
        lines.append("")
    return "\n".join(lines)


def _quiet_row(item: dict[str, Any]) -> str:
    rules = [item["rules"][rule] for rule in RULES]
    cells = [f"{figures['alarms_a_fleet_week']:.2f} ({figures['alarms']})" for figures in rules]
    return _row(item["tasks_per_hour"], f"{item['success_rate']:.0%}", item["lanes"], *cells)


def _harmed_row(item: dict[str, Any]) -> str:
    drop = item["success_drop"] or item["return_drop"]
    cells = [_delay(item["rules"][rule], item["tasks_per_hour"]) for rule in RULES]
    return _row(item["tasks_per_hour"], f"{item['success_rate']:.0%}", f"{drop:g}", *cells)


def _head(third: str, rules: list[str]) -> list[str]:
    return [_row("tasks/h", "success", third, *rules), "|" + "---|" * (3 + len(rules))]


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _delay(figures: dict[str, Any], tasks_per_hour: int) -> str:
    """Return how many were found, and median and 90th percentile of the delay in tasks and time."""
    times = [
        "never" if tasks is None else f"{tasks:.0f} tasks, {_duration(tasks / tasks_per_hour * 60)}"
        for tasks in figures["delay_tasks"]
    ]
    return f"{figures['found']:.0%}; {times[0]} ({times[1]})"


def _duration(minutes: float) -> str:
    """Return minutes as people say them."""
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def draw(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the median delay in tasks against the drop, at the middle task rate, one line per success rate."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    drops = results["success drops"]
    rates = sorted({item["tasks_per_hour"] for item in drops})
    middle = rates[len(rates) // 2]
    for success_rate in sorted({item["success_rate"] for item in drops}):
        for rule, style in (("ordered", ":"), ("both", "-")):
            points = [
                (item["success_drop"], item["rules"][rule]["delay_tasks"][0])
                for item in drops
                if item["tasks_per_hour"] == middle and item["success_rate"] == success_rate
            ]
            found = [point for point in points if point[1] is not None]
            color = {0.5: "C0", 0.8: "C1", 0.95: "C2"}.get(success_rate)
            axes.plot(*zip(*found, strict=True) if found else ([], []), style, marker="o", color=color,
                      label=f"{rule}, {success_rate:.0%} success")  # fmt: skip
    axes.set(xlabel="true drop of the success rate, points", ylabel="median delay, tasks", yscale="log",
             title=f"Delay until rollback at {middle} tasks an hour")  # fmt: skip
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
