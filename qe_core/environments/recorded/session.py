"""What happened so far in a session: the arrays that the replay changes.

What belongs here: their names, their start and the constants around them. What does not: changing them
(`replay`).
"""

from typing import NamedTuple

import numpy as np

from qe_core.environments.recorded.project import Float64Array, Int64Array, ReplayArrays
from qe_core.learning.arrays import BoolArray

SLICE_SECONDS = 0.1
"""CPU seconds of a strategy's first slice on a module; each later one lasts as long as all before it."""

MEASUREMENTS = ("coverage_gain", "defects_found", "edge_cases_reached", "execution_speed", "suite_size")
"""What a slice is measured by, in the order and units of the contract's reward terms."""

NOW, BUDGET, AREA, MUTANT_AREA = range(4)
"""Positions in ``SessionArrays.clock``."""

CURRENT, MOVES, STEPS = range(3)
"""Positions in ``SessionArrays.place``."""


class SessionArrays(NamedTuple):
    """What happened so far in a session; changed in place by the replay.

    Attributes:
        reached_at: second of the session at which each item was first reached, inf before, float64[I].
        cursors: the next event of each (kind, module, strategy), int64[K*M*S].
        spent: seconds given to each (module, strategy), float64[M, S].
        last_gain: branches the last slice of each (module, strategy) added, -1 before, int64[M, S].
        rewarded: whether a strategy ever added a branch on a module, bool[M, S].
        covered: branches covered of each module, int64[M].
        killed: mutants killed of each module, int64[M].
        slices: slices given to each (module, strategy), int64[M, S].
        history: of each module, one bit for the success of each of its last two slices, int64[M].
        clock: seconds used, budget in seconds, area so far under branches and under mutants, float64[4].
        place: current module, moves since the last slice, steps, int64[3].
    """

    reached_at: Float64Array
    cursors: Int64Array
    spent: Float64Array
    last_gain: Int64Array
    rewarded: BoolArray
    covered: Int64Array
    killed: Int64Array
    slices: Int64Array
    history: Int64Array
    clock: Float64Array
    place: Int64Array


def open_session(project: ReplayArrays, budget_seconds: float) -> SessionArrays:
    """Return the state of a session before its first step."""
    modules, strategies = project.ends.shape
    return SessionArrays(
        reached_at=np.full(project.offsets[-1], np.inf),
        cursors=project.starts[:-1].copy(),
        spent=np.zeros((modules, strategies)),
        last_gain=np.full((modules, strategies), -1, dtype=np.int64),
        rewarded=np.zeros((modules, strategies), dtype=np.bool_),
        covered=np.zeros(modules, dtype=np.int64),
        killed=np.zeros(modules, dtype=np.int64),
        slices=np.zeros((modules, strategies), dtype=np.int64),
        history=np.zeros(modules, dtype=np.int64),
        clock=np.asarray([0.0, budget_seconds, 0.0, 0.0]),
        place=np.zeros(3, dtype=np.int64),
    )
