"""Effects are found where there are any, and outvoted where there are none."""

import numpy as np
import pytest

from qe_core.fleet.vocabulary import Category, FleetContext
from qe_core.hierarchy.effect_estimation import EffectModel, Variances, estimated_effects
from qe_core.hierarchy.effects import EffectDesign, Level
from qe_core.learning.q_table import ConfidenceSettings, QTable

CATEGORY = Category.SPECIALIZED
STATES = np.arange(FleetContext.space_size())
DESIGN = EffectDesign.of(FleetContext, CATEGORY, STATES)
ACTIONS = 4
NOTHING = np.zeros((1 + ACTIONS, DESIGN.column_count))


def table(values: np.ndarray, visits: int) -> QTable:
    count = np.full(values.shape, visits, dtype=np.int64)
    return QTable(values, count, values, np.zeros(values.shape))


def test_one_pair_by_hand() -> None:
    # One state, action and column: q = w0 + w1 + r, all variances 100, 30 points seen with error 100. The
    # effects vary by 200; around them what is seen varies by residual and error, 200 as well. So they take
    # half of the 30 points, each half of that, and their sum keeps a variance of 200·200 / 400.
    design = EffectDesign(np.ones((1, 1)), np.array([Level.FLEET]), np.array([0]))
    variances = Variances(100.0, np.full(3, 100.0), 100.0)
    model = EffectModel.of(design, np.zeros((2, 1)), variances, np.array([[100.0]]))
    seen = np.array([[30.0]])
    assert model.trust.tolist() == [[0.5]]
    assert model.effects(seen) == pytest.approx(np.array([[7.5], [7.5]]))
    assert model.variance_of_sum() == pytest.approx(np.array([[100.0]]))


def test_what_nobody_saw_stays_as_expected() -> None:
    expected = np.arange(NOTHING.size, dtype=np.float64).reshape(NOTHING.shape)
    noise = np.full((len(STATES), ACTIONS), np.inf)
    model = EffectModel.of(DESIGN, expected, Variances.assumed(ConfidenceSettings()), noise)
    assert model.effects(np.zeros(noise.shape)) == pytest.approx(expected)
    assert (model.trust == 0).all()


def test_effects_that_made_the_values_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = 15.0 * rng.standard_normal(NOTHING.shape)
    found = estimated_effects(table(DESIGN.values(truth), 400), DESIGN, NOTHING)
    assert DESIGN.values(found) == pytest.approx(DESIGN.values(truth), abs=1.0)


@pytest.mark.parametrize(("residual", "low", "high"), [(0.0, 0.0, 20.0), (30.0, 400.0, 1300.0)])
def test_the_spread_around_effects_is_learned(residual: float, low: float, high: float) -> None:
    # 72 residuals of standard deviation 30 estimate a variance of 900 with a standard error of about 150, and
    # 45 effects explain a part of it by chance.
    rng = np.random.default_rng(1)
    truth = DESIGN.values(15.0 * rng.standard_normal(NOTHING.shape))
    seen = truth + residual * rng.standard_normal(truth.shape)
    noise = np.full(seen.shape, 1.0)
    variances = Variances.assumed(ConfidenceSettings())
    for _ in range(60):
        model = EffectModel.of(DESIGN, NOTHING, variances, noise)
        variances = model.next_variances(model.effects(seen), seen, ConfidenceSettings())
    assert low <= variances.residual - 4 * 400 / (4 + seen.size) <= high


def test_the_more_is_seen_the_less_counts_what_was_expected() -> None:
    truth = np.full((len(STATES), ACTIONS), 10.0)
    wrong = np.zeros_like(NOTHING)
    wrong[1:, 0] = [40.0, -40.0, 40.0, -40.0]
    few, many = (
        np.abs(DESIGN.values(estimated_effects(table(truth, visits), DESIGN, wrong)) - truth).max()
        for visits in (1, 100)
    )
    assert many < few < 40.0
    assert many < 2.0
