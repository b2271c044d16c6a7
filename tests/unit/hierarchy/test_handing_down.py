"""What a newcomer expects comes from fleet and category, and is nothing where they know nothing."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.fleet import registry
from qe_core.fleet.vocabulary import FleetContext
from qe_core.hierarchy.aggregate import APPROACH_COUNT
from qe_core.hierarchy.effects import EffectDesign, column_count
from qe_core.hierarchy.handing_down import handed_down
from qe_core.learning.q_table import QTable

CONTRACT = registry().get("chaos-engineer")
CONTEXT = CONTRACT.category.context


def knowing(context: type[FleetContext], better: int, points: float) -> QTable:
    """Return a table in which one approach is better everywhere, by many visits."""
    q = np.zeros((context.space_size(), APPROACH_COUNT))
    q[:, better] = points
    return QTable(q, np.full(q.shape, 200, dtype=np.int64), q, np.zeros(q.shape))


def values(expected: np.ndarray) -> np.ndarray:
    states = np.arange(CONTRACT.state_count)
    design = EffectDesign.of(CONTRACT.state_model, CONTRACT.category, states)
    return design.values(expected[:, design.places])


def test_nobody_tells_anything_where_nobody_knows() -> None:
    shape = (1 + CONTRACT.action_count, column_count(CONTRACT.state_model))
    empty = [
        (context, QTable.zeros(context.space_size(), APPROACH_COUNT)) for context in (FleetContext, CONTEXT)
    ]
    for tables in ([], empty):
        assert np.array_equal(handed_down(CONTRACT, tables), np.zeros(shape))


def test_actions_of_a_good_approach_are_expected_to_be_better() -> None:
    good = CONTRACT.approach_indices[2]
    expected = values(handed_down(CONTRACT, [(FleetContext, knowing(FleetContext, good, 30.0))]))
    is_good = np.array(CONTRACT.approach_indices) == good
    assert (expected[:, is_good].min() - expected[:, ~is_good].max()) > 20.0


def test_the_category_has_the_last_word() -> None:
    first, second = sorted(set(CONTRACT.approach_indices))[:2]
    tables = [(FleetContext, knowing(FleetContext, first, 30.0)), (CONTEXT, knowing(CONTEXT, second, 30.0))]
    expected = values(handed_down(CONTRACT, tables)).mean(axis=0)
    by_approach = {
        approach: expected[np.array(CONTRACT.approach_indices) == approach].mean()
        for approach in (first, second)
    }
    assert by_approach[second] > by_approach[first] + 20.0


def test_tables_come_in_their_order_and_of_their_level() -> None:
    fleet, category = knowing(FleetContext, 0, 1.0), knowing(CONTEXT, 0, 1.0)
    with pytest.raises(LearningError, match="cannot be handed down"):
        handed_down(CONTRACT, [(CONTEXT, category), (FleetContext, fleet)])
    with pytest.raises(LearningError, match="table over FleetContext"):
        handed_down(CONTRACT, [(FleetContext, category)])
