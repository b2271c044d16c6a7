"""Upper tables are exact functions of their parts, whatever the order, and every deviation is found."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import (
    APPROACH_COUNT,
    Aggregate,
    AggregationPart,
    ValueKind,
    aggregate,
    state_means,
    verify_aggregation,
)
from qe_core.learning.q_table import WEIGHT_QUANTUM, QTable, quantised_weights
from qe_core.learning.target_statistics import TargetStatistics

SHARED_STATES = 3


def a_part(name: str, seed: int, divisor: int = 2, actions: int = 4) -> AggregationPart:
    generator = np.random.default_rng(seed)
    shape = (SHARED_STATES * divisor, actions)
    visits = generator.integers(0, 4, shape) * generator.integers(0, 100, shape)
    q, mean = (np.where(visits > 0, generator.normal(5, 30, shape), 0.0) for _ in range(2))
    table = QTable(q, visits, mean, np.where(visits > 0, generator.random(shape) * 1e4, 0.0))
    approaches = tuple(generator.integers(0, APPROACH_COUNT, actions).tolist())
    return AggregationPart(name, table, quantised_weights(table), divisor, approaches)


def of_one_state(q: list[float], visits: list[int], weights: list[float], name: str = "a") -> AggregationPart:
    zeros = np.zeros((1, len(q)))
    table = QTable(np.array([q]), np.array([visits]), zeros, zeros)
    return AggregationPart(name, table, np.array([weights]), 1, tuple(range(len(q))))


parts_lists = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5)), max_size=5
).map(lambda seeds: [a_part(f"agent-{i}", *seed) for i, seed in enumerate(seeds)])


def bits(made: Aggregate) -> list[bytes]:
    table = made.table
    return [
        array.tobytes() for array in (table.q, table.visits, table.target_mean, table.target_m2, made.weights)
    ]


def test_hand_worked_cell() -> None:
    # Weights 1 and 3, values 8 and 4: (8 + 12) / 4 = 5.
    made = aggregate([of_one_state([8.0], [2], [1.0], "a"), of_one_state([4.0], [5], [3.0], "b")], 1)
    assert made.table.q[0].tolist() == [5, 0, 0, 0, 0, 0]
    assert made.table.visits[0].tolist() == [7, 0, 0, 0, 0, 0]
    assert made.weights[0].tolist() == [4, 0, 0, 0, 0, 0]


def test_two_actions_of_one_approach_and_two_states_of_one_projection_share_a_cell() -> None:
    table = QTable(
        np.array([[10.0, 20.0], [30.0, 0.0]]), np.array([[1, 1], [2, 0]]), np.zeros((2, 2)), np.zeros((2, 2))
    )
    part = AggregationPart("a", table, np.array([[1.0, 1.0], [2.0, 0.0]]), 2, (4, 4))
    made = aggregate([part], 1)
    assert made.table.q[0, 4] == 22.5
    assert made.table.visits[0, 4] == 4
    assert made.weights[0, 4] == 4


@settings(deadline=None)
@given(parts_lists, st.randoms(use_true_random=False), st.sampled_from(ValueKind))
def test_the_order_of_the_parts_changes_not_one_bit(parts: list, random: object, kind: ValueKind) -> None:
    made = aggregate(parts, SHARED_STATES, kind)
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert bits(aggregate(shuffled, SHARED_STATES, kind)) == bits(made)
    assert verify_aggregation(made, shuffled, kind) == []


@settings(deadline=None)
@given(parts_lists)
def test_weights_and_visits_add_up_exactly(parts: list) -> None:
    made = aggregate(parts, SHARED_STATES)
    assert made.table.visits.sum() == sum(part.table.visits.sum() for part in parts)
    exact = sum((Fraction(weight) for part in parts for weight in part.weights.ravel().tolist()), Fraction(0))
    assert sum((Fraction(weight) for weight in made.weights.ravel().tolist()), Fraction(0)) == exact
    assert ((made.weights > 0) == (made.table.visits > 0)).all()


@settings(deadline=None)
@given(parts_lists)
def test_cells_equal_exact_weighted_means_and_merged_statistics(parts: list) -> None:
    made = aggregate(parts, SHARED_STATES)
    for state in range(SHARED_STATES):
        for approach in range(APPROACH_COUNT):
            total, weight, statistics = Fraction(0), Fraction(0), TargetStatistics.zeros(())
            for part in parts:
                for s, a in np.ndindex(part.table.q.shape):
                    if s // part.divisor == state and part.approach_indices[a] == approach:
                        total += Fraction(part.weights[s, a]) * Fraction(part.table.q[s, a])
                        weight += Fraction(part.weights[s, a])
                        cell = part.table
                        statistics = statistics.merge(
                            TargetStatistics(cell.visits[s, a], cell.target_mean[s, a], cell.target_m2[s, a])
                        )
            expected = float(total / weight) if weight else 0.0
            assert made.table.q[state, approach] == pytest.approx(expected, rel=1e-12, abs=1e-11)
            assert made.table.visits[state, approach] == statistics.count
            assert made.table.target_mean[state, approach] == pytest.approx(float(statistics.mean), abs=1e-10)
            assert made.table.target_m2[state, approach] == pytest.approx(float(statistics.m2), rel=1e-10)


@settings(deadline=None)
@given(parts_lists)
def test_the_fleet_of_categories_has_the_evidence_of_all_agents(parts: list) -> None:
    categories = [
        aggregate(parts[:2], SHARED_STATES).as_part("first", 1),
        aggregate(parts[2:], SHARED_STATES).as_part("second", 1),
    ]
    fleet, direct = aggregate(categories, SHARED_STATES), aggregate(parts, SHARED_STATES)
    assert np.array_equal(fleet.weights, direct.weights)
    assert np.array_equal(fleet.table.visits, direct.table.visits)
    np.testing.assert_allclose(fleet.table.q, direct.table.q, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(fleet.table.target_m2, direct.table.target_m2, rtol=1e-10, atol=1e-9)


def test_advantages_remove_the_level_of_an_agent_and_its_state() -> None:
    low = of_one_state([1.0, 3.0, 0.0], [1, 1, 0], [1.0, 1.0, 0.0], "low")
    high = of_one_state([81.0, 83.0, 0.0], [1, 1, 0], [1.0, 1.0, 0.0], "high")
    made = aggregate([low, high], 1, ValueKind.ADVANTAGE)
    assert made.table.q[0, :3].tolist() == [-1, 1, 0]
    assert state_means(high.table.q, high.table.visits).tolist() == [[82]]
    assert state_means(np.ones((1, 2)), np.zeros((1, 2), dtype=np.int64)).tolist() == [[0]]


def test_no_parts_give_an_empty_table() -> None:
    made = aggregate([], 2)
    assert not made.table.visits.any()
    assert not made.weights.any()
    assert verify_aggregation(made, []) == []


def test_a_prior_without_visits_is_not_passed_on() -> None:
    made = aggregate([of_one_state([50.0, 1.0], [0, 3], [0.0, 1.0])], 1)
    assert made.table.q[0, :2].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["q", "visits", "target_mean", "target_m2"])
def test_a_changed_cell_of_the_parent_is_found_and_named(name: str) -> None:
    parts = [a_part("a", 1), a_part("b", 2)]
    made = aggregate(parts, SHARED_STATES)
    array = getattr(made.table, name).copy()
    if array.dtype == np.int64:
        array[1, 2] += 1
    else:
        array[1, 2] = np.nextafter(array[1, 2], np.inf)
    tampered = Aggregate(replace(made.table, **{name: array}), made.weights)
    (violation,) = verify_aggregation(tampered, parts)
    assert violation.startswith(f"{name}: state 1, column 2: {array[1, 2]} stored")


def test_a_lost_quantum_of_weight_is_found() -> None:
    parts = [a_part("a", 1), a_part("b", 2)]
    made = aggregate(parts, SHARED_STATES)
    weights = made.weights.copy()
    weights[np.unravel_index(weights.argmax(), weights.shape)] -= WEIGHT_QUANTUM
    cell_violation, total_violation = verify_aggregation(Aggregate(made.table, weights), parts)
    assert cell_violation.startswith("weights: state")
    assert total_violation.startswith("total weight:")


def test_a_missing_part_is_found_and_only_the_first_cells_are_listed() -> None:
    parts = [a_part("a", 1), a_part("b", 2)]
    violations = verify_aggregation(aggregate(parts, SHARED_STATES), parts[:1])
    assert any("more cells" in violation for violation in violations)


def test_parts_that_cannot_be_are_refused() -> None:
    sound = a_part("a", 1)
    with pytest.raises(LearningError, match=r"weights of a must have shape"):
        replace(sound, weights=np.zeros((1, 1)))
    with pytest.raises(LearningError, match=r"approach_indices of a must have shape \(4,\)"):
        replace(sound, approach_indices=(0,))
    with pytest.raises(LearningError, match="whole multiples of 2\\^-20"):
        replace(sound, weights=sound.weights + 0.1)
    with pytest.raises(LearningError, match="not negative"):
        replace(sound, weights=-sound.weights)
    with pytest.raises(LearningError, match="positive exactly where there are visits"):
        replace(sound, weights=np.zeros_like(sound.weights))
    with pytest.raises(LearningError, match=r"distinct names, got \['a', 'a'\]"):
        aggregate([sound, sound], SHARED_STATES)
    with pytest.raises(LearningError, match="a has 6 states over divisor 2, more than 2 shared states"):
        aggregate([sound], 2)
    with pytest.raises(LearningError, match="approach_indices must lie in 0 … 5"):
        aggregate([replace(sound, approach_indices=(0, 1, 2, 6))], SHARED_STATES)
