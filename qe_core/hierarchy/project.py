"""Projection of states and pairs to the next level: an integer division and a column map.

What belongs here: the projection alone. What does not: how divisors and approaches are declared (fleet).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import Int64Array, require_range


def project_states(states: npt.ArrayLike, divisor: int) -> Int64Array:
    """Return the shared part of encoded states: state // divisor, int64 of the same shape.

    Args:
        states: codes whose leading digits are the shared features, ≥ 0.
        divisor: how many states share each projection, at least 1.

    Raises:
        LearningError: the divisor is below 1 or a state is negative.
    """
    if divisor < 1:
        raise LearningError(f"divisor must be at least 1, got {divisor}; take it from the agent's contract")
    codes = np.asarray(states, dtype=np.int64)
    if (codes < 0).any():
        raise LearningError(
            f"states must not be negative, got {int(codes.min())}; encode them by the contract"
        )
    return codes // divisor


def project_pairs(
    state_count: int, divisor: int, approach_indices: Sequence[int], approach_count: int
) -> Int64Array:
    """Return the shared cell of every pair: projected state · approaches + approach, int64[S, A].

    Args:
        state_count: S of the lower level.
        divisor: as in ``project_states``.
        approach_indices: approach of each of the A actions.
        approach_count: columns of the upper level.

    Raises:
        LearningError: an approach is out of range or the divisor is below 1.
    """
    approaches = np.asarray(approach_indices, dtype=np.int64)
    require_range("approach_indices", approaches, approach_count)
    projected = project_states(np.arange(state_count), divisor)
    return projected[:, np.newaxis] * approach_count + approaches
