"""All benchmarks, in the order in which they run.

What belongs here: the list of modules; each has a tuple ``BENCHMARKS``. What does not: benchmarks themselves.
"""

from collections.abc import Collection
from importlib import import_module

from benchmarks.harness import Benchmark, BenchmarkError
from qe_core.errors import nearest

MODULES: tuple[str, ...] = (
    "benchmarks.updates",
    "benchmarks.decide",
    "benchmarks.lookups",
    "benchmarks.experience_log",
    "benchmarks.agents",
    "benchmarks.learning_replay",
    "benchmarks.learning_solve",
    "benchmarks.learning_sampling",
    "benchmarks.learning_memory",
    "benchmarks.append_parts",
    "benchmarks.flush_forms",
)


def all_benchmarks() -> tuple[Benchmark, ...]:
    """Return every benchmark; names of benchmarks and rows are unique.

    Raises:
        BenchmarkError: a name is used twice.
    """
    found = tuple(benchmark for module in MODULES for benchmark in import_module(module).BENCHMARKS)
    for names in ([b.name for b in found], [row.name for b in found for row in b.rows]):
        if twice := {name for name in names if names.count(name) > 1}:
            raise BenchmarkError(f"{sorted(twice)} are names of more than one benchmark or row")
    return found


def chosen_benchmarks(names: Collection[str]) -> tuple[Benchmark, ...]:
    """Return the benchmarks of these names, or those that fill rows of these names; all for none.

    Raises:
        BenchmarkError: nothing has that name.
    """
    everything = all_benchmarks()
    known = {name for b in everything for name in (b.name, *(row.name for row in b.rows))}
    for name in names:
        if name not in known:
            raise BenchmarkError(f"there is no benchmark {name!r}; {nearest(name, sorted(known))}")
    return tuple(
        b for b in everything if not names or {b.name, *(row.name for row in b.rows)}.intersection(names)
    )
