"""A thousand agents at once, in one process and in four: decisions end to end, every record durable.

What belongs here: the figures, and the check that what was acknowledged is stored. What does not: the agents
(`agent_workers`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import count
from typing import Any

import numpy as np

from benchmarks.agent_workers import AgentsJob, Worked, work
from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    Row,
    Running,
    at_most,
    below,
    require_equal,
)
from benchmarks.latencies import LatencyHistogram
from benchmarks.place import Place
from benchmarks.processes import run_together, shares_of
from benchmarks.statements import settle, value_of

AGENTS = 1_000
PROCESSES = 4
WORK_SECONDS = 0.2
"""Mean time an agent spends between a decision and its outcome; real tools take longer."""

DEFAULT_MINUTES = 2.0
_PATIENCE_SECONDS = 120.0
_MILLISECONDS = 1_000.0
_MEBIBYTE = 2**20


class Books:
    """What was acknowledged so far, against what the database holds.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._acknowledged = 0

    def enter(self, worked: Sequence[Worked]) -> tuple[int, int]:
        """Return how many acknowledged records are missing in the tables and in the log; below 0 doubled."""
        self._acknowledged += sum(one.acknowledged for one in worked)
        updates, experiences = (
            int(value_of(self._url, name)) for name in ("count_updates", "count_experiences")
        )
        return self._acknowledged - updates, self._acknowledged - experiences


def figures_of(worked: Sequence[Worked], missing: tuple[int, int]) -> Measurement:
    """Return latencies over all processes, records a second, and memory; the result is what is missing."""
    decide, record = (
        reduce(LatencyHistogram.merged, (getattr(one, name) for one in worked))
        for name in ("decide", "record")
    )
    figures = {
        f"{name}_p{round(100 * share)}_ms": histogram.percentile(share) * _MILLISECONDS
        for name, histogram in (("decide", decide), ("record", record))
        for share in (0.5, 0.95, 0.99)
    }
    records = sum(one.acknowledged for one in worked)
    return Measurement(
        {
            **figures,
            "records_per_second": records / max(one.seconds for one in worked),
            "missing_records": float(abs(missing[0]) + abs(missing[1])),
            "memory_mib": sum(one.memory_bytes[-1] for one in worked) / _MEBIBYTE,
        },
        missing,
    )


def growth_of(samples: Sequence[int]) -> float:
    """Return how many times more memory the last quarter of the time took than the second quarter."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return float(np.mean(late) / np.mean(early))


@contextmanager
def prepare_agents(place: Place) -> Iterator[Running]:
    """Yield the same agents in one process and spread over several, with and without work to do."""
    seconds = place.size(full=10.0, quick=2.0)
    agents = place.size(full=AGENTS, quick=100)
    seeds = count(1)
    with place.database() as url:
        books = Books(url)

        def run(processes: int, work_seconds: float) -> Measurement:
            """Let all agents work for the time given."""
            settle(url)
            jobs = [
                (AgentsJob(url, share, seconds, work_seconds, next(seeds)),)
                for share in shares_of(agents, processes)
            ]
            worked = run_together(work, jobs, seconds + _PATIENCE_SECONDS)
            return figures_of(worked, books.enter(worked))

        def check(found: Mapping[str, Any]) -> None:
            """Compare what is stored with what was acknowledged."""
            for name, missing in found.items():
                require_equal(f"{name}: records missing in tables and log", missing, (0, 0))

        contestants: dict[str, Callable[[], Measurement]] = {
            "one process": lambda: run(1, WORK_SECONDS),
            "four processes": lambda: run(PROCESSES, WORK_SECONDS),
            "one process, idle never": lambda: run(1, 0.0),
            "four processes, idle never": lambda: run(PROCESSES, 0.0),
        }
        yield Running(contestants, check)


@contextmanager
def prepare_endurance(place: Place) -> Iterator[Running]:
    """Yield the agents in one process, for minutes."""
    seconds = 60.0 * (place.minutes or place.size(full=DEFAULT_MINUTES, quick=0.1))
    with place.database() as url:
        books = Books(url)

        def run() -> Measurement:
            """Let all agents work for the time given."""
            settle(url)
            worked = run_together(
                work, [(AgentsJob(url, AGENTS, seconds, WORK_SECONDS, 1),)], seconds + _PATIENCE_SECONDS
            )
            (samples,) = (one.memory_bytes for one in worked)
            taken = figures_of(worked, books.enter(worked))
            growth = {
                "memory_growth": growth_of(samples),
                "memory_first_mib": samples[0] / _MEBIBYTE,
                "memory_most_mib": max(samples) / _MEBIBYTE,
                "minutes": seconds / 60.0,
            }
            return Measurement({**taken.values, **growth}, taken.result)

        def check(found: Mapping[str, Any]) -> None:
            """Compare what is stored with what was acknowledged."""
            require_equal("records missing in tables and log", found["one process"], (0, 0))

        yield Running({"one process": run}, check)


_WORKING = (
    f"{AGENTS:,} agents of all kinds: decide from a measured context, work about {WORK_SECONDS:g} s, record, "
    "wait until durable; ten steps an episode"
)

BENCHMARKS = (
    Benchmark(
        "live-agents",
        (
            Contestant("one process", f"{_WORKING}; all in one process"),
            Contestant("four processes", f"the same, spread over {PROCESSES} processes"),
            Contestant("one process, idle never", "one process, agents that work 0 s: as fast as it goes"),
            Contestant("four processes, idle never", f"the same, spread over {PROCESSES} processes"),
        ),
        (
            Row(
                "agents-one-process-p95",
                f"{AGENTS:,} agents in one process, `decide` p95 end to end",
                Of("one process", "decide_p95_ms"),
                bound=below(10),
                unit="ms",
            ),
            Row(
                "agents-four-processes-p95",
                f"{AGENTS:,} agents in {PROCESSES} processes, `decide` p95 end to end",
                Of("four processes", "decide_p95_ms"),
                bound=below(10),
                unit="ms",
            ),
            Row(
                "agents-lost-records",
                f"{AGENTS:,} agents in {PROCESSES} processes without pause, records lost or doubled",
                Of("four processes, idle never", "missing_records"),
                bound=at_most(0),
                unit="count",
            ),
            Row(
                "agents-busy-one-process-p95",
                f"{AGENTS:,} agents in one process without pause, `decide` p95",
                Of("one process, idle never", "decide_p95_ms"),
                unit="ms",
            ),
            Row(
                "agents-busy-four-processes-p95",
                f"{AGENTS:,} agents in {PROCESSES} processes without pause, `decide` p95",
                Of("four processes, idle never", "decide_p95_ms"),
                unit="ms",
            ),
            Row(
                "agents-records",
                f"{AGENTS:,} agents in {PROCESSES} processes without pause, single records made durable",
                Of("four processes, idle never", "records_per_second"),
                unit="records/s",
            ),
        ),
        prepare_agents,
    ),
    Benchmark(
        "agents-endurance",
        (Contestant("one process", f"{_WORKING}; for minutes (--minutes), memory sampled every second"),),
        (
            Row(
                "agents-memory-growth",
                "memory in the last quarter of the time ÷ in the second quarter",
                Of("one process", "memory_growth"),
                bound=at_most(1.05),
            ),
            Row(
                "agents-endurance-p95",
                f"{AGENTS:,} agents in one process for minutes, `decide` p95",
                Of("one process", "decide_p95_ms"),
                bound=below(10),
                unit="ms",
            ),
        ),
        prepare_endurance,
        repeats=1,
        has_warm_up=False,
    ),
)
