"""Latencies in a fixed amount of memory, so that measuring for hours does not look like a leak.

What belongs here: a histogram that can be merged, and its percentiles. What does not: clocks.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_SHORTEST_SECONDS = 1e-7
_BINS_PER_E_FOLD = 100
_BINS = 2_000
"""From 0.1 µs to beyond a minute, a hundred bins for each factor e: one per cent wide."""


@dataclass(slots=True)
class LatencyHistogram:
    """Counts of latencies by their logarithm.

    Attributes:
        counts: int64[2000].
    """

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = math.log(max(seconds, _SHORTEST_SECONDS) / _SHORTEST_SECONDS) * _BINS_PER_E_FOLD
        self.counts[min(int(place), _BINS - 1)] += 1

    def merged(self, other: "LatencyHistogram") -> "LatencyHistogram":
        """Return the latencies of both."""
        return LatencyHistogram(self.counts + other.counts)

    @property
    def count(self) -> int:
        """How many latencies were counted."""
        return int(self.counts.sum())

    def percentile(self, share: float) -> float:
        """Return the seconds that this share of latencies does not exceed, at most one per cent too high.

        Args:
            share: in (0, 1].
        """
        if self.count == 0:
            return math.nan
        reached = np.searchsorted(np.cumsum(self.counts), math.ceil(share * self.count))
        return float(_SHORTEST_SECONDS * math.exp((int(reached) + 1) / _BINS_PER_E_FOLD))
