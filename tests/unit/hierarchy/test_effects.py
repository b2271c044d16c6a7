"""Which effects a state has, whose they are, and how an upper level's become expectations."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.fleet import registry
from qe_core.fleet.vocabulary import FleetContext
from qe_core.hierarchy.effects import EffectDesign, Level, column_count, expected_effects

CONTRACT = registry().get("chaos-engineer")
CATEGORY = CONTRACT.category


def test_a_state_has_one_column_for_each_of_its_labels_and_one_for_all() -> None:
    codes = np.array([0, 1, CONTRACT.state_count - 1])
    design = EffectDesign.of(CONTRACT.state_model, CATEGORY, codes)
    assert (design.columns.sum(axis=1) == 1 + len(CONTRACT.state_model.features())).all()
    assert design.columns.any(axis=0).all()
    assert (design.columns[:, 0] == 1).all()
    assert design.places.max() < column_count(CONTRACT.state_model)


def test_columns_are_the_fleets_then_the_categorys_then_own() -> None:
    design = EffectDesign.of(CONTRACT.state_model, CATEGORY, np.arange(CONTRACT.state_count))
    assert design.column_count == column_count(CONTRACT.state_model)
    assert (np.diff(design.levels) >= 0).all()
    assert (design.levels == Level.FLEET).sum() == column_count(FleetContext)
    assert (design.levels < Level.OWN).sum() == column_count(CATEGORY.context)
    upper = EffectDesign.of(CATEGORY.context, CATEGORY, np.arange(CATEGORY.context.space_size()))
    shared = design.columns[:, : upper.column_count]
    assert np.array_equal(shared, upper.columns[np.arange(CONTRACT.state_count) // CONTRACT.category_divisor])


def test_values_are_what_effects_add_up_to() -> None:
    design = EffectDesign.of(FleetContext, CATEGORY, [0])
    effects = np.zeros((3, design.column_count))
    effects[0] = 1.0
    effects[2, 0] = 5.0
    columns = 1 + len(FleetContext.features())
    assert design.values(effects).tolist() == [[columns, columns + 5.0]]


def test_actions_expect_what_was_found_for_their_approach_and_nothing_of_the_level() -> None:
    upper = np.arange(3 * column_count(FleetContext), dtype=np.float64).reshape(3, -1)
    expected = expected_effects(upper, CATEGORY.context, [1, 0, 1])
    assert expected.shape == (4, column_count(CATEGORY.context))
    assert (expected[0] == 0).all()
    assert np.array_equal(expected[[1, 2, 3], : upper.shape[1]], upper[[2, 1, 2]])
    assert (expected[:, upper.shape[1] :] == 0).all()


def test_effects_are_handed_down_and_not_up() -> None:
    with pytest.raises(LearningError, match="cannot be handed down to FleetContext"):
        expected_effects(np.zeros((3, column_count(CATEGORY.context))), FleetContext, [0])
    with pytest.raises(LearningError, match="approach_indices"):
        expected_effects(np.zeros((3, 1)), FleetContext, [2])


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(LearningError, match="state"):
        EffectDesign.of(FleetContext, CATEGORY, [FleetContext.space_size()])
