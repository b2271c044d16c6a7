"""The catalogue: every figure that is owed has a row, under a name that can be asked for."""

import pytest

from benchmarks.catalogue import all_benchmarks, chosen_benchmarks
from benchmarks.harness import BenchmarkError, Bound, at_least, at_most, below

OWED: dict[str, Bound] = {
    "updates-vs-pgbench": at_least(15),
    "skewed-updates-vs-naive": at_least(150),
    "lost-updates": at_most(0),
    "deadlocks": at_most(0),
    "lookup-vs-select-1": at_most(2),
    "lookup-clients-p95": below(10),
    "append-vs-copy": at_least(4),
    "read-vs-adbc": at_least(3),
    "updates-floor": at_least(10_000),
}


def test_every_owed_figure_has_its_row_and_bound():
    found = {row.name: row.bound for benchmark in all_benchmarks() for row in benchmark.rows}
    assert {name: found.get(name) for name in OWED} == OWED


def test_full_run_takes_at_least_five_rounds_of_what_is_owed():
    owed = [b for b in all_benchmarks() if any(row.name in OWED for row in b.rows)]
    assert all(benchmark.repeats >= 5 for benchmark in owed)


def test_benchmark_is_chosen_by_its_name_or_by_a_row():
    (by_name,) = chosen_benchmarks(["skewed-updates"])
    (by_row,) = chosen_benchmarks(["deadlocks"])
    assert by_name.name == by_row.name == "skewed-updates"
    assert chosen_benchmarks([]) == all_benchmarks()


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BenchmarkError, match="deadlocks"):
        chosen_benchmarks(["deadlock"])
