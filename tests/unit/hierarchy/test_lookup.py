"""The ordered and the blended lookup in hand-worked numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import (
    ORDERED_RULE,
    LevelRows,
    LookupSettings,
    Source,
    blended_lookup,
    ordered_lookup,
)
from qe_core.learning.q_table import QTable


def level(q: list[float], visits: list[int], confidence: float = 0.5) -> LevelRows:
    count = np.array([visits], dtype=np.int64)
    return LevelRows(np.array([q]), count, confidence * count)


NOTHING = level([0.0] * 6, [0] * 6)
KNOWS_ALL = level([10.0] * 6, [9] * 6)
INDIVIDUAL = level([5.0, 6.0, 0.0, 0.0], [5, 2, 0, 0])
CATEGORY = level([20.0, 20.0, 30.0, 0.0, 0.0, 0.0], [9, 9, 9, 0, 0, 0])
FLEET = level([40.0] * 6, [9] * 6)
APPROACHES = [0, 1, 2, 3]


def test_the_ordered_rule_takes_the_first_level_that_knows() -> None:
    found = ordered_lookup(INDIVIDUAL, CATEGORY, FLEET, APPROACHES)
    assert found.value[0].tolist() == [5, 14, 21, 20]
    assert found.source[0].tolist() == [Source.INDIVIDUAL, Source.CATEGORY, Source.CATEGORY, Source.FLEET]
    assert found.greedy().tolist() == [2]


def test_where_no_level_knows_the_value_is_zero_and_not_eligible() -> None:
    for lookup in (ordered_lookup, blended_lookup):
        found = lookup(level([-5.0, 0.0], [9, 0]), NOTHING, NOTHING, [0, 1])
        assert found.value[0].tolist() == [-5, 0]
        assert found.is_known[0].tolist() == [True, False]
        assert found.greedy().tolist() == [0]
        nothing = lookup(level([0.0], [0]), NOTHING, NOTHING, [0])
        assert nothing.greedy(fallback=7).tolist() == [7]


def test_few_own_visits_still_count_where_nobody_else_knows() -> None:
    found = ordered_lookup(level([3.0], [1]), NOTHING, NOTHING, [0])
    assert (found.value[0, 0], found.source[0, 0]) == (3, Source.INDIVIDUAL)


def test_a_transferred_prior_stands_before_the_category_until_there_is_own_evidence() -> None:
    for lookup in (ordered_lookup, blended_lookup):
        found = lookup(level([8.0], [0]), KNOWS_ALL, KNOWS_ALL, [0])
        assert (found.value[0, 0], found.source[0, 0]) == (8, Source.TRANSFER)
    own = ordered_lookup(level([8.0], [1]), KNOWS_ALL, KNOWS_ALL, [0])
    assert own.source[0, 0] == Source.CATEGORY


def test_the_factors_and_the_visits_of_the_ordered_rule_are_settings() -> None:
    settings = LookupSettings(2, 1.0, 0.25, ValueKind.RAW)
    found = ordered_lookup(INDIVIDUAL, CATEGORY, FLEET, APPROACHES, settings)
    assert found.value[0].tolist() == [5, 6, 30, 10]


def test_hand_worked_blend() -> None:
    # Category 0.5·20 + 0.5·40 = 30 with the fleet; own 0.5·5 + 0.5·30 = 17.5.
    found = blended_lookup(INDIVIDUAL, CATEGORY, FLEET, APPROACHES, ORDERED_RULE)
    assert found.value[0].tolist() == [17.5, 18, 35, 40]
    assert found.source[0].tolist() == [Source.INDIVIDUAL, Source.INDIVIDUAL, Source.CATEGORY, Source.FLEET]


def test_the_blend_is_the_formula_of_visits_and_kappa() -> None:
    # Confidence n / (n + κ) with n = 4 and κ = 6 is 0.4: (4·10 + 6·20) / 10 = 16.
    found = blended_lookup(
        level([10.0], [4], 0.4), level([20.0] * 6, [9] * 6, 1.0), NOTHING, [0], ORDERED_RULE
    )
    assert found.value[0, 0] == pytest.approx(16)


def test_a_level_without_evidence_has_no_opinion() -> None:
    assert blended_lookup(level([-8.0], [1], 0.1), NOTHING, NOTHING, [0]).value[0, 0] == -8
    assert blended_lookup(level([0.0], [0]), level([-8.0] * 6, [1] * 6, 0.1), NOTHING, [0]).value[0, 0] == -8
    fleet_only = blended_lookup(level([4.0], [1]), NOTHING, FLEET, [0], ORDERED_RULE)
    assert fleet_only.value[0, 0] == 22


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-100, 100), st.floats(0, 1), st.floats(0, 1))
def test_a_blend_lies_between_what_is_blended(
    own: float, category: float, fleet: float, trust: float, category_trust: float
) -> None:
    found = blended_lookup(
        level([own], [3], trust),
        level([category] * 6, [3] * 6, category_trust),
        level([fleet] * 6, [3] * 6),
        [0],
        ORDERED_RULE,
    )
    values = (own, category, fleet)
    assert min(values) - 1e-9 <= found.value[0, 0] <= max(values) + 1e-9


def test_advantages_are_added_to_the_level_of_the_state() -> None:
    # Own mean of the visited actions 50; the category's is 4, and its third action is 7 better than that.
    own = level([40.0, 60.0, 0.0], [9, 9, 0], 1.0)
    category = level([1.0, 0.0, 11.0, 99.0, 0, 0], [9, 9, 9, 9, 0, 0], 1.0)
    blended = blended_lookup(own, category, NOTHING, [0, 1, 2])
    assert blended.value[0].tolist() == [40, 60, 57]
    ordered = ordered_lookup(own, category, NOTHING, [0, 1, 2], LookupSettings())
    assert ordered.value[0].tolist() == pytest.approx([40, 60, 50 + 0.7 * 7])


def test_in_a_state_never_visited_advantages_stand_on_the_level_of_the_next_that_was() -> None:
    own, category = level([0.0, 0.0], [0, 0]), level([10.0, 30.0, 0, 0, 0, 0], [9, 9, 0, 0, 0, 0], 1.0)
    assert blended_lookup(own, category, NOTHING, [0, 1]).value[0].tolist() == [10, 30]
    assert blended_lookup(own, NOTHING, category, [0, 1]).value[0].tolist() == [10, 30]


def test_agents_on_another_level_of_reward_do_not_drown_what_an_agent_knows() -> None:
    # Losses all round for this agent; its category earns 80 and prefers the first approach.
    own = level([-10.0, 0.0], [9, 0], 0.9)
    category = level([80.0, 70.0, 0, 0, 0, 0], [9, 9, 0, 0, 0, 0], 0.9)
    assert blended_lookup(own, category, NOTHING, [0, 1], ORDERED_RULE).greedy().tolist() == [1]
    assert blended_lookup(own, category, NOTHING, [0, 1]).greedy().tolist() == [0]


def test_rows_are_taken_from_a_table_by_state() -> None:
    table = QTable(np.array([[1.0], [2.0]]), np.array([[3], [4]]), np.zeros((2, 1)), np.zeros((2, 1)))
    rows = LevelRows.of(table, np.array([[1.5], [3.0]]), [1, 0, 1])
    assert rows.q[:, 0].tolist() == [2, 1, 2]
    assert rows.confidence[:, 0].tolist() == [0.75, 0.5, 0.75]
    with pytest.raises(LearningError, match=r"state must lie in 0 … 1, but row 0 \(2\)"):
        LevelRows.of(table, np.zeros((2, 1)), [2])


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LearningError, match="weights must have shape"):
        LevelRows(np.zeros((1, 2)), np.zeros((1, 2), dtype=np.int64), np.zeros((1, 3)))
    with pytest.raises(LearningError, match=r"approach_indices must lie in 0 … 5, but row 0 \(6\)"):
        ordered_lookup(level([1.0], [1]), NOTHING, NOTHING, [6])
    with pytest.raises(LearningError, match=r"category rows must have shape \(1, 2\), got \(1, 1\)"):
        blended_lookup(level([1.0, 2.0], [1, 1]), NOTHING, NOTHING, [0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minimum_visits": 0}, "minimum_visits must be at least 1"),
        ({"category_factor": 1.1}, "category_factor must lie in"),
        ({"fleet_factor": -0.1}, "fleet_factor must lie in"),
    ],
)
def test_impossible_settings_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        LookupSettings(**fields)
