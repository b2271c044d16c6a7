"""How a benchmark is run: contestants in turn, results compared before times, medians, a verdict.

What belongs here: the loop and the arithmetic on its rounds. What does not: the vocabulary (`harness`) and
the table (`report`).
"""

import gc
import logging
import math
import time
from collections.abc import Callable, Mapping

from benchmarks.harness import (
    Benchmark,
    Bound,
    Measurement,
    Of,
    Outcome,
    ResultsDifferError,
    Row,
    RowResult,
    Spread,
    Verdict,
)
from benchmarks.place import Place

QUICK_REPEATS = 2
Rounds = list[dict[str, Measurement]]
Absent = Mapping[str, list[str]]

logger = logging.getLogger(__name__)


def run_benchmark(benchmark: Benchmark, place: Place, tell: Callable[[str], None]) -> Outcome:
    """Return how a benchmark came out; what goes wrong in it is a verdict, not an exception.

    Args:
        benchmark: what to run.
        place: where to work and in which form.
        tell: shows one line of progress.
    """
    missing = {c.name: c.missing_packages() for c in benchmark.contestants}
    absent = {name: packages for name, packages in missing.items() if packages}
    began = time.perf_counter()
    rounds: Rounds = []
    failure: tuple[Verdict, str] | None = None
    try:
        rounds = _run_rounds(benchmark, place, tell, absent)
    except ResultsDifferError as error:
        failure = (Verdict.RESULTS_DIFFER, str(error))
    except Exception as error:
        # One benchmark that breaks must not cost the figures of all others; it is reported and fails the run.
        logger.exception("benchmark %s broke", benchmark.name)
        failure = (Verdict.FAILED, f"{type(error).__name__}: {error}".strip().splitlines()[-1])
    rows = tuple(_row_result(row, rounds, absent, failure, place.is_quick) for row in benchmark.rows)
    return Outcome(benchmark, rows, _spreads(rounds), time.perf_counter() - began)


def _run_rounds(benchmark: Benchmark, place: Place, tell: Callable[[str], None], absent: Absent) -> Rounds:
    repeats = min(QUICK_REPEATS, benchmark.repeats) if place.is_quick else benchmark.repeats
    rounds: Rounds = []
    tell("preparing")
    with benchmark.prepare(place) as running:
        for number in range(-1 if benchmark.has_warm_up else 0, repeats):
            measured: dict[str, Measurement] = {}
            for contestant in (c for c in benchmark.contestants if c.name not in absent):
                tell(f"{f'round {number + 1}/{repeats}' if number >= 0 else 'warming up'}: {contestant.name}")
                gc.collect()
                measured[contestant.name] = running.run[contestant.name]()
            tell("comparing results")
            running.check({name: taken.result for name, taken in measured.items()})
            if number >= 0:
                rounds.append({name: Measurement(taken.values) for name, taken in measured.items()})
    return rounds


def _row_result(
    row: Row,
    rounds: Rounds,
    absent: Absent,
    failure: tuple[Verdict, str] | None,
    is_quick: bool,
) -> RowResult:
    if failure is not None:
        return RowResult(row, failure[0], reason=failure[1])
    lacking = [
        package for side in (row.figure, row.over) if side for package in absent.get(side.contestant, [])
    ]
    if lacking:
        return RowResult(row, Verdict.NOT_MEASURED, reason=f"not installed: {', '.join(lacking)}")
    ours = _values(row.figure, rounds)
    if row.over is None:
        figure, over = Spread.of(ours), None
    else:
        theirs = _values(row.over, rounds)
        over = Spread.of(theirs)
        ratios = [_ratio(mine, other) for mine, other in zip(ours, theirs, strict=True)]
        figure = Spread(_ratio(Spread.of(ours).median, over.median), min(ratios), max(ratios))
    return RowResult(
        row, verdict_of(row.bound, figure.median, is_quick), figure, Spread.of(ours), over, len(ours)
    )


def verdict_of(bound: Bound | None, figure: float, is_quick: bool) -> Verdict:
    """Return whether a figure meets what is owed; a quick run judges nothing."""
    if bound is None:
        return Verdict.SHOWN
    if is_quick:
        return Verdict.NOT_JUDGED
    return Verdict.MET if bound.is_met_by(figure) else Verdict.NOT_MET


def _values(side: Of, rounds: Rounds) -> list[float]:
    return [taken[side.contestant].values[side.value] for taken in rounds]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _spreads(rounds: Rounds) -> dict[str, dict[str, Spread]]:
    if not rounds:
        return {}
    return {
        name: {value: Spread.of(_values(Of(name, value), rounds)) for value in taken.values}
        for name, taken in rounds[0].items()
    }
