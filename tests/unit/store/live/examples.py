"""Records of a small table for tests of the hot path."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from qe_core.store import TableHandle
from qe_core.store.live import Experience, UpdateBatch

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HANDLE = TableHandle(1, "individual", "tester", "contract-1", 7, ("plan", "act", "stop"), 0, 0, None)


def experience(**changes: Any) -> Experience:
    """Return a valid experience with some values replaced."""
    valid = Experience(NOW, "episode-1", 0, 3, 1, 5.0, 4, False, False, 0.5)
    return valid._replace(**changes)


def batch(count: int = 4, **changes: Any) -> UpdateBatch:
    """Return a valid batch with some columns replaced."""
    columns: dict[str, Any] = {
        "state": np.arange(count) % 7,
        "action": np.arange(count) % 3,
        "target": np.linspace(-5.0, 5.0, count),
        "learning_rate": np.full(count, 0.1),
        "occurred_at": round(NOW.timestamp() * 1e6) + np.arange(count),
        "episode": [f"episode-{number}" for number in range(count)],
        "step": np.zeros(count, dtype=np.int64),
        "reward": np.ones(count),
        "next_state": np.zeros(count, dtype=np.int64),
        "terminated": np.zeros(count, dtype=bool),
        "truncated": np.zeros(count, dtype=bool),
        "propensity": np.full(count, 0.5),
    }
    return UpdateBatch(**columns | changes)
