"""Prioritised replay against cpprb's and torchrl's buffers: draw a batch, gather rows, set priorities.

What belongs here: the three buffers behind one small interface, and the test of their distributions. What
does not: training from a buffer, which no peer does.

torchrl's compiled part is built for one release of torch and names functions another may lack. The sum-tree
needs none of them, so it is loaded with symbols looked up when they are called.
"""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.harness import (
    Benchmark,
    BenchmarkError,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_least,
)
from benchmarks.learning_replay import RATE
from benchmarks.learning_world import DISCOUNT, World
from benchmarks.place import Place
from qe_core.learning.experience import COLUMN_TYPES, Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.buffer import BufferSettings, ReplayBuffer
from qe_core.learning.replay.kernels import MINIMUM_ERROR
from qe_core.learning.replay.training import train_from_buffer

BATCH = 32
PRIORITY_EXPONENT, IMPORTANCE_EXPONENT = 0.6, 0.4
STATES, ACTIONS = 2_000, 8
GROUPS = 64
ERROR_RATE = 1e-6
"""Chance that a correct buffer is called wrong in one round. cpprb's chance cannot be seeded."""

FloatArray = npt.NDArray[np.float64]
Batch = tuple[npt.NDArray[np.int64], FloatArray, dict[str, npt.NDArray[Any]]]
"""Rows, importance weights as the buffer scales them, and the gathered columns."""


class Ours:
    """The product's buffer."""

    def __init__(self, log: Transitions) -> None:
        settings = BufferSettings(
            len(log),
            priority_exponent=PRIORITY_EXPONENT,
            importance_sampling_exponent=IMPORTANCE_EXPONENT,
            importance_sampling_increment=0.0,
        )
        self.buffer = ReplayBuffer(settings, STATES, ACTIONS)
        self.buffer.add(log)
        self.generator = np.random.default_rng(1)

    def set(self, errors: FloatArray) -> None:
        """Set the priorities of all rows."""
        self.buffer.update_priorities(np.arange(len(errors)), errors)

    def draw(self) -> Batch:
        """Return a batch."""
        sample = self.buffer.sample(BATCH, self.generator)
        columns = {name: getattr(sample.transitions, name) for name in COLUMN_TYPES}
        return sample.rows, sample.importance, columns

    def step(self) -> None:
        """Draw a batch with all columns and set its priorities, rewards for errors."""
        sample = self.buffer.sample(BATCH, self.generator)
        self.buffer.update_priorities(sample.rows, sample.transitions.reward)


class Cpprb:
    """cpprb's prioritised buffer with the same columns, exponents and smallest error."""

    def __init__(self, log: Transitions) -> None:
        import cpprb  # type: ignore[import-not-found]

        columns = {name: {"dtype": wanted} for name, wanted in COLUMN_TYPES.items()}
        self.buffer = cpprb.PrioritizedReplayBuffer(
            len(log), columns, alpha=PRIORITY_EXPONENT, eps=MINIMUM_ERROR
        )
        self.buffer.add(**{name: getattr(log, name) for name in COLUMN_TYPES})

    def set(self, errors: FloatArray) -> None:
        """Set the priorities of all rows."""
        self.buffer.update_priorities(np.arange(len(errors)), errors)

    def draw(self) -> Batch:
        """Return a batch; every batch's rows come in the same memory, so they are copied here."""
        found = self.buffer.sample(BATCH, beta=IMPORTANCE_EXPONENT)
        columns = {name: found[name].ravel() for name in COLUMN_TYPES}
        return found["indexes"].copy(), found["weights"], columns

    def step(self) -> None:
        """Draw a batch with all columns and set its priorities, rewards for errors."""
        found = self.buffer.sample(BATCH, beta=IMPORTANCE_EXPONENT)
        self.buffer.update_priorities(found["indexes"], found["reward"].ravel())


class Torchrl:
    """torchrl's replay buffer with its prioritised sampler, on the processor, with the same exponents."""

    def __init__(self, log: Transitions) -> None:
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | os.RTLD_LAZY)
        try:
            import torch  # type: ignore[import-not-found]
            from tensordict import TensorDict  # type: ignore[import-not-found]
            from torchrl import data  # type: ignore[import-not-found]
        finally:
            sys.setdlopenflags(flags)
        logging.getLogger("torchrl").setLevel(logging.WARNING)
        self.torch = torch
        sampler = data.PrioritizedSampler(
            len(log), alpha=PRIORITY_EXPONENT, beta=IMPORTANCE_EXPONENT, eps=MINIMUM_ERROR
        )
        storage = data.LazyTensorStorage(len(log))
        self.buffer = data.ReplayBuffer(storage=storage, sampler=sampler, batch_size=BATCH)
        columns = {name: torch.from_numpy(getattr(log, name)) for name in COLUMN_TYPES}
        self.buffer.extend(TensorDict(columns, batch_size=[len(log)]))

    def set(self, errors: FloatArray) -> None:
        """Set the priorities of all rows; the tree holds single precision."""
        rows = self.torch.arange(len(errors))
        self.buffer.update_priority(rows, self.torch.from_numpy(errors).to(self.torch.float32))

    def draw(self) -> Batch:
        """Return a batch."""
        found, about = self.buffer.sample(return_info=True)
        columns = {name: found[name].numpy() for name in COLUMN_TYPES}
        return about["index"].numpy(), about["priority_weight"].numpy(), columns

    def step(self) -> None:
        """Draw a batch with all columns and set its priorities, rewards for errors."""
        found, about = self.buffer.sample(return_info=True)
        self.buffer.update_priority(about["index"], found["reward"].to(self.torch.float32))


Buffer = Ours | Cpprb | Torchrl


def chance(found: Mapping[str, Any], shares: FloatArray) -> float:
    """Return the chance of drawn rows at least so far from the shares they should have (chi-square).

    Rows are put into groups of about equal share. Stratified drawing stays nearer than chance alone would, so
    only too far counts.
    """
    group = np.minimum((np.cumsum(shares) * GROUPS).astype(np.int64), GROUPS - 1)
    rows = np.asarray(found["rows"])
    expected = np.bincount(group, weights=shares, minlength=GROUPS) * len(rows)
    seen = np.bincount(group[rows], minlength=GROUPS)
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), GROUPS - 1))


def probe(buffer: Buffer, log: Transitions, errors: FloatArray, batches: int) -> dict[str, Any]:
    """Set all priorities, draw many batches without changing any, and return what came.

    Raises:
        ResultsDifferError: a gathered column is not that of its rows, or importance weights have other ratios
            than (N·P)^−β.
    """
    buffer.set(errors)
    drawn = []
    for _ in range(batches):
        rows, importance, columns = buffer.draw()
        drawn.append(rows)
        for name, column in columns.items():
            if not np.array_equal(column, getattr(log, name)[rows]):
                raise ResultsDifferError(f"column {name} is not that of the rows drawn")
        wanted = (errors[rows] + MINIMUM_ERROR) ** -(PRIORITY_EXPONENT * IMPORTANCE_EXPONENT)
        ratio = importance / wanted
        if not np.allclose(ratio, ratio[0], rtol=1e-3):
            raise ResultsDifferError(
                f"importance weights are not (N·P)^−β: ratios {ratio.min()} … {ratio.max()}"
            )
    return {"rows": np.concatenate(drawn)}


@contextmanager
def prepare(place: Place, full: int) -> Iterator[Running]:
    """Yield the buffers, each filled with the same rows and probed before it is timed."""
    count, batches, probed = place.size((full, 5_000, 2_000), (20_000, 200, 500))
    log = World(STATES, ACTIONS).log(count)
    log = replace(log, reward=np.abs(log.reward))  # rewards stand for errors, which peers take without sign
    errors = np.abs(np.random.default_rng(5).normal(0.0, 20.0, count))
    shares = (errors + MINIMUM_ERROR) ** PRIORITY_EXPONENT
    shares /= shares.sum()
    made: dict[str, Buffer] = {}
    kinds = {"ours": Ours, "cpprb": Cpprb, "torchrl": Torchrl}

    def measured(name: str) -> Measurement:
        """Probe, then time drawing, gathering and setting, batch after batch."""
        buffer = made[name] = made[name] if name in made else kinds[name](log)
        found = probe(buffer, log, errors, probed)
        began = time.perf_counter()
        for _ in range(batches):
            buffer.step()
        return Measurement({"batches_per_second": batches / (time.perf_counter() - began)}, found)

    def compiled() -> Measurement:
        """Draw, learn and set priorities in one compiled loop; our buffer, probed like the others."""
        ours = made["ours"]
        if not isinstance(ours, Ours):
            raise BenchmarkError("the contestant ours must come first")
        found = probe(ours, log, errors, probed)
        table = QTable.zeros(STATES, ACTIONS)
        began = time.perf_counter()
        train_from_buffer(table, ours.buffer, batches, ours.generator, DISCOUNT, RATE, batch_size=BATCH)
        return Measurement({"batches_per_second": batches / (time.perf_counter() - began)}, found)

    def check(found: Mapping[str, Any]) -> None:
        """Test every buffer's rows against the shares their priorities give them."""
        for name, result in found.items():
            if math.isnan(p := chance(result, shares)) or p < ERROR_RATE:
                raise ResultsDifferError(f"{name} does not draw in proportion to priority (p = {p:.2g})")

    yield Running(
        {**{name: lambda name=name: measured(name) for name in kinds}, "ours, training": compiled}, check
    )


CONTESTANTS = (
    Contestant(
        "ours", "ReplayBuffer.sample and update_priorities, batches of 32, six columns, called from Python"
    ),
    Contestant("cpprb", "PrioritizedReplayBuffer.sample and update_priorities, the same rows", ("cpprb",)),
    Contestant(
        "torchrl",
        "ReplayBuffer with PrioritizedSampler and LazyTensorStorage on the processor, the same rows",
        ("torch", "tensordict", "torchrl"),
    ),
    Contestant("ours, training", "train_from_buffer: the same and the Q-updates too, in one compiled loop"),
)


def _sampling(name: str, count: int, is_owed: bool) -> Benchmark:
    """Return the comparison for one buffer size."""

    def row(suffix: str, contestant: str, peer: str, limit: float | None) -> Row:
        """Return one ratio of batches a second."""
        return Row(
            f"{name}{suffix}",
            f"prioritised sample+gather+update ÷ {peer}, {count:,} rows"
            + (", Q-updates included on our side" if contestant != "ours" else ""),
            Of(contestant, "batches_per_second"),
            Of(peer, "batches_per_second"),
            None if limit is None else at_least(limit),
        )

    @contextmanager
    def prepared(place: Place) -> Iterator[Running]:
        """Yield ``prepare`` for this size."""
        with prepare(place, count) as running:
            yield running

    return Benchmark(
        name=name,
        contestants=CONTESTANTS,
        rows=(
            row("", "ours", "cpprb", 2.0 if is_owed else None),
            row("-torchrl", "ours", "torchrl", None),
            row("-training", "ours, training", "cpprb", None),
        ),
        prepare=prepared,
    )


BENCHMARKS = (
    _sampling("sampling", 1_000_000, is_owed=True),
    _sampling("sampling-small", 10_000, is_owed=True),
)
