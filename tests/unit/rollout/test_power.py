"""Power and sample sizes are those of statsmodels; the sequential size really gives its power."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower

from qe_core.errors import RolloutError
from qe_core.rollout.differences import Difference, stratified_difference
from qe_core.rollout.power import fixed_sample_size, power_at, sequential_sample_size
from qe_core.rollout.sequential import e_value
from tests.unit.rollout.samples import spread_out, stage_of


def test_ordered_sample_of_a_hundred_has_little_power_for_the_ordered_effect() -> None:
    difference = stratified_difference([stage_of(spread_out(100), spread_out(100))])
    assert power_at(difference, 0.2, 0.05) == pytest.approx(0.29, abs=0.005)
    assert fixed_sample_size(0.2, 0.05, 0.8) == 394


@pytest.mark.parametrize(("count", "effect"), [(20, 0.5), (100, 0.3), (400, 0.1)])
def test_power_is_that_of_statsmodels(count: int, effect: float) -> None:
    difference = stratified_difference([stage_of(spread_out(count), spread_out(count))])
    assert power_at(difference, effect, 0.05) == pytest.approx(
        TTestIndPower().power(effect, count, 0.05), abs=1e-4
    )


def test_without_units_there_is_no_power() -> None:
    assert power_at(Difference(), 0.2, 0.05) == 0.0


def test_sequential_size_reaches_its_power() -> None:
    """At the stated size at least 80 % must have passed; the chance of under 75 % of 400 is below 1 %."""
    random = np.random.default_rng(5)
    count = sequential_sample_size(0.5, 0.05, 0.8, 0.3)
    passed = sum(
        e_value(
            stratified_difference(
                [stage_of(random.normal(0.5, 1.0, count).tolist(), random.normal(0.0, 1.0, count).tolist())]
            ),
            0.3,
        )
        >= 20.0
        for _ in range(400)
    )
    assert 300 <= passed <= 350
    assert count > fixed_sample_size(0.5, 0.05, 0.8)


def test_an_effect_nobody_could_find_is_refused() -> None:
    with pytest.raises(RolloutError, match="ask for a larger one"):
        sequential_sample_size(1e-5, 0.05, 0.8, 0.3)
