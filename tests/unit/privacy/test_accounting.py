"""Losses: OpenDP's account against the published formula, and rounding on the safe side."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import PrivacyError
from qe_core.privacy.accounting import NANO, epsilon_of, largest_nano_rho


def epsilon_by_formula(rho: float, delta: float) -> float:
    """Return ε by Canonne, Kamath & Steinke 2020, proposition 7, minimised over α on a fine grid."""
    alpha = 1 + np.geomspace(1e-3, 1e6, 200_000)
    epsilon = alpha * rho + (np.log(1 / (alpha * delta)) + (alpha - 1) * np.log1p(-1 / alpha)) / (alpha - 1)
    return float(epsilon.min())


@pytest.mark.parametrize("rho", [1e-4, 0.024, 0.5, 3.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_epsilon_is_that_of_the_published_formula(rho: float, delta: float) -> None:
    assert epsilon_of(round(rho * NANO), delta) == pytest.approx(
        epsilon_by_formula(rho, delta), rel=1e-4, abs=1e-6
    )


@settings(max_examples=8, deadline=None)
@given(st.floats(1e-2, 50.0), st.sampled_from([1e-9, 1e-6, 1e-3]))
def test_the_largest_loss_is_the_largest(privacy_epsilon: float, privacy_delta: float) -> None:
    allowed = largest_nano_rho(privacy_epsilon, privacy_delta)
    assert epsilon_of(allowed, privacy_delta) <= privacy_epsilon < epsilon_of(allowed + 1, privacy_delta)


def test_losses_that_add_up_are_worth_more_than_epsilons_that_do() -> None:
    one = largest_nano_rho(1.0, 1e-6)
    assert epsilon_of(8 * one, 1e-6) < 8.0
    assert largest_nano_rho(8.0, 1e-6) // one == 43


def test_no_loss_is_no_loss() -> None:
    assert epsilon_of(0, 1e-6) == 0.0


@pytest.mark.parametrize(("nano_rho", "delta"), [(-1, 1e-6), (1, 0.0), (1, 1.0), (1, -1e-6), (1, math.nan)])
def test_impossible_losses_are_refused(nano_rho: int, delta: float) -> None:
    with pytest.raises(PrivacyError):
        epsilon_of(nano_rho, delta)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_impossible_promises_are_refused(epsilon: float) -> None:
    with pytest.raises(PrivacyError, match="finite number above 0"):
        largest_nano_rho(epsilon, 1e-6)
