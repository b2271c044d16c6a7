"""Which policy versions are let go as they grow old."""

from datetime import UTC, datetime, timedelta

from qe_core.store.thinning import DEFAULT_AGES, VersionAge, outgrown

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def ages(*hours: float, named: frozenset[int] = frozenset(), agent: str = "tester") -> list[VersionAge]:
    """Return versions so many hours old, the oldest first, numbered from 1."""
    return [
        VersionAge(number, agent, NOW - timedelta(hours=hour), number in named)
        for number, hour in enumerate(hours, 1)
    ]


def test_everything_of_a_day_is_kept() -> None:
    assert outgrown(ages(23.9, 23.8, 2, 1, 0.1), NOW, DEFAULT_AGES) == []


def test_of_a_week_the_newest_of_each_hour_is_kept() -> None:
    # 30.4 and 30.2 hours ago are 06:06 and 06:18; 29.6 hours ago is 06:54; 29.4 is 07:06.
    assert outgrown(ages(30.4, 30.2, 29.6, 29.4, 1), NOW, DEFAULT_AGES) == [1, 2]


def test_of_ninety_days_the_newest_of_each_day_is_kept_and_then_none() -> None:
    day = 24.0
    old = ages(95 * day, 91 * day, 40 * day + 3, 40 * day + 1, 39 * day, 1)
    assert outgrown(old, NOW, DEFAULT_AGES) == [1, 2, 3]


def test_the_newest_of_an_agent_and_what_something_names_are_kept_at_any_age() -> None:
    old = ages(3000, 2900, 2800, named=frozenset({1}))
    assert outgrown(old, NOW, DEFAULT_AGES) == [2]
    assert outgrown([*old, *ages(2700, agent="another")], NOW, DEFAULT_AGES) == [2]
