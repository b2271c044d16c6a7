"""What a team knows about one agent's values: a table beside the agent's own, and how much stands behind it.

What belongs here: the arrays, and that they fit each other. What does not: how they come about from noisy
contributions (`qe_core.privacy.shared_knowledge`), and merging them with own evidence
(`qe_core.hierarchy.merging`).
"""

from dataclasses import dataclass

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, Int64Array, require_finite, require_shape


@dataclass(frozen=True, slots=True)
class TeamEvidence:
    """Values that a team has learned together; pairs nothing is known about hold 0 everywhere.

    Attributes:
        q: values, points, float64[S, A].
        visits: how many visits without privacy noise would be as precise, int64[S, A]; 0 where unknown.
        error: standard error of the mean step behind a value, points, float64[S, A].
        reported: visits that contributors reported, as far as they counted, float64[S, A]; contains noise.
    """

    q: Float64Array
    visits: Int64Array
    error: Float64Array
    reported: Float64Array

    def __post_init__(self) -> None:
        if self.q.ndim != 2:
            raise LearningError(f"q must have shape (states, actions), got {self.q.shape}; reshape it first")
        if self.visits.dtype != np.int64:
            raise LearningError(
                f"visits must be int64, got {self.visits.dtype}; convert with astype(np.int64)"
            )
        for name in ("visits", "error", "reported"):
            require_shape(name, getattr(self, name), self.q.shape)
        for name in ("q", "error", "reported"):
            require_finite(name, getattr(self, name))
        if (self.visits < 0).any() or (self.error < 0).any() or (self.reported < 0).any():
            raise LearningError("visits, error and reported must not be negative; pull the table again")

    @property
    def known_count(self) -> int:
        """How many pairs anything is known about."""
        return int((self.visits > 0).sum())
