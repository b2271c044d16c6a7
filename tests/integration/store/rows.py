"""Small, readable experiences for tests of the store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

FINGERPRINT = "contract-1"
START = datetime(2026, 3, 1, tzinfo=UTC)


def experiences(
    count: int = 10, *, agent: str = "tester", episode_length: int = 5, **changed: Any
) -> dict[str, Any]:
    """Return ``count`` experiences a minute apart, in episodes of five; ``changed`` replaces columns."""
    index = np.arange(count)
    is_last = index % episode_length == episode_length - 1
    rows: dict[str, Any] = {
        "occurred_at": [START + timedelta(minutes=int(minute)) for minute in index],
        "agent": agent,
        "episode": [f"episode-{number:04d}" for number in index // episode_length],
        "step": index % episode_length,
        "state": index % 7,
        "action": index % 3,
        "reward": np.linspace(-100.0, 100.0, count),
        "next_state": (index + 1) % 7,
        "terminated": is_last,
        "truncated": False,
        "propensity": 0.25,
        "fingerprint": FINGERPRINT,
        "source": "simulated",
    }
    return rows | changed
