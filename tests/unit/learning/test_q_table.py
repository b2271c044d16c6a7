"""The table, greedy choice over visited pairs, confidence and dyadic weights."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.q_table import (
    WEIGHT_QUANTUM,
    ConfidenceSettings,
    QTable,
    confidence,
    eligible_pairs,
    noise_variance,
    quantised_weights,
)
from qe_core.learning.target_statistics import TargetStatistics

counts = st.integers(1, 10**9)
spreads = st.floats(0, 1e6)


def table(q: list[list[float]], visits: list[list[int]]) -> QTable:
    zeros = np.zeros((len(q), len(q[0])))
    return QTable(np.array(q, dtype=float), np.array(visits, dtype=np.int64), zeros, zeros)


def statistics_of(count: int, variance: float) -> TargetStatistics:
    return TargetStatistics(np.array([count]), np.zeros(1), np.array([count * variance]))


def test_an_empty_table_knows_nothing() -> None:
    empty = QTable.zeros(2, 3)
    assert (empty.state_count, empty.action_count) == (2, 3)
    assert empty.greedy().tolist() == [-1, -1]
    assert empty.greedy(fallback=2).tolist() == [2, 2]
    assert empty.state_values().tolist() == [0, 0]
    assert not quantised_weights(empty).any()


def test_an_unvisited_zero_does_not_beat_a_measured_loss() -> None:
    losses = table([[-5.0, 0.0, -2.0]], [[3, 0, 1]])
    assert losses.greedy().tolist() == [2]
    assert losses.state_values().tolist() == [-2]


def test_a_prior_without_visits_is_not_a_fact() -> None:
    assert table([[1.0, 50.0]], [[1, 0]]).greedy().tolist() == [0]


def test_equal_values_give_the_lowest_index() -> None:
    assert table([[1.0, 3.0, 3.0]], [[1, 1, 1]]).greedy().tolist() == [1]


def test_thin_pairs_are_not_chosen_while_another_reaches_the_minimum() -> None:
    assert table([[9.0, 1.0]], [[2, 5]]).greedy(minimum_visits=3).tolist() == [1]


def test_where_every_pair_is_thin_the_most_visited_one_is_copied() -> None:
    assert eligible_pairs(np.array([[1, 2, 0], [0, 0, 0]]), 5).tolist() == [[False, True, False], [False] * 3]


def test_minimum_visits_below_one_are_refused() -> None:
    with pytest.raises(LearningError, match="minimum_visits must be at least 1, got 0"):
        eligible_pairs(np.zeros((1, 1), dtype=np.int64), 0)


def test_hand_worked_confidence() -> None:
    # κ at noise 400 and prior 400 is 1: n / (n + 1); measured spread 0 over 3 targets leaves noise 400 / 4.
    assumed = confidence(TargetStatistics(np.array([0, 1]), np.zeros(2), np.array([0.0, 400.0])))
    assert assumed.tolist() == pytest.approx([0, 1 / 2])
    assert confidence(statistics_of(3, 0.0))[0] == pytest.approx(3 / (3 + 0.25))
    assert noise_variance(statistics_of(3, 0.0))[0] == pytest.approx(100)


@given(counts, counts, spreads)
def test_confidence_rises_with_visits_at_a_given_spread(first: int, second: int, variance: float) -> None:
    low, high = sorted((first, second))
    below, above = (confidence(statistics_of(count, variance))[0] for count in (low, high))
    assert 0 <= below <= above <= 1
    if low < high < 10**6:
        assert below < above or variance == 0


@given(counts, spreads, spreads)
def test_confidence_falls_with_noise(count: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert confidence(statistics_of(count, high))[0] <= confidence(statistics_of(count, low))[0]


@given(st.lists(st.tuples(st.integers(0, 10**6), spreads), min_size=1, max_size=50), st.randoms())
def test_weights_sum_exactly_in_any_order(cells: list[tuple[int, float]], random: "object") -> None:
    count = np.array([[cell[0] for cell in cells]], dtype=np.int64)
    m2 = np.array([[cell[0] * cell[1] for cell in cells]])
    weights = quantised_weights(QTable(np.zeros_like(m2), count, np.zeros_like(m2), m2))[0]
    shuffled = weights.tolist()
    random.shuffle(shuffled)
    exact = math.fsum(weights.tolist())
    total = 0.0
    for weight in shuffled:
        total += weight
    assert total == exact == weights.sum()
    assert ((weights / WEIGHT_QUANTUM) % 1 == 0).all()
    assert ((weights > 0) == (count[0] > 0)).all()
    assert (weights <= count[0]).all()


def test_weights_stay_exact_up_to_the_stated_limit() -> None:
    half = 2.0**32
    assert (half - WEIGHT_QUANTUM) + (half + WEIGHT_QUANTUM) - 2 * half == 0
    assert (half - WEIGHT_QUANTUM) + half != 2 * half


def test_hand_worked_weight_is_rounded_to_the_quantum() -> None:
    weights = quantised_weights(table([[0.0]], [[3]]))
    assert weights[0, 0] == round(3 * 3 / 3.25 * 2**20) / 2**20


def test_a_sound_table_passes_validation() -> None:
    sound = QTable.zeros(2, 2)
    assert sound.validate() is sound


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": np.array([[np.nan]])}, r"q must be finite, but row 0 \(nan\)"),
        ({"target_mean": np.array([[np.inf]])}, "target_mean must be finite"),
        ({"target_m2": np.array([[-1.0]])}, r"target_m2 must not be negative, but row 0 \(-1.0\)"),
        ({"visits": np.array([[-1]])}, "visits must not be negative"),
    ],
)
def test_values_that_cannot_be_are_named(change: dict[str, np.ndarray], message: str) -> None:
    fields = {name: getattr(QTable.zeros(1, 1), name) for name in ("q", "visits", "target_mean", "target_m2")}
    with pytest.raises(LearningError, match=message):
        QTable(**fields | change).validate()


def test_tables_without_states_or_actions_or_with_odd_shapes_are_refused() -> None:
    with pytest.raises(LearningError, match="at least one state and one action, got 0 × 3"):
        QTable.zeros(0, 3)
    with pytest.raises(LearningError, match=r"q must have shape \(states, actions\), got \(2,\)"):
        QTable(np.zeros(2), np.zeros(2, dtype=np.int64), np.zeros(2), np.zeros(2))
    with pytest.raises(LearningError, match=r"visits must have shape \(1, 1\)"):
        QTable(np.zeros((1, 1)), np.zeros((1, 2), dtype=np.int64), np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(LearningError, match="visits must be int64, got float64"):
        QTable(*[np.zeros((1, 1))] * 4)


@pytest.mark.parametrize("field", ["prior_variance", "noise_variance", "noise_weight"])
def test_assumptions_must_be_positive(field: str) -> None:
    with pytest.raises(LearningError, match=f"{field} must be a finite number above 0"):
        ConfidenceSettings(**{field: 0.0})


@settings(max_examples=20)
@given(st.integers(1, 100))
def test_statistics_of_a_table_can_be_replaced(count: int) -> None:
    statistics = TargetStatistics(np.full((1, 2), count), np.ones((1, 2)), np.ones((1, 2)))
    changed = QTable.zeros(1, 2).with_statistics(statistics)
    assert changed.visits.tolist() == [[count, count]]
    assert changed.statistics.mean is statistics.mean
