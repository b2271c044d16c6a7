"""Values with errors: worked by hand on chains of two states."""

import numpy as np
import pytest

from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import ConfidenceSettings
from qe_core.learning.value_beliefs import believed_values

CONFIDENCE = ConfidenceSettings(noise_variance=4.0, noise_weight=1.0)


def seen(rows: list[tuple[int, int, float, int, bool]], states: int = 3, actions: int = 2) -> EmpiricalMdp:
    """Return what these (state, action, reward, next state, terminated) show."""
    return EmpiricalMdp.from_transitions(Transitions.from_columns(*zip(*rows, strict=True)), states, actions)


def test_a_last_step_is_as_uncertain_as_its_mean_reward() -> None:
    belief = believed_values(seen([(0, 0, 8.0, 0, True), (0, 0, 12.0, 0, True)]), 0.9, CONFIDENCE)
    assert belief.q[0, 0] == pytest.approx(10.0)
    # Squared deviations 8 and one assumed target of variance 4, over 3, over 2 visits.
    assert belief.error[0, 0] ** 2 == pytest.approx((8.0 + 4.0) / 3 / 2)


def test_uncertainty_further_on_counts_with_the_squared_discount() -> None:
    belief = believed_values(seen([(0, 0, 1.0, 1, False), (1, 0, 10.0, 1, True)]), 0.5, CONFIDENCE)
    own = 4.0 / 2
    assert belief.q[0, 0] == pytest.approx(1.0 + 0.5 * 10.0)
    assert belief.error[1, 0] ** 2 == pytest.approx(own)
    assert belief.error[0, 0] ** 2 == pytest.approx(own + 0.25 * own)


def test_uncertainty_follows_the_best_action_and_not_the_others() -> None:
    rows = [(0, 0, 1.0, 1, False), *[(1, 0, 10.0, 1, True)] * 50, (1, 1, -10.0, 1, True)]
    belief = believed_values(seen(rows), 0.5, CONFIDENCE)
    assert belief.error[1, 1] > belief.error[1, 0]
    assert belief.error[0, 0] ** 2 == pytest.approx(2.0 + 0.25 * belief.error[1, 0] ** 2)


def test_pairs_never_tried_hold_nothing() -> None:
    belief = believed_values(seen([(0, 1, 1.0, 0, True)]), 0.9)
    assert belief.visits.sum() == 1
    assert belief.q[0, 0] == belief.error[0, 0] == 0.0
    assert not belief.error[1:].any()


def test_errors_shrink_with_the_root_of_visits() -> None:
    noise = np.random.default_rng(0).normal(0.0, 5.0, 6400)
    errors = [
        believed_values(seen([(0, 0, float(x), 0, True) for x in noise[:count]], 1, 1), 0.9).error[0, 0]
        for count in (100, 6400)
    ]
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.25)
