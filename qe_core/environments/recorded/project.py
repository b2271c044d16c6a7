"""A project to test, compiled for replay: some modules of one package and one repetition of their runs.

What belongs here: turning recorded columns into the flat arrays that the replay reads. What does not:
choosing projects (`training`, `evaluation`) and replaying them (`session`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qe_core.environments.recorded.recordings import (
    KINDS,
    MODULE_COLUMNS,
    OUTCOME_COLUMNS,
    Recordings,
)
from qe_core.errors import RecordingError
from qe_core.fleet.features import Bins
from qe_core.fleet.test_generation import STRATEGIES, TestGeneratorState

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

COMPLEX_FROM = 10
"""A module is risky when one of its functions has at least this cyclomatic complexity (McCabe 1976)."""


class ReplayArrays(NamedTuple):
    """What the compiled replay reads; M modules, S strategies, K kinds of outcome, E events, I items.

    Attributes:
        starts: where the events of (kind, module, strategy) begin, int64[K*M*S + 1], kind outermost.
        items: the item each event reaches, int64[E]; numbered through all kinds of the whole package.
        offsets: the number of the first item of each kind, then the number of all items, int64[K + 1].
        times: the CPU second of its run at which the event happens, ascending per run, float64[E].
        ends: the CPU second at which the run of (module, strategy) is over, float64[M, S].
        branches: branches of each module, covered or not, int64[M].
        mutants: mutants of each module, int64[M].
        totals: branches, mutants and tests of the whole project, at least 1, float64[K].
        traits: what is known of each module before the session, int64[M, T] (`TRAITS`).
        radices: labels of each feature of the agent's state, in digit order, int64[F].
        edges: inner edges of its features that change with coverage (`BINNED`), padded with infinity.
    """

    starts: Int64Array
    items: Int64Array
    offsets: Int64Array
    times: Float64Array
    ends: Float64Array
    branches: Int64Array
    mutants: Int64Array
    totals: Float64Array
    traits: Int64Array
    radices: Int64Array
    edges: Float64Array


@dataclass(frozen=True, slots=True)
class Project:
    """A project to test: some modules of one package, and one repetition of every strategy on them.

    Attributes:
        package: whose modules these are.
        repetition: which repetition of the runs is replayed.
        modules: the modules' names in the order in which moving on visits them.
        arrays: the same, compiled.
    """

    package: str
    repetition: int
    modules: tuple[str, ...]
    arrays: ReplayArrays

    @property
    def module_count(self) -> int:
        """How many modules the project has, at least 1."""
        return len(self.modules)

    def in_order(self, order: Sequence[int] | Int64Array) -> "Project":
        """Return the sub-project of the given modules in the given order.

        Args:
            order: distinct positions in `modules`, at least one.

        Raises:
            RecordingError: a position is repeated or does not exist, or none is given.
        """
        positions = np.asarray(order, dtype=np.int64)
        count = self.module_count
        if not len(positions) or len(set(positions.tolist())) != len(positions):
            raise RecordingError(f"a project needs distinct modules, got the positions {positions.tolist()}")
        if positions.min() < 0 or positions.max() >= count:
            raise RecordingError(f"{self.package} has modules 0 to {count - 1}, not {positions.tolist()}")
        arrays = self.arrays
        kinds, strategies = len(KINDS), len(STRATEGIES)
        runs = np.arange(kinds * count * strategies).reshape(kinds, count, strategies)[:, positions].ravel()
        lengths = np.diff(arrays.starts)[runs]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = np.repeat(arrays.starts[:-1][runs] - starts[:-1], lengths) + np.arange(starts[-1])
        return Project(
            self.package,
            self.repetition,
            tuple(self.modules[position] for position in positions.tolist()),
            ReplayArrays(
                starts=starts,
                items=arrays.items[events],
                offsets=arrays.offsets,
                times=arrays.times[events],
                ends=np.ascontiguousarray(arrays.ends[positions]),
                branches=arrays.branches[positions],
                mutants=arrays.mutants[positions],
                totals=_totals(arrays.traits[positions]),
                traits=np.ascontiguousarray(arrays.traits[positions]),
                radices=arrays.radices,
                edges=arrays.edges,
            ),
        )


TRAITS = ("branches", "mutants", "size", "risk", "examples")
"""What is known of a module before the session: two counts, then digits of the agent's state."""

BINNED = ("track_record", "coverage_gap", "effort", "budget")
"""The binned features of the agent's state that change while a session is played."""


def compile_project(recordings: Recordings, package: str, repetition: int) -> Project:
    """Return a package as a project, its modules in recorded order.

    A module on which some strategy was not run in this repetition cannot be replayed and is left out, so that
    a recording can be used while it is being made.

    Raises:
        RecordingError: the package or repetition was not recorded, no module of it was recorded completely,
        or an
            outcome names an item its module does not have.
    """
    rows = recordings.modules_of(package)
    runs = _rows_of(recordings.runs, package, repetition)
    if not len(runs):
        raise RecordingError(
            f"{package} has no repetition {repetition}; recorded are {list(recordings.repetitions())}"
        )
    ends = _ends(recordings, rows, runs)
    is_complete = np.isfinite(ends).all(axis=1)
    if not is_complete.any():
        module, strategy = (int(code) for code in np.argwhere(np.isnan(ends))[0])
        raise RecordingError(
            f"{package}: strategy {STRATEGIES[strategy]} was never run on "
            f"{recordings.modules['module'][rows[module]]} in repetition {repetition}, and no "
            "other module is complete; go on recording the package"
        )
    rows, ends = rows[is_complete], ends[is_complete]
    events = _events(recordings, rows, _rows_of(recordings.outcomes, package, repetition))
    traits = _traits(recordings, rows)
    count, strategies = ends.shape
    items, offsets = _number_items(recordings.modules["module"][rows].tolist(), traits, events)
    run = (events.kind * count + events.module) * strategies + events.strategy
    order = np.lexsort((items, events.seconds, run))
    # A run's clock may read less at its end than at its last event: rounding must not lose the event.
    latest = np.zeros_like(ends)
    np.maximum.at(latest, (events.module, events.strategy), events.seconds)
    return Project(
        package,
        repetition,
        tuple(str(name) for name in recordings.modules["module"][rows]),
        ReplayArrays(
            starts=np.searchsorted(run[order], np.arange(len(KINDS) * ends.size + 1)).astype(np.int64),
            items=items[order],
            offsets=offsets,
            times=events.seconds[order],
            ends=np.maximum(ends, latest),
            branches=traits[:, 0].copy(),
            mutants=traits[:, 1].copy(),
            totals=_totals(traits),
            traits=traits,
            radices=_radices(),
            edges=_edges(),
        ),
    )


class _Events(NamedTuple):
    """Outcomes of one package and repetition as codes: kind, module, strategy, item and second, each [E]."""

    kind: Int64Array
    module: Int64Array
    strategy: Int64Array
    item: Int64Array
    seconds: Float64Array


def _codes(names: Iterable[str], values: Iterable[str]) -> Int64Array:
    """Return the position of each value among the names, -1 where it is none of them."""
    code = {name: position for position, name in enumerate(names)}
    return np.asarray([code.get(value, -1) for value in values], dtype=np.int64)


def _ends(recordings: Recordings, rows: Int64Array, runs: Int64Array) -> Float64Array:
    """Return the second at which each run ended, NaN where there was none, float64[M, S]."""
    modules = _codes(recordings.modules["module"][rows].tolist(), recordings.runs["module"][runs].tolist())
    ends = np.full((len(rows), len(STRATEGIES)), np.nan)
    ends[modules, _codes(STRATEGIES, recordings.runs["strategy"][runs].tolist())] = recordings.runs[
        "seconds"
    ][runs]
    return ends


def _events(recordings: Recordings, rows: Int64Array, chosen: Int64Array) -> _Events:
    outcomes = {name: recordings.outcomes[name][chosen] for name in OUTCOME_COLUMNS}
    module = _codes(recordings.modules["module"][rows].tolist(), outcomes["module"].tolist())
    events = _Events(
        _codes(KINDS, outcomes["kind"].tolist()),
        module,
        _codes(STRATEGIES, outcomes["strategy"].tolist()),
        outcomes["item"].astype(np.int64),
        outcomes["seconds"].astype(np.float64),
    )
    is_known = module >= 0
    return _Events._make(column[is_known] for column in events)


def _rows_of(table: Any, package: str, repetition: int) -> Int64Array:
    is_wanted = (table["package"] == package) & (table["repetition"] == repetition)
    return np.flatnonzero(is_wanted).astype(np.int64)


def _totals(traits: Int64Array) -> Float64Array:
    """Return the project's branches and mutants, and the tests useful for them: one per branch."""
    branches, mutants = (max(1, int(total)) for total in traits[:, :2].sum(axis=0))
    return np.asarray([branches, mutants, branches], dtype=np.float64)


def _number_items(names: Sequence[str], traits: Int64Array, events: _Events) -> tuple[Int64Array, Int64Array]:
    """Return the items numbered through the package, and the first number of each kind and of none.

    Branches come first, then mutants; each test of each run is an item of its own.
    """
    counts = traits[:, :2].T  # one row for each kind that is shared between strategies
    is_shared = events.kind < len(counts)
    kind = np.where(is_shared, events.kind, 0)
    if (is_bad := is_shared & (events.item >= counts[kind, events.module])).any():
        row = int(np.flatnonzero(is_bad)[0])
        raise RecordingError(
            f"{names[events.module[row]]} has {counts[kind[row], events.module[row]]} items of kind "
            f"{KINDS[kind[row]]}, but item {events.item[row]} was reached; the outcomes belong to another "
            "version of the module, record it again"
        )
    firsts = np.concatenate([[0], np.cumsum(counts.ravel())])
    numbered = firsts[kind * len(names) + events.module] + events.item
    test_count = int((~is_shared).sum())
    numbered[~is_shared] = firsts[-1] + np.arange(test_count)
    offsets = [0, firsts[len(names)], firsts[-1], firsts[-1] + test_count]
    return numbered.astype(np.int64), np.asarray(offsets, dtype=np.int64)


def _traits(recordings: Recordings, rows: Int64Array) -> Int64Array:
    """Return what is known of each module before the session, int64[M, T]; digits are the contract's."""
    known = {name: recordings.modules[name][rows] for name in MODULE_COLUMNS}
    size = _bins("size")
    return np.column_stack(
        [
            known["branches"],
            known["mutants"],
            [size.labels.index(size.label(float(count))) for count in known["statements"]],
            known["max_complexity"] >= COMPLEX_FROM,
            known["doctests"] > 0,
        ]
    ).astype(np.int64)


def _bins(feature: str) -> Bins:
    """Return the bins of one of the agent's binned features."""
    (bins,) = TestGeneratorState.model_fields[feature].metadata
    assert isinstance(bins, Bins)
    return bins


def _radices() -> Int64Array:
    return np.asarray([feature.radix for feature in TestGeneratorState.features()], dtype=np.int64)


def _edges() -> Float64Array:
    """Return the inner edges of the features that are binned while playing, padded with infinity."""
    edges = [_bins(feature).edges for feature in BINNED]
    width = max(len(row) for row in edges)
    return np.asarray([[*row, *[np.inf] * (width - len(row))] for row in edges])
