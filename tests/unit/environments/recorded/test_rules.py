"""Fixed plans, and choosing them."""

import numpy as np
import pytest

from qe_core.environments.recorded.project import compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.rules import (
    EVERY_SIZE,
    TO_THE_END,
    Plan,
    best_form,
    best_order,
    best_single,
    mean_area,
    size_aware_order,
    tuned_schedule,
)
from qe_core.environments.recorded.session import open_session
from qe_core.environments.recorded.sessions import Session, play, sessions_of
from qe_core.fleet.test_generation import STRATEGIES

LITERALS, EDGE_VALUES, DOCTESTS = range(3)
DYNAMOSA = STRATEGIES.index("dynamosa")


def hand(recordings: Recordings, seconds_per_module: float) -> Session:
    return Session(compile_project(recordings, "hand", 0), seconds_per_module)


def test_breadth_first_gives_every_module_its_turn_before_the_next_strategy(by_hand: Recordings) -> None:
    """Literals on a 0.1 s, on b 0.1 s, edge-values on a 0.1 s: branch 3 at 0.28 s of 0.3 s."""
    plan = Plan(((EVERY_SIZE, LITERALS, 1), (EVERY_SIZE, EDGE_VALUES, 1)))
    outcome = play(hand(by_hand, 0.15), plan)
    assert outcome.moments.tolist() == pytest.approx([0.05, 0.05, 0.28])
    assert outcome.seconds == pytest.approx(0.3)


def test_depth_first_finishes_a_module_before_the_next(by_hand: Recordings) -> None:
    plan = Plan(((EVERY_SIZE, LITERALS, 1), (EVERY_SIZE, EDGE_VALUES, 1)), is_depth_first=True)
    assert play(hand(by_hand, 0.15), plan).moments.tolist() == pytest.approx([0.05, 0.05, 0.18])


def test_a_plan_repeats_until_nothing_is_left(by_hand: Recordings) -> None:
    session = hand(by_hand, 50.0)
    project = session.project.arrays
    arrays = open_session(project, session.budget_seconds)
    Plan(((EVERY_SIZE, LITERALS, 1),))(session, arrays)
    assert arrays.spent[:, LITERALS].tolist() == pytest.approx(project.ends[:, LITERALS].tolist())
    assert arrays.spent.sum() == pytest.approx(project.ends[:, LITERALS].sum())


def test_a_size_limits_an_entry_to_modules_of_that_size(by_hand: Recordings) -> None:
    """Module a has 50 statements (small), b 150 (medium)."""
    session = hand(by_hand, 5.0)
    arrays = open_session(session.project.arrays, session.budget_seconds)
    Plan(((1, DYNAMOSA, TO_THE_END),))(session, arrays)
    assert arrays.spent[:, DYNAMOSA].tolist() == pytest.approx([0.0, 0.5])


def test_what_is_dry_is_left_until_nothing_else_remains(by_hand: Recordings) -> None:
    """Dynamosa on b is silent for 0.2 s: left after two slices, taken up again at the end."""
    session = hand(by_hand, 5.0)
    arrays = open_session(session.project.arrays, session.budget_seconds)
    plan = Plan(((EVERY_SIZE, DYNAMOSA, TO_THE_END), (EVERY_SIZE, LITERALS, TO_THE_END)), dry_slices=2)
    plan(session, arrays)
    project = session.project.arrays
    assert arrays.spent[:, DYNAMOSA].tolist() == pytest.approx(project.ends[:, DYNAMOSA].tolist())
    first_branch_of_a = arrays.reached_at[0]
    first_branch_of_b = arrays.reached_at[project.branches[0]]
    assert first_branch_of_a < first_branch_of_b


def test_the_better_form_of_a_strategy_is_at_least_as_good_as_each_form(recordings: Recordings) -> None:
    sessions = sessions_of(recordings, recordings.packages("training"), (0,), (3.0,))
    best = mean_area(sessions, best_form(LITERALS, sessions))
    for turn in (1, 2, TO_THE_END):
        for is_depth_first in (False, True):
            assert best >= mean_area(sessions, Plan(((EVERY_SIZE, LITERALS, turn),), is_depth_first))


def test_an_order_is_at_least_as_good_as_its_best_strategy_alone(recordings: Recordings) -> None:
    sessions = sessions_of(recordings, recordings.packages("training"), (0, 1), (3.0,))
    single, order = best_single(sessions), best_order(sessions)
    assert mean_area(sessions, order) >= mean_area(sessions, single) - 1e-12
    assert len(single.entries) == 1


def test_the_size_aware_order_holds_every_strategy_once_for_each_size(recordings: Recordings) -> None:
    sessions = sessions_of(recordings, recordings.packages("training"), (0,), (3.0,))
    plan = size_aware_order(sessions)
    for size in range(3):
        assert sorted(strategy for which, strategy, _ in plan.entries if which == size) == list(range(7))


def test_the_tuned_schedule_starts_with_the_highest_rate_and_does_not_depend_on_the_budget(
    recordings: Recordings,
) -> None:
    packages = recordings.packages("training")
    short, long = (
        tuned_schedule(sessions_of(recordings, packages, (0,), (budget,))) for budget in (1.0, 20.0)
    )
    assert short == long
    assert short.entries[0][1] in (LITERALS, EDGE_VALUES, DOCTESTS)


def test_a_plan_describes_itself() -> None:
    plan = Plan(((EVERY_SIZE, LITERALS, 2), (0, DYNAMOSA, TO_THE_END)), is_depth_first=True, dry_slices=2)
    assert plan.description == (
        "module by module: literals ×2, dynamosa to the end on small, leaving what is dry after 2"
    )
    assert Plan(((EVERY_SIZE, DOCTESTS, 1),)).description == "strategy by strategy: doctests ×1"


def test_playing_twice_gives_the_same_bits(recordings: Recordings) -> None:
    (session,) = sessions_of(recordings, ("package0",), (0,), (3.0,))
    plan = Plan(((EVERY_SIZE, LITERALS, 1), (EVERY_SIZE, DYNAMOSA, 2)))
    first, second = play(session, plan), play(session, plan)
    assert first.area == second.area
    assert np.array_equal(first.moments, second.moments)
