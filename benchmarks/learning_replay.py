"""Sequential Q-learning in exact order against loops over numpy; composed updates.

What belongs here: what learns update by update. What does not: the exact solution (`learning_solve`) and
sampling (`learning_sampling`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
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
    at_least,
    timed,
)
from benchmarks.learning_world import DISCOUNT, World
from benchmarks.place import Place
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import SequentialTraining
from qe_core.learning.updates import LearningRate

RATE = LearningRate()
TABLE_COLUMNS = ("q", "visits", "target_mean", "target_m2")

Columns = dict[str, Any]


def plain_loop(log: Transitions, table: QTable) -> QTable:
    """Return the table after the log, by the update rule written down over numpy arrays."""
    q, visits = table.q.copy(), table.visits.copy()
    mean, m2 = table.target_mean.copy(), table.target_m2.copy()
    for row in range(len(log)):
        s, a, successor = log.state[row], log.action[row], log.next_state[row]
        best = 0.0
        if not log.terminated[row]:
            tried = q[successor][visits[successor] > 0]
            best = tried.max() if len(tried) else 0.0
        target = log.reward[row] + DISCOUNT * best
        rate = max(RATE.minimum, RATE.initial / (1.0 + visits[s, a]) ** RATE.exponent)
        q[s, a] += rate * (target - q[s, a])
        visits[s, a] += 1
        deviation = target - mean[s, a]
        mean[s, a] += deviation / visits[s, a]
        m2[s, a] += deviation * (target - mean[s, a])
    return QTable(q, visits, mean, m2)


def tuned_loop(log: Transitions, table: QTable) -> QTable:
    """Return the same from a loop that avoids what costs numpy most: masks, temporaries, array scalars."""
    q, visits = table.q.copy(), table.visits.copy()
    mean, m2 = table.target_mean.copy(), table.target_m2.copy()
    tried = np.where(visits > 0, q, -np.inf)
    columns = (log.state, log.action, log.reward, log.next_state, log.terminated)
    for s, a, reward, successor, terminated in zip(*(column.tolist() for column in columns), strict=True):
        best = 0.0 if terminated else tried[successor].max()
        target = reward + DISCOUNT * (best if best > -np.inf else 0.0)
        pair = (s, a)
        count, old = visits[pair], q[pair]
        rate = max(RATE.minimum, RATE.initial / (1.0 + count) ** RATE.exponent)
        q[pair] = tried[pair] = old + rate * (target - old)
        visits[pair] = count = count + 1
        before = mean[pair]
        mean[pair] = after = before + (target - before) / count
        m2[pair] += (target - before) * (target - after)
    return QTable(q, visits, mean, m2)


def same_table(what: str, found: QTable, wanted: QTable) -> None:
    """Raise `ResultsDifferError` unless two tables are the same bits."""
    for name in TABLE_COLUMNS:
        if getattr(found, name).tobytes() != getattr(wanted, name).tobytes():
            raise ResultsDifferError(f"{what} differ in {name}")


@contextmanager
def prepare_replay(place: Place, states: int, actions: int) -> Iterator[Running]:
    """Yield ours over the whole log and the loops over its beginning; a figure is updates a second."""
    rows, checked = place.size((1_000_000, 50_000), (100_000, 5_000))
    log, empty = World(states, actions).log(rows), QTable.zeros(states, actions)
    beginning, rest = log.slice(0, checked), log.slice(checked, rows)

    def ours() -> Measurement:
        """Learn the beginning, keep that table for the comparison, learn the rest; all of it counts."""
        began = time.perf_counter()
        training = SequentialTraining(empty, DISCOUNT, RATE)
        start = training.trained(training.add(beginning)).table
        training.add(rest)
        training.trained(np.empty(0))
        return Measurement({"updates_per_second": rows / (time.perf_counter() - began)}, start)

    def loop(function: Callable[[Transitions, QTable], QTable]) -> Measurement:
        """Learn the beginning only, and scale by its length."""
        taken = timed(lambda: function(beginning, empty))
        return Measurement({"updates_per_second": checked / taken.values["seconds"]}, taken.result)

    def check(found: Mapping[str, Any]) -> None:
        """Compare values, visits and statistics after the beginning, bit for bit."""
        for name in ("numpy loop", "tuned loop"):
            same_table(f"tables of ours and {name}", found["ours"], found[name])

    yield Running(
        {
            "ours": ours,
            "numpy loop": partial(loop, plain_loop),
            "tuned loop": partial(loop, tuned_loop),
        },
        check,
    )


def composed_by_numpy(columns: list[Any]) -> Columns:
    """Return composed updates by sorting, as far as numpy goes, and a loop over rows of one pair."""
    state, action, target, rate = columns
    order = np.lexsort((action, state))
    s, a, t, r = state[order], action[order], target[order], rate[order]
    is_first = np.ones(len(s), dtype=np.bool_)
    is_first[1:] = (s[1:] != s[:-1]) | (a[1:] != a[:-1])
    first = np.flatnonzero(is_first)
    scale, offset = np.multiply.reduceat(1.0 - r, first), np.zeros(len(first))
    for pair, (start, stop) in enumerate(zip(first, [*first[1:], len(s)], strict=True)):
        value = 0.0
        for row in range(start, stop):
            value = (1.0 - r[row]) * value + r[row] * t[row]
        offset[pair] = value
    return {"state": s[first], "action": a[first], "scale": scale, "offset": offset}


@contextmanager
def prepare_compose(place: Place) -> Iterator[Running]:
    """Yield ours and numpy, each composing one large flush of updates on skewed pairs."""
    rows = place.size(full=50_000, quick=5_000)
    generator = np.random.default_rng(3)
    columns = [
        generator.zipf(1.2, rows) % 10_000,
        generator.integers(0, 12, rows).astype(np.int16),
        generator.normal(0.0, 20.0, rows),
        generator.random(rows),
    ]

    def check(found: Mapping[str, Any]) -> None:
        """Compare pairs exactly and A and B to 1e-12."""
        for name, wanted in found["numpy"].items():
            if not np.allclose(getattr(found["ours"], name), wanted, rtol=1e-12, atol=1e-12):
                raise ResultsDifferError(f"composed updates differ in {name}")

    yield Running(
        {
            "ours": lambda: timed(lambda: AffineUpdates.from_targets(*columns)),
            "numpy": lambda: timed(lambda: composed_by_numpy(columns)),
        },
        check,
    )


LOOPS = (
    Contestant("ours", "SequentialTraining over the whole log, one compiled loop in log order"),
    Contestant("numpy loop", "the same update rule, row by row over numpy arrays, on the log's beginning"),
    Contestant("tuned loop", "the same loop without masks and array scalars, on the log's beginning"),
)


def _replay(name: str, states: int, actions: int, is_owed: bool) -> Benchmark:
    """Return the comparison for one table size."""
    ours = Of("ours", "updates_per_second")
    size = f"{states:,} states × {actions} actions"
    return Benchmark(
        name=name,
        contestants=LOOPS,
        rows=(
            Row(
                name,
                f"exact-order replay ÷ numpy loop, {size}",
                ours,
                Of("numpy loop", "updates_per_second"),
                at_least(200.0) if is_owed else None,
            ),
            Row(f"{name}-tuned", f"the same ÷ tuned numpy loop, {size}", ours,
                Of("tuned loop", "updates_per_second")),
        ),
        prepare=partial(prepare_replay, states=states, actions=actions),
    )  # fmt: skip


BENCHMARKS = (
    _replay("replay", 2_000, 8, is_owed=True),
    _replay("replay-large", 10_000, 12, is_owed=False),
    Benchmark(
        name="compose",
        contestants=(
            Contestant("ours", "AffineUpdates.from_targets: radix sort and one compiled pass"),
            Contestant("numpy", "lexsort, reduceat, and a loop for what numpy has no word for"),
        ),
        rows=(
            Row(
                "compose",
                "composing a flush of 50,000 updates: numpy ÷ ours, seconds",
                Of("numpy", "seconds"),
                Of("ours", "seconds"),
            ),
        ),
        prepare=prepare_compose,
    ),
)
