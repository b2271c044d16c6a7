"""Experiences on their way into the log."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from qe_core.store import ExperienceRejectedError
from qe_core.store.experience_rows import SCHEMA, as_csv, as_experience_table, check_times

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


def test_the_months_that_occur_are_named_by_their_first_days() -> None:
    times = [datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), NOW]
    table = as_experience_table({**ONE, "occurred_at": times})
    assert check_times(table, NOW) == [date(2025, 12, 1), date(2026, 1, 1), date(2026, 3, 1)]


def test_a_clock_may_be_a_day_ahead_but_no_more() -> None:
    table = as_experience_table({**ONE, "occurred_at": [NOW + timedelta(days=1)]})
    assert check_times(table, NOW) == [date(2026, 3, 1)]
    with pytest.raises(ExperienceRejectedError, match="lies in the future"):
        check_times(table, NOW - timedelta(microseconds=1))


async def test_null_and_empty_text_stay_apart_in_csv() -> None:
    table = as_experience_table({**ONE, "episode": "", "exploration_rate": None})
    lines = b"".join([piece async for piece in as_csv(table)]).decode()
    assert lines == '2026-03-01 00:00:00.000000Z,"tester","",0,1,2,0.1,3,false,true,0.5,,,,"f","agent"\n'
