"""Looking up the best action: against the least a server can be asked, and by a thousand clients at once.

What belongs here: both comparisons and the check of every answer. What does not: the processes (`readers`)
and the tables (`population`). A whole `decide` from the cache is measured elsewhere.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_most,
    below,
)
from benchmarks.place import Place
from benchmarks.population import Population, populate
from benchmarks.processes import run_together, shares_of
from benchmarks.readers import Answered, LookupJob, look_up_at_once, look_up_in_turn, select_one_in_turn
from benchmarks.statements import settle
from benchmarks.workload import SKEW
from qe_core.fleet import registry

AGENT = "test-generator"
CLIENTS = 1_000
PROCESSES = 3
LEAD_IN_SECONDS = 4.0
_PATIENCE_SECONDS = 60.0
_MILLISECONDS = 1_000.0


def latencies_of(answers: Sequence[Answered]) -> Measurement:
    """Return percentiles in milliseconds over all processes and answers a second; the result: all answers."""
    latencies = np.concatenate([answered.latencies for answered in answers])
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) * _MILLISECONDS
    rate = len(latencies) / max(answered.seconds for answered in answers)
    hits = float(np.mean([answered.hit_share for answered in answers]))
    return Measurement(
        {
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "answers_per_second": rate,
            "hit_share": hits,
        },
        answers,
    )


def require_right(population: Population, answers: Sequence[Answered]) -> None:
    """Raise `ResultsDifferError` unless every answer is the best action of its state, and there are some."""
    for answered in answers:
        if len(answered.latencies) == 0:
            raise ResultsDifferError("a process was answered nothing")
        for agent, (states, actions) in answered.answers.items():
            wanted = population.best_actions(agent, states)
            if not np.array_equal(wanted, actions):
                wrong = int((wanted != actions).argmax())
                raise ResultsDifferError(
                    f"{agent}, state {states[wrong]}: looked up action {actions[wrong]}, the tables say "
                    f"{wanted[wrong]}"
                )


@contextmanager
def prepare_in_turn(place: Place) -> Iterator[Running]:
    """Yield one client of ours and one that selects 1, each alone on the server."""
    calls = place.size(full=5_000, quick=300)
    seeds = count(1)
    with place.database() as url:
        population = asyncio.run(populate(url, (AGENT,)))
        settle(url)

        def ours() -> Measurement:
            """Look up in one process."""
            jobs = [(url, AGENT, calls, next(seeds))]
            return latencies_of(run_together(look_up_in_turn, jobs, _PATIENCE_SECONDS))

        def peer() -> Measurement:
            """Select 1 in one process."""
            return latencies_of(run_together(select_one_in_turn, [(url, calls)], _PATIENCE_SECONDS))

        def check(found: Mapping[str, Any]) -> None:
            """Compare every answer with the tables."""
            require_right(population, found["ours"])
            (ones,) = found["select 1"]
            if not (ones.answers["select 1"][1] == 1).all():
                raise ResultsDifferError("SELECT 1 was answered something else")

        yield Running({"ours": ours, "select 1": peer}, check)


@contextmanager
def prepare_at_once(place: Place) -> Iterator[Running]:
    """Yield a thousand clients in a few processes, on skewed states, on all alike, and hardly cached."""
    lead_in, seconds = place.size(full=(LEAD_IN_SECONDS, 6.0), quick=(0.5, 1.5))
    seeds = count(1_000)
    agents = tuple(contract.name for contract in registry())
    with place.database() as url:
        population = asyncio.run(populate(url, agents))
        settle(url)

        def ours(skew: float | None, is_cached: bool) -> Measurement:
            """Let all look up for the time given."""
            jobs = [
                (LookupJob(url, agents, share, lead_in, seconds, skew, is_cached, next(seeds)),)
                for share in shares_of(CLIENTS, PROCESSES)
            ]
            return latencies_of(run_together(look_up_at_once, jobs, lead_in + seconds + _PATIENCE_SECONDS))

        def check(found: Mapping[str, Any]) -> None:
            """Compare every answer with the tables."""
            for answers in found.values():
                require_right(population, answers)

        contestants: dict[str, Callable[[], Measurement]] = {
            "ours": lambda: ours(SKEW, True),
            "ours, states alike": lambda: ours(None, True),
            "ours, hardly cached": lambda: ours(None, False),
        }
        yield Running(contestants, check)


BENCHMARKS = (
    Benchmark(
        "lookup",
        (
            Contestant(
                "ours",
                "one client: best action of random states over agent, category and fleet, no state twice",
            ),
            Contestant("select 1", "one client: SELECT 1, prepared, on an asyncpg connection of its own"),
        ),
        (
            Row(
                "lookup-vs-select-1",
                "hierarchical best-action lookup p50 ÷ `SELECT 1`, prepared",
                Of("ours", "p50_ms"),
                Of("select 1", "p50_ms"),
                at_most(2),
            ),
        ),
        prepare_in_turn,
    ),
    Benchmark(
        "lookup-clients",
        (
            Contestant(
                "ours",
                f"{CLIENTS:,} clients in {PROCESSES} processes, each asking again as soon as it is answered: "
                f"states of all agents by Zipf's law ({SKEW:g}), default cache; the first "
                f"{LEAD_IN_SECONDS:g} s do not count",
            ),
            Contestant("ours, states alike", "the same, every state as likely as any other"),
            Contestant(
                "ours, hardly cached",
                "every state as likely, and the smallest cache: nearly every lookup asks the server",
            ),
        ),
        (
            Row(
                "lookup-clients-p95",
                f"{CLIENTS:,} closed-loop clients, lookup p95 (also the absolute floor)",
                Of("ours", "p95_ms"),
                bound=below(10),
                unit="ms",
            ),
            Row(
                "lookup-clients-alike-p95",
                f"{CLIENTS:,} closed-loop clients, lookup p95, all states alike",
                Of("ours, states alike", "p95_ms"),
                unit="ms",
            ),
            Row(
                "lookup-clients-uncached-p95",
                f"{CLIENTS:,} closed-loop clients, lookup p95, all states alike and hardly cached",
                Of("ours, hardly cached", "p95_ms"),
                unit="ms",
            ),
        ),
        prepare_at_once,
    ),
)
