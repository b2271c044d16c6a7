"""The comparison: who is compared, on what, and that its figures hold together."""

import numpy as np
import pytest

from qe_core.environments.recorded.evaluation import (
    LEARNED,
    ORACLE,
    RANDOM,
    RULES,
    SCHEDULE,
    PilotComparison,
    evaluate_pilot,
)
from qe_core.environments.recorded.figures import figure_outcome_over_time
from qe_core.environments.recorded.oracle import clairvoyant
from qe_core.environments.recorded.policy import TablePolicy
from qe_core.environments.recorded.project import compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.rules import EVERY_SIZE, TO_THE_END, Plan
from qe_core.environments.recorded.sessions import Session, play, sessions_of, share_over_time
from qe_core.errors import RecordingError
from qe_core.fleet.test_generation import STRATEGIES, TEST_GENERATOR

ANY_POLICY = TablePolicy(
    np.random.default_rng(3).random((TEST_GENERATOR.state_count, TEST_GENERATOR.action_count))
)


@pytest.fixture(scope="module")
def comparison(recordings: Recordings) -> PilotComparison:
    return evaluate_pilot(recordings, ANY_POLICY, seeds=(0, 1), budgets=(3.0, 1.0))


def test_everybody_is_compared_at_every_budget(comparison: PilotComparison) -> None:
    fixed = [f"only {name}" for name in STRATEGIES]
    names = [RANDOM, *fixed, *RULES, SCHEDULE, LEARNED, ORACLE]
    assert [row.name for row in comparison.rows] == names * 2
    assert [row.seconds_per_module for row in comparison.rows] == [1.0] * len(names) + [3.0] * len(names)
    assert comparison.packages == ("package4", "package5")
    assert comparison.repetitions == (2,)
    assert comparison.session_count == 4


def test_nobody_exceeds_the_clairvoyant(comparison: PilotComparison) -> None:
    for row in comparison.rows:
        assert row.area <= comparison.row(ORACLE, row.seconds_per_module).area + 1e-12


def test_the_clairvoyant_is_at_least_as_good_as_every_policy_on_every_session(recordings: Recordings) -> None:
    players = [ANY_POLICY, *(Plan(((EVERY_SIZE, code, TO_THE_END),)) for code in range(len(STRATEGIES)))]
    for session in sessions_of(recordings, ("package4",), (0, 2), (0.5, 3.0), (0, 1)):
        outcomes = [play(session, player) for player in players]
        best = clairvoyant(session, outcomes)
        assert best.area >= max(outcome.area for outcome in outcomes)
        assert best.area >= clairvoyant(session).area


def test_the_clairvoyant_knows_where_to_go_first(by_hand: Recordings) -> None:
    """Budget 0.7 s, 10 branches. Literals for 0.1 s gain 20 a second, then dynamosa on b 6 in 0.4 s.

    That is a higher rate than the one branch that edge-values add in 0.1 s.
    """
    outcome = clairvoyant(Session(compile_project(by_hand, "hand", 0), 0.35))
    assert outcome.moments[:8].tolist() == pytest.approx([0.05] * 2 + [0.4] * 6)


def test_the_strongest_rule_is_the_reference_of_the_ratios(comparison: PilotComparison) -> None:
    for budget, name in comparison.strongest_rule.items():
        assert name in RULES
        strongest = comparison.row(name, budget)
        assert strongest.area == max(comparison.row(rule, budget).area for rule in RULES)
        assert strongest.relative == strongest.relative_low == strongest.relative_high == 0.0
        learned, chance = comparison.row(LEARNED, budget), comparison.row(RANDOM, budget)
        assert learned.relative == pytest.approx(learned.area / strongest.area - 1.0)
        assert learned.over_random == pytest.approx(learned.area / chance.area - 1.0)


def test_intervals_hold_the_mean_and_shares_are_shares(comparison: PilotComparison) -> None:
    for row in comparison.rows:
        assert 0.0 <= row.area_low <= row.area <= row.area_high <= 1.0
        for share in (row.mutants, row.mutant_area, row.branches):
            assert 0.0 <= share <= 1.0
        assert row.area <= row.branches


def test_the_same_arguments_give_the_same_comparison(
    recordings: Recordings, comparison: PilotComparison
) -> None:
    again = evaluate_pilot(recordings, ANY_POLICY, seeds=(0, 1), budgets=(3.0, 1.0))
    assert again.rows == comparison.rows
    assert again.plans == comparison.plans


def test_rules_are_described_in_words(comparison: PilotComparison) -> None:
    for name in (*RULES, SCHEDULE):
        assert any(strategy in comparison.plans[name, 3.0] for strategy in STRATEGIES)


def test_every_package_weighs_the_same(recordings: Recordings) -> None:
    both = evaluate_pilot(recordings, ANY_POLICY, seeds=(0,), budgets=(3.0,))
    alone = [
        evaluate_pilot(recordings, ANY_POLICY, seeds=(0,), budgets=(3.0,), packages=(package,))
        for package in both.packages
    ]
    expected = np.mean([part.row(LEARNED, 3.0).area for part in alone])
    assert both.row(LEARNED, 3.0).area == pytest.approx(expected)


def test_curves_rise_to_the_share_of_branches_covered(comparison: PilotComparison) -> None:
    for row in comparison.rows:
        moments, shares = comparison.curves[row.name, row.seconds_per_module]
        assert moments[0] == 0.0
        assert moments[-1] == 1.0
        assert (np.diff(shares) >= 0).all()
        assert shares[-1] == pytest.approx(row.branches)
        assert np.trapezoid(shares, moments) == pytest.approx(row.area, abs=0.01)


def test_a_curve_by_hand(by_hand: Recordings) -> None:
    """Literals on both modules, then edge-values on a: 2 of 10 at 0.05 s, 3 of 10 at 0.28 s of 0.4 s."""
    session = Session(compile_project(by_hand, "hand", 0), 0.2)
    plan = Plan(((EVERY_SIZE, 0, 1), (EVERY_SIZE, 1, 1)))
    moments, shares = share_over_time([session], [play(session, plan)])
    assert shares[moments * 0.4 < 0.05].tolist() == pytest.approx([0.0] * int((moments * 0.4 < 0.05).sum()))
    between = (moments * 0.4 > 0.06) & (moments * 0.4 < 0.27)
    assert set(np.round(shares[between], 12)) == {0.2}
    assert shares[np.searchsorted(moments * 0.4, 0.29)] == pytest.approx(0.3)


def test_the_picture_has_a_panel_for_each_budget_and_a_line_for_each_policy(
    comparison: PilotComparison,
) -> None:
    shown = {
        budget: {name: comparison.curves[name, budget] for name in (RANDOM, LEARNED, ORACLE)}
        for budget in (1.0, 3.0)
    }
    figure = figure_outcome_over_time(shown)
    assert [axis.get_title() for axis in figure.axes] == ["1 s a module", "3 s a module"]
    assert [line.get_label() for line in figure.axes[0].lines] == [RANDOM, LEARNED, ORACLE]


def test_an_unknown_row_is_answered_with_what_there_is(comparison: PilotComparison) -> None:
    with pytest.raises(RecordingError, match=r"'nobody' was not measured at 3\.0 .*measured were random"):
        comparison.row("nobody", 3.0)


@pytest.mark.parametrize("budget", [0.0, -3.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(recordings: Recordings, budget: float) -> None:
    with pytest.raises(RecordingError, match="a session needs a budget above 0 seconds a module"):
        evaluate_pilot(recordings, ANY_POLICY, seeds=(0,), budgets=(budget,))


def test_unknown_packages_and_nothing_to_measure_are_refused(recordings: Recordings) -> None:
    with pytest.raises(RecordingError, match="no package 'pakage4' was recorded: did you mean package4"):
        evaluate_pilot(recordings, ANY_POLICY, seeds=(0,), packages=("pakage4",))
    with pytest.raises(RecordingError, match="a comparison needs training packages"):
        evaluate_pilot(recordings, ANY_POLICY, seeds=())
    with pytest.raises(RecordingError, match=r"repetition 7 was not recorded for package4, package5"):
        evaluate_pilot(recordings, ANY_POLICY, seeds=(0,), repetitions=(7,))
