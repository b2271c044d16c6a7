"""Ranges of the reading side's settings."""

from typing import Any

import pytest

from qe_core.errors import ConfigError
from qe_core.store.live import ReadCounters, ReaderSettings


@pytest.mark.parametrize(
    "given",
    [
        {"cache_limit": 999},
        {"refresh_limit": 0},
        {"deadline_seconds": 0.0},
        {"query_seconds": float("nan")},
        {"check_seconds": -1.0},
        {"grace_seconds": float("inf")},
        {"refresh_pause_seconds": -0.1},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        ReaderSettings(**given)


def test_counters_are_read_as_a_whole() -> None:
    assert ReadCounters(hits=3).snapshot()["hits"] == 3
