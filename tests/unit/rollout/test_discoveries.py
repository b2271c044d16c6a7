"""Promotions of a family are the discoveries of Benjamini and Hochberg's procedure on e-values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Stage
from qe_core.rollout.discoveries import discoveries, hold_to_family
from qe_core.rollout.evidence import StageEvidence
from qe_core.rollout.verdicts import Judgement, Verdict, judge
from tests.unit.rollout.samples import arm


def judged(effect: float, count: int = 200) -> Judgement:
    return judge([StageEvidence(Stage.HALF, arm(count), arm(count, effect))])


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=20))
def test_discoveries_are_those_of_benjamini_hochberg_on_inverse_e_values(values: list[float]) -> None:
    expected = multipletests(1.0 / np.array(values), 0.05, "fdr_bh")[0]
    found = discoveries({str(index): value for index, value in enumerate(values)}, 0.05)
    assert found == {str(index) for index in np.flatnonzero(expected)}


def test_two_by_hand() -> None:
    """Limits for two tests at 0.05: 40 for the best, 20 for the second."""
    assert discoveries({"a": 39.0, "b": 19.0}, 0.05) == frozenset()
    assert discoveries({"a": 41.0, "b": 19.0}, 0.05) == {"a"}
    assert discoveries({"a": 39.0, "b": 21.0}, 0.05) == {"a", "b"}
    assert discoveries({}, 0.05) == frozenset()


def test_a_promotion_the_family_does_not_allow_is_taken_back() -> None:
    single = judged(0.35, 170)
    assert single.verdict is Verdict.PROMOTE
    assert 20.0 < single.e_benefit < 360.0
    family = {"better": single} | {f"other-{number}": judged(0.0, 50) for number in range(17)}
    held = hold_to_family(family)
    assert held["better"].verdict is Verdict.CONTINUE
    assert held["better"].reasons[0].startswith("better by itself, not yet among 18 tests at once")
    assert held["other-0"] is family["other-0"]


def test_tests_that_ended_stay_in_the_family() -> None:
    single = judged(0.35, 170)
    assert hold_to_family({"better": single})["better"].verdict is Verdict.PROMOTE
    assert (
        hold_to_family({"better": single}, {"stopped": 0.5} | dict.fromkeys("abcdef", 0.1))["better"].verdict
        is Verdict.CONTINUE
    )
    assert (
        hold_to_family({"better": single}, dict.fromkeys("abcdef", 1e6))["better"].verdict is Verdict.PROMOTE
    )


@pytest.mark.parametrize(
    ("e_values", "level", "message"),
    [({"a": 1.0}, 0.0, "false discovery rate must lie"), ({"a": float("nan")}, 0.05, "judge the test again")],
)
def test_what_cannot_be_held_is_refused(e_values: dict[str, float], level: float, message: str) -> None:
    with pytest.raises(RolloutError, match=message):
        discoveries(e_values, level)


def test_a_test_both_running_and_ended_is_refused() -> None:
    with pytest.raises(RolloutError, match="name ended tests apart"):
        hold_to_family({"a": judged(0.0)}, {"a": 1.0})
