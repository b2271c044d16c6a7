"""The defaults are the ordered figures; what makes no sense is refused by its name."""

from datetime import timedelta
from typing import Any

import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import judge


def test_defaults_are_the_ordered_figures() -> None:
    assert (DEFAULT_SETTINGS.significance, DEFAULT_SETTINGS.minimum_effect) == (0.05, 0.2)
    assert DEFAULT_SETTINGS.minimum_per_arm == 100
    assert (DEFAULT_SETTINGS.dwell_at_tenth, DEFAULT_SETTINGS.dwell_at_half) == (
        timedelta(hours=24),
        timedelta(hours=48),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"significance": 0.0},
        {"significance": 0.5},
        {"minimum_effect": 0.001},
        {"prior_scale": 0.0},
        {"target_power": 0.4},
        {"success_margin": 1.0},
        {"cost_margin": float("nan")},
        {"minimum_for_harm": 9},
        {"minimum_to_advance": 1},
        {"maximum_per_arm": 99},
        {"dwell_at_half": timedelta(seconds=-1)},
        {"dwell_at_full": timedelta(days=29)},
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(RolloutError, match=next(iter(change))):
        ABTestSettings(**change)


def test_the_smallest_effect_that_can_be_asked_for_can_be_judged() -> None:
    assert judge([], ABTestSettings(minimum_effect=0.01, prior_scale=0.01)).needed_units_per_arm > 100_000
