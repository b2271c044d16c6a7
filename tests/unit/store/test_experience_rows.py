"""Experiences on their way into the log."""

from datetime import UTC, datetime

import pyarrow as pa

from qe_core.store.experience_rows import SCHEMA, as_experience_table

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = {
    "occurred_at": [NOW],
    "agent": "tester",
    "episode": "one",
    "step": 0,
    "state": 1,
    "action": 2,
    "reward": 0.1,
    "next_state": 3,
    "terminated": False,
    "truncated": True,
    "propensity": 0.5,
    "fingerprint": "f",
    "source": "agent",
}


def test_columns_take_the_order_and_types_of_the_log() -> None:
    table = as_experience_table(dict(reversed(ONE.items())))
    assert table.schema == SCHEMA
    assert as_experience_table(table).equals(table)
    assert as_experience_table(table.to_batches()[0]).equals(table)


def test_times_without_zone_are_utc_and_other_zones_are_converted() -> None:
    naive = as_experience_table({**ONE, "occurred_at": [NOW.replace(tzinfo=None)]})
    east = as_experience_table({**ONE, "occurred_at": pa.array([NOW], pa.timestamp("ms", tz="Asia/Tokyo"))})
    assert naive["occurred_at"][0].as_py() == east["occurred_at"][0].as_py() == NOW
