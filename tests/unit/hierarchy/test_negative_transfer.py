"""A source that misleads is found harmful, a harmless one is not, at the stated rate over all looks."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.hierarchy.negative_transfer import (
    GainEstimate,
    HarmRecord,
    HarmSettings,
    followed_gain,
    look,
)
from qe_core.hierarchy.transfer import Offer
from qe_core.learning.q_table import ConfidenceSettings, QTable

LITTLE_ASSUMED = ConfidenceSettings(noise_variance=1e-9, noise_weight=1e-9)


def said(*rows: list[float]) -> Offer:
    prior = np.array(rows)
    return Offer("scanner", prior, np.ones_like(prior), prior.size, 0)


def seen(mean: list[list[float]], visits: list[list[int]], variance: float = 4.0) -> QTable:
    count, values = np.array(visits, dtype=np.int64), np.array(mean)
    return QTable(values, count, values, variance * count)


def test_hand_worked_gain() -> None:
    # It recommends action 1, worth 10; the mean of the three is 20: following it loses 10 points.
    table = seen([[20.0, 10.0, 30.0]], [[4, 16, 4]])
    found = followed_gain(said([1.0, 9.0, 5.0]), table, confidence=LITTLE_ASSUMED)
    assert (found.states, found.visits) == (1, 24)
    assert found.gain == pytest.approx(-10)
    # (2/3)² · 4/16 + 2 · (1/3)² · 4/4
    assert found.error == pytest.approx((4 / 9 / 4 + 2 / 9) ** 0.5)


def test_states_count_by_their_experiences() -> None:
    table = seen([[20.0, 10.0], [0.0, 40.0]], [[10, 10], [30, 30]])
    assert followed_gain(said([0.0, 1.0], [0.0, 1.0]), table).gain == pytest.approx(0.25 * -5 + 0.75 * 20)


def test_what_was_hardly_tried_or_never_spoken_about_is_not_judged() -> None:
    table = seen([[20.0, 10.0]], [[1, 50]])
    assert followed_gain(said([0.0, 1.0]), table) == GainEstimate(0.0, 0.0, 0, 0)
    silent = Offer("scanner", np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), 1, 0)
    assert followed_gain(silent, seen([[20.0, 10.0]], [[50, 50]])).states == 0


def test_recommending_everything_alike_recommends_nothing() -> None:
    assert followed_gain(said([5.0, 5.0]), seen([[20.0, 10.0]], [[50, 50]])).states == 0
    shared = followed_gain(said([5.0, 5.0, 1.0]), seen([[20.0, 10.0, 0.0]], [[9, 9, 9]]))
    assert shared.gain == pytest.approx(15 - 10)


def test_clear_harm_is_found_and_stays_found() -> None:
    record = look(HarmRecord(), GainEstimate(-10.0, 1.0, 5, 100))
    assert record == HarmRecord(1, 100, is_harmful=True)
    assert look(record, GainEstimate(50.0, 1.0, 5, 400)) == record


def test_a_look_waits_for_enough_that_is_new() -> None:
    assert look(HarmRecord(), GainEstimate(-10.0, 1.0, 5, 39)) == HarmRecord()
    once = look(HarmRecord(), GainEstimate(0.0, 1.0, 5, 50))
    assert once == HarmRecord(1, 50)
    assert look(once, GainEstimate(-10.0, 1.0, 5, 99)) == once
    assert look(once, GainEstimate(-10.0, 1.0, 5, 100)).is_harmful


def test_later_looks_ask_for_more() -> None:
    doubtful = GainEstimate(-2.0, 1.0, 5, 1000)
    assert look(HarmRecord(), doubtful).is_harmful
    assert not look(HarmRecord(3, 100), doubtful).is_harmful


def test_harmless_sources_are_seldom_found_harmful_over_all_looks() -> None:
    """Gain exactly 0, looked at after every doubling, 4,000 trials: the bound of 5 % holds with room."""
    rng = np.random.default_rng(3)
    trials, found = 4_000, 0
    for _ in range(trials):
        total, visits, record = np.zeros(3), 0, HarmRecord()
        squares = np.zeros(3)
        for each in (15, 15, 30, 60, 120, 240, 480):
            drawn = rng.normal(0.0, 20.0, (each, 3))
            total += drawn.sum(axis=0)
            squares += (drawn**2).sum(axis=0)
            visits += each
            mean = total / visits
            table = QTable(
                mean[np.newaxis],
                np.full((1, 3), visits),
                mean[np.newaxis],
                (squares - visits * mean**2)[np.newaxis],
            )
            record = look(record, followed_gain(said([0.0, 1.0, 2.0]), table))
        found += record.is_harmful
    assert found / trials < 0.05
    assert found > 0


def test_harm_of_ten_points_is_nearly_always_found() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(200):
        drawn = rng.normal([10.0, 10.0, -5.0], 20.0, (60, 3))
        table = QTable(
            drawn.mean(axis=0)[np.newaxis],
            np.full((1, 3), 60),
            drawn.mean(axis=0)[np.newaxis],
            60 * drawn.var(axis=0)[np.newaxis],
        )
        found += look(HarmRecord(), followed_gain(said([0.0, 1.0, 2.0]), table)).is_harmful
    assert found >= 190


def test_impossible_settings_and_figures_are_refused() -> None:
    with pytest.raises(LearningError, match="error_rate must lie in"):
        HarmSettings(error_rate=1.0)
    with pytest.raises(LearningError, match="visits to judge by must be at least 1"):
        HarmSettings(minimum_visits=0)
    with pytest.raises(LearningError, match="looks and visits are counts"):
        HarmRecord(-1)
    with pytest.raises(LearningError, match="not finite"):
        look(HarmRecord(), GainEstimate(float("nan"), 1.0, 5, 100))
    with pytest.raises(LearningError, match="the offer of scanner must have shape"):
        followed_gain(said([1.0]), seen([[20.0, 10.0]], [[1, 50]]))
