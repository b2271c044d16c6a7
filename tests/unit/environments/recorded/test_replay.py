"""The replay against hand-worked unions, areas and states."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.environments.recorded.project import BINNED, ReplayArrays, compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.replay import (
    explore,
    find_valid,
    has_ended,
    is_over,
    move_on,
    observe,
    points_of,
    spend_slice,
)
from qe_core.environments.recorded.session import (
    AREA,
    CURRENT,
    MEASUREMENTS,
    MUTANT_AREA,
    NOW,
    SLICE_SECONDS,
    SessionArrays,
    open_session,
)
from qe_core.environments.recorded.training import reward_scales
from qe_core.fleet.test_generation import STRATEGIES, TEST_GENERATOR, TestGeneratorState

LITERALS, EDGE_VALUES, DYNAMOSA = (STRATEGIES.index(name) for name in ("literals", "edge-values", "dynamosa"))
A, B = 0, 1


def opened(recordings: Recordings, budget: float) -> tuple[ReplayArrays, SessionArrays]:
    project = compile_project(recordings, "hand", 0).arrays
    return project, open_session(project, budget)


def spend(project: ReplayArrays, session: SessionArrays, module: int, strategy: int) -> dict[str, float]:
    found = np.zeros(len(MEASUREMENTS))
    spend_slice(project, session, module, strategy, SLICE_SECONDS, found)
    return dict(zip(MEASUREMENTS, found.tolist(), strict=True))


def test_slices_cover_the_union_of_prefixes_and_the_area_follows_by_hand(by_hand: Recordings) -> None:
    """Budget 1 s, 10 branches.

    literals on a, 0 to 0.1 s: branches 0, 1 at 0.05 s; edge-values on a, 0.1 to 0.2 s: branch 3 at 0.18 s
    (branch 1 is known); literals on a again, 0.2 to 0.3 s: branch 2 at 0.15 s of its own clock, so at 0.25 s.
    Area = (2 · 0.95 + 0.82 + 0.75) / 10 = 0.347; one of four mutants at 0.05 s: 0.95 / 4 = 0.2375.
    """
    project, session = opened(by_hand, 1.0)
    first = spend(project, session, A, LITERALS)
    assert session.covered.tolist() == [2, 0]
    assert first["coverage_gain"] == pytest.approx(2 / 4 / 0.1)  # two of a's four uncovered branches
    assert first["defects_found"] == pytest.approx(1 / 2 / 0.1)
    assert first["edge_cases_reached"] == 0.0
    second = spend(project, session, A, EDGE_VALUES)
    assert second["coverage_gain"] == second["edge_cases_reached"] == pytest.approx(1 / 2 / 0.1)
    assert session.covered.tolist() == [3, 0]
    spend(project, session, A, LITERALS)
    assert session.covered.tolist() == [4, 0]
    assert session.clock[NOW] == pytest.approx(0.3)
    assert session.clock[AREA] == pytest.approx(0.347)
    assert session.clock[MUTANT_AREA] == pytest.approx(0.2375)
    assert is_over(project, session, A, LITERALS)


def test_a_later_slice_lasts_as_long_as_all_before_it_and_ends_with_the_run(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 10.0)
    used = []
    while not is_over(project, session, B, DYNAMOSA):
        before = session.clock[NOW]
        spend(project, session, B, DYNAMOSA)
        used.append(session.clock[NOW] - before)
    assert used == pytest.approx([0.1, 0.1, 0.2, 0.1])
    assert session.covered.tolist() == [0, 6]


def test_the_budget_cuts_a_slice_and_what_lies_beyond_is_not_reached(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 0.04)
    spend(project, session, A, LITERALS)
    assert session.clock[NOW] == pytest.approx(0.04)
    assert session.covered.tolist() == [0, 0]
    assert has_ended(project, session)


def test_the_session_ends_when_every_run_has_ended(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 100.0)
    for module in (A, B):
        for strategy in range(len(STRATEGIES)):
            while not is_over(project, session, module, strategy):
                assert not has_ended(project, session)
                spend(project, session, module, strategy)
    assert has_ended(project, session)
    assert session.clock[NOW] == pytest.approx(project.ends.sum())


def test_moving_on_goes_round_and_stops_making_sense_when_all_were_looked_at(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 1.0)
    valid = np.zeros(TEST_GENERATOR.action_count, dtype=np.bool_)
    find_valid(project, session, valid)
    assert valid.all()
    move_on(project, session)
    assert session.place[CURRENT] == B
    find_valid(project, session, valid)
    assert valid.tolist() == [True] * 7 + [False]
    move_on(project, session)
    assert session.place[CURRENT] == A


def test_where_nothing_is_left_only_moving_on_makes_sense(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 100.0)
    for strategy in range(len(STRATEGIES)):
        while not is_over(project, session, A, strategy):
            spend(project, session, A, strategy)
    valid = np.zeros(TEST_GENERATOR.action_count, dtype=np.bool_)
    find_valid(project, session, valid)
    assert valid.tolist() == [False] * 7 + [True]


def test_states_are_those_of_the_contract(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 3.0)
    known: dict[str, Any] = {"size": 50, "risk": "low", "examples": "untried", "neighbours": "untried"}
    fresh = known | {
        "track_record": 1.0,
        "coverage_gap": 1.0,
        "callers": "untried",
        "effort": 0.0,
        "budget": 1.5,
    }
    assert observe(project, session, A) == TestGeneratorState.from_features(fresh).encode()
    spend(project, session, A, LITERALS)
    later = known | {
        "track_record": 1.0,
        "coverage_gap": 0.5,
        "callers": "literals",
        "effort": 0.1,
        "budget": 1.45,
    }
    assert observe(project, session, A) == TestGeneratorState.from_features(later).encode()
    other = {"size": 150, "risk": "high", "examples": "none-left", "neighbours": "untried"}
    other |= {"track_record": 1.0, "coverage_gap": 1.0, "callers": "untried", "effort": 0.0, "budget": 1.45}
    assert observe(project, session, B) == TestGeneratorState.from_features(other).encode()


def test_only_the_strategies_tried_show_in_the_state(by_hand: Recordings) -> None:
    project, session = opened(by_hand, 100.0)
    spend(project, session, A, STRATEGIES.index("doctests"))
    spend(project, session, A, STRATEGIES.index("neighbour-tests"))
    spend(project, session, A, EDGE_VALUES)
    state = TestGeneratorState.decode(int(observe(project, session, A)))
    assert state.examples == "none-left"
    assert state.neighbours == "answered"  # its run is over
    assert state.callers == "edge-values"
    assert state.track_record == "mixed"  # nothing, then something
    assert state.effort == "some"  # three slices of 0.1 s


def test_points_are_those_of_the_contract() -> None:
    weights, scales = reward_scales()
    for found in (
        [2.0, 1.0, 0.5, 1.01, -0.1],
        [50.0, 0.0, 0.0, 1.2, 0.0],
        [0.0, 0.0, 0.0, 3.0, -9.0],
    ):
        measured = dict(zip(MEASUREMENTS, found, strict=True))
        expected = TEST_GENERATOR.reward.reward(measured)
        assert points_of(np.asarray(found), weights, scales) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), budget=st.floats(0.05, 30.0), rate=st.floats(0.0, 1.0))
def test_no_policy_exceeds_its_budget_or_leaves_the_state_space(
    recordings: Recordings, seed: int, budget: float, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    project = compile_project(recordings, "package1", 1)
    arrays = project.in_order(rng.permutation(project.module_count)[: rng.integers(1, 5)]).arrays
    session = open_session(arrays, budget)
    values = rng.random((TEST_GENERATOR.state_count, TEST_GENERATOR.action_count))
    integers, numbers = np.zeros((1_000, 4), dtype=np.int64), np.zeros((1_000, 2))
    steps = explore(arrays, session, values, rate, rng, SLICE_SECONDS, *reward_scales(), integers, numbers)
    assert session.clock[NOW] <= budget + 1e-9
    assert (session.spent <= arrays.ends + 1e-9).all()
    assert 0.0 <= session.clock[AREA] <= 1.0
    assert 0.0 <= session.clock[MUTANT_AREA] <= 1.0
    assert (integers[:steps, 0] < TEST_GENERATOR.state_count).all()
    assert (integers[:steps, 0] >= 0).all()
    assert (integers[1:steps, 0] == integers[: steps - 1, 2]).all()
    assert ((numbers[:steps, 1] > 0) & (numbers[:steps, 1] <= 1)).all()
    assert integers[steps - 1, 3] > 0
    assert (integers[: steps - 1, 3] == 0).all()
    covered = np.isfinite(session.reached_at[: arrays.offsets[1]])
    assert covered.sum() == session.covered.sum()
    moments = session.reached_at[: arrays.offsets[1]][covered]
    assert session.clock[AREA] == pytest.approx(((budget - moments) / budget).sum() / arrays.totals[0])


def test_replay_reads_exactly_the_binned_features_that_change() -> None:
    assert set(BINNED) <= {feature.name for feature in TestGeneratorState.features()}
