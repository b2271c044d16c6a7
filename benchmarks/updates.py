"""Durable updates: against pgbench, and on skewed keys against the naive versioned loop.

What belongs here: the comparison and the check that nothing was lost. What does not: the processes themselves
(`writers`, `pgbench`) and the data (`workload`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    Row,
    Running,
    at_least,
    at_most,
    require_equal,
)
from benchmarks.pgbench import CLIENTS, HONEST, SCALE, THREADS, prepare_pgbench, run_simple_update
from benchmarks.place import Place
from benchmarks.processes import run_together, shares_of
from benchmarks.statements import execute, execute_with, rows_of, settle, value_of
from benchmarks.workload import SKEW, require_exact
from benchmarks.writers import WritingJob, Written, write_naively, write_ours
from qe_core.fleet import registry

AGENTS = ("test-generator", "test-executor", "coverage-analyzer", "flaky-test-hunter")
SKEWED_AGENT = "test-generator"
PRODUCERS = 64
BATCH = 1_000
SKEWED_PROCESSES = 3
NAIVE_CLIENTS = 64
NAIVE_PROCESSES = 4
_PATIENCE_SECONDS = 60.0


class Ledger:
    """What was acknowledged so far, against what the database holds.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._updates = 0
        self._experiences = 0

    def enter(self, written: list[Written], with_experiences: bool) -> Measurement:
        """Return the rate and, as the result, what was lost or applied twice until now; checks every q.

        ``lost_updates`` and ``lost_experiences`` count differences in either direction.
        """
        acknowledged = sum(one.acknowledged for one in written)
        self._updates += acknowledged
        self._experiences += acknowledged if with_experiences else 0
        rows = rows_of(self._url, "read_learned_pairs")
        _, state, action, visits, q = zip(*rows, strict=True)
        require_exact("ours", np.array(state), np.array(action), np.array(visits), np.array(q))
        lost = self._updates - sum(visits)
        missing = self._experiences - int(value_of(self._url, "count_experiences"))
        return Measurement(
            {
                "updates_per_second": acknowledged / max(one.seconds for one in written),
                "lost_updates": float(abs(lost)),
                "lost_experiences": float(abs(missing)),
            },
            (lost, missing),
        )


KEPT = (0, 0)
"""The result of a run in which every acknowledged update and experience is there exactly once."""


@contextmanager
def prepare_durable(place: Place) -> Iterator[Running]:
    """Yield ours with and without experiences, and pgbench, all on one server."""
    seconds = place.size(full=8, quick=1)
    seeds = count(1)
    with place.database() as url, place.database() as bench_url:
        prepare_pgbench(bench_url, place.size(full=SCALE, quick=1))
        ledger = Ledger(url)

        def ours(with_experiences: bool) -> Measurement:
            """Write for the time given, in one process."""
            settle(url)
            job = WritingJob(url, AGENTS, PRODUCERS, BATCH, None, with_experiences, seconds, next(seeds))
            return ledger.enter(
                run_together(write_ours, [(job,)], seconds + _PATIENCE_SECONDS), with_experiences
            )

        def peer() -> Measurement:
            """Run pgbench as long."""
            settle(bench_url)
            return run_simple_update(bench_url, seconds)

        def check(found: Mapping[str, Any]) -> None:
            """Compare what is stored with what was acknowledged, on every side."""
            require_equal("updates and experiences lost", found["ours"], KEPT)
            require_equal("updates lost, without experiences", found["ours without log"], KEPT)
            require_equal("pgbench: failed, untraced, balanced", found["pgbench"], HONEST)

        run: dict[str, Callable[[], Measurement]] = {
            "ours": lambda: ours(True),
            "ours without log": lambda: ours(False),
            "pgbench": peer,
        }
        yield Running(run, check)


@contextmanager
def prepare_skewed(place: Place) -> Iterator[Running]:
    """Yield ours from several processes and the naive loop, on the same skewed pairs of one table."""
    seconds = place.size(full=6.0, quick=1.0)
    seeds = count(1_000)
    contract = registry().get(SKEWED_AGENT)
    with place.database() as url, place.database() as naive_url:
        execute(naive_url, "create_pair_values")
        execute_with(naive_url, "fill_pair_values", contract.state_count, contract.action_count)
        ledger = Ledger(url)
        naive_total = 0

        def ours() -> Measurement:
            """Write from every process for the time given."""
            settle(url)
            deadlocks = int(value_of(url, "count_deadlocks"))
            jobs = [
                (WritingJob(url, (SKEWED_AGENT,), share, BATCH, SKEW, True, seconds, next(seeds)),)
                for share in shares_of(PRODUCERS, SKEWED_PROCESSES)
            ]
            taken = ledger.enter(run_together(write_ours, jobs, seconds + _PATIENCE_SECONDS), True)
            met = int(value_of(url, "count_deadlocks")) - deadlocks
            return Measurement({**taken.values, "deadlocks": float(met)}, taken.result)

        def naive() -> Measurement:
            """Update naively as long, with many clients."""
            nonlocal naive_total
            settle(naive_url)
            jobs = [
                (naive_url, SKEWED_AGENT, share, SKEW, seconds, next(seeds))
                for share in shares_of(NAIVE_CLIENTS, NAIVE_PROCESSES)
            ]
            written = run_together(write_naively, jobs, seconds + _PATIENCE_SECONDS)
            acknowledged = sum(one.acknowledged for one in written)
            naive_total += acknowledged
            state, action, visits, q = map(
                np.array, zip(*rows_of(naive_url, "read_pair_values"), strict=True)
            )
            require_exact("naive", state, action, visits, q)
            return Measurement(
                {
                    "updates_per_second": acknowledged / max(one.seconds for one in written),
                    "refused_per_update": sum(one.refused for one in written) / acknowledged,
                },
                (naive_total - int(visits.sum()), 0),
            )

        def check(found: Mapping[str, Any]) -> None:
            """Compare what is stored with what was acknowledged, on both sides."""
            require_equal("updates and experiences lost", found["ours"], KEPT)
            require_equal("updates lost by the naive loop", found["naive"], KEPT)

        yield Running({"ours": ours, "naive": naive}, check)


_OURS = (
    f"1 process, {PRODUCERS} concurrent callers of {BATCH:,} updates each over {len(AGENTS)} agents' tables; "
)
_RATE = "updates_per_second"

BENCHMARKS = (
    Benchmark(
        "durable-updates",
        (
            Contestant(
                "ours",
                _OURS + "acknowledged after commit, every experience appended in the same transaction",
            ),
            Contestant("ours without log", _OURS + "acknowledged after commit, no experiences"),
            Contestant(
                "pgbench",
                f"pgbench -N -M prepared, {CLIENTS} clients, {THREADS} threads, scale {SCALE}: "
                "one row updated and one line of history inserted a transaction, on the same server",
            ),
        ),
        (
            Row(
                "updates-vs-pgbench",
                f"durable batched updates with their experiences ÷ `pgbench -N` ({CLIENTS} clients)",
                Of("ours", _RATE),
                Of("pgbench", _RATE),
                at_least(15),
            ),
            Row(
                "updates-without-log-vs-pgbench",
                f"the same without experiences ÷ `pgbench -N` ({CLIENTS} clients)",
                Of("ours without log", _RATE),
                Of("pgbench", _RATE),
                at_least(15),
            ),
            Row(
                "updates-floor",
                "absolute floor: durable updates with their experiences",
                Of("ours", _RATE),
                bound=at_least(10_000),
                unit="updates/s",
            ),
        ),
        prepare_durable,
    ),
    Benchmark(
        "skewed-updates",
        (
            Contestant(
                "ours",
                f"{PRODUCERS} callers of {BATCH:,} updates each in {SKEWED_PROCESSES} processes, one table, "
                f"pairs by Zipf's law ({SKEW:g}), with experiences",
            ),
            Contestant(
                "naive",
                "one row a pair; read value and version, compute, UPDATE … WHERE version = …; again on "
                f"conflict; {NAIVE_CLIENTS} connections in {NAIVE_PROCESSES} processes, the same pairs",
            ),
        ),
        (
            Row(
                "skewed-updates-vs-naive",
                f"updates on skewed keys (zipf {SKEW:g}) ÷ naive versioned updates, {NAIVE_CLIENTS} clients",
                Of("ours", _RATE),
                Of("naive", _RATE),
                at_least(150),
            ),
            Row(
                "lost-updates",
                f"lost or doubled updates, {SKEWED_PROCESSES} processes on skewed keys",
                Of("ours", "lost_updates"),
                bound=at_most(0),
                unit="count",
            ),
            Row(
                "deadlocks",
                f"deadlocks, {SKEWED_PROCESSES} processes on skewed keys",
                Of("ours", "deadlocks"),
                bound=at_most(0),
                unit="count",
            ),
        ),
        prepare_skewed,
    ),
)
