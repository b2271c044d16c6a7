"""The policy a Q-table stands for in a project session, also where the table knows little.

What belongs here: completing a table by backing off to coarser states, and playing by it. What does not:
learning tables (`training`, the pipelines) and the rules they are compared with.

A project has many modules and moving on is free, so the policy looks at all of them and goes where the best
slice promises most branches. The learned value, a share of what is uncovered a second, times what is
uncovered ranks modules and strategies alike, as an index ranks the arms of a bandit (Gittins 1979). In the
environment that is a run of ``move-on`` steps followed by a slice.
"""

from dataclasses import dataclass

import numpy as np

from qe_core.environments.recorded.project import Float64Array, Int64Array
from qe_core.environments.recorded.replay import play_table
from qe_core.environments.recorded.session import MEASUREMENTS, SLICE_SECONDS, SessionArrays
from qe_core.environments.recorded.sessions import Session
from qe_core.errors import LearningError
from qe_core.fleet.test_generation import TEST_GENERATOR, TestGeneratorState
from qe_core.learning.q_table import QTable

COARSER: tuple[tuple[str, ...], ...] = (
    ("track_record", "coverage_gap", "callers", "examples", "neighbours", "effort"),
    ("callers", "examples", "neighbours", "effort"),
    ("callers",),
)
"""The features kept at each step of backing off, finest first; chosen on training packages (ADR 0051)."""

SHRINKAGE = 100.0
"""How many visits of its own make a state's value count as much as that of the coarser state (ADR 0051)."""


@dataclass(frozen=True, slots=True)
class TablePolicy:
    """Plays sessions by values.

    Attributes:
        values: of each (state, action), every entry finite, float64[S, A].
    """

    values: Float64Array

    def __call__(self, session: Session, arrays: SessionArrays) -> None:
        """Play a session by the values."""
        play_table(session.project.arrays, arrays, self.values, SLICE_SECONDS, np.zeros(len(MEASUREMENTS)))


def policy_from(table: QTable, shrinkage: float = SHRINKAGE) -> TablePolicy:
    """Return the policy of a Q-table of the test generator.

    A value is the mean of the state's own and the coarser state's, weighted by visits against ``shrinkage``;
    the coarser state's likewise, up to states that keep one feature. So few visits are never taken at face
    value, and states never seen act like those most like them. This is the blended lookup of the
    hierarchy with coarser states of the same agent in the place of its category.

    Args:
        table: values and visits, as the pipelines publish them.
        shrinkage: visits at which own and coarser value weigh the same, at least 0.

    Raises:
        LearningError: the table was made for another state space, or the shrinkage is negative.
    """
    shape = (TEST_GENERATOR.state_count, TEST_GENERATOR.action_count)
    if (table.state_count, table.action_count) != shape:
        raise LearningError(
            f"the test generator's table has {shape[0]} × {shape[1]} values, not {table.state_count} × "
            f"{table.action_count}; rebuild it from the log under the current contract"
        )
    if not shrinkage >= 0.0:
        raise LearningError(f"shrinkage counts visits and is at least 0, not {shrinkage}")
    visits = table.visits.astype(np.float64)
    unknown = (
        float(table.target_mean.min(initial=0.0)) - 1.0
    )  # below everything seen: what nobody tried comes last
    values = np.full(shape, unknown)
    for level, kept in enumerate(reversed(COARSER)):
        weight = shrinkage if level else 0.0  # the coarsest states have nothing to lean on
        values = _blend(table.target_mean, visits, values, coarse_states(kept), weight)
    return TablePolicy(_blend(table.target_mean, visits, values, np.arange(shape[0]), shrinkage))


def coarse_states(kept: tuple[str, ...]) -> Int64Array:
    """Return for each state of the test generator the number of its coarser state, int64[S].

    Args:
        kept: the features two states must share to be the same coarser state.
    """
    codes = np.arange(TestGeneratorState.space_size())
    coarse = np.zeros_like(codes)
    divisor = len(codes)
    for feature in TestGeneratorState.features():
        divisor //= feature.radix
        if feature.name in kept:
            coarse = coarse * feature.radix + codes // divisor % feature.radix
    return coarse


def _blend(
    means: Float64Array, visits: Float64Array, prior: Float64Array, groups: Int64Array, shrinkage: float
) -> Float64Array:
    """Return (Σ n·mean + shrinkage · prior) / (Σ n + shrinkage) over each group of states, float64[S, A]."""
    blended = prior.copy()
    for action in range(means.shape[1]):
        weight = np.bincount(groups, visits[:, action])[groups]
        total = np.bincount(groups, visits[:, action] * means[:, action])[groups]
        known = weight > 0.0
        blended[known, action] = (total + shrinkage * prior[:, action])[known] / (weight + shrinkage)[known]
    return blended
