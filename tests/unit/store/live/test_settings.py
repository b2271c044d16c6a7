"""Settings of the hot path outside their ranges are refused by name."""

from typing import Any

import pytest

from qe_core.errors import ConfigError
from qe_core.store.live import LiveSettings


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"batch_limit": 0}, "batch_limit"),
        ({"batch_limit": 65_537}, "batch_limit"),
        ({"queue_limit": 0}, "queue_limit"),
        ({"writer_connections": 0}, "writer_connections"),
        ({"deadline_seconds": 0.0}, "deadline_seconds"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds"),
        ({"linger_seconds": -0.1}, "linger_seconds"),
        ({"linger_seconds": 60.0}, "linger_seconds"),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        LiveSettings(**wrong)
