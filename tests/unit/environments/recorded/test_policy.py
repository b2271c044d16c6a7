"""Completing a Q-table by backing off, and playing by it."""

from collections.abc import Callable

import numpy as np
import pytest

from qe_core.environments.recorded.policy import COARSER, TablePolicy, coarse_states, policy_from
from qe_core.environments.recorded.project import compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.sessions import Session, play
from qe_core.errors import LearningError
from qe_core.fleet.test_generation import STRATEGIES, TEST_GENERATOR, TestGeneratorState
from qe_core.learning.q_table import QTable

STATES, ACTIONS = TEST_GENERATOR.state_count, TEST_GENERATOR.action_count


def table_of(*evidence: tuple[int, int, float, int]) -> QTable:
    """Return a table of (state, action, mean target, visits)."""
    mean, visits = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS), dtype=np.int64)
    for state, action, value, count in evidence:
        mean[state, action], visits[state, action] = value, count
    return QTable(mean.copy(), visits, mean, np.zeros_like(mean))


def test_a_value_is_pulled_to_the_coarser_state_by_its_lack_of_visits() -> None:
    """States 0 and 1 differ in the last feature only; both tried action 0, 30 times at 2 and 10 times at 10.

    Their coarser state has the mean (30·2 + 10·10) / 40 = 4 at every level, so with a shrinkage of 10 state 1
    gets (10·10 + 10·4) / 20 = 7 and state 0 (30·2 + 10·4) / 40 = 2.5.
    """
    last = TestGeneratorState.features()[-1].name
    assert all(last not in kept for kept in COARSER)
    values = policy_from(table_of((0, 0, 2.0, 30), (1, 0, 10.0, 10)), shrinkage=10.0).values
    assert values[0, 0] == pytest.approx(2.5)
    assert values[1, 0] == pytest.approx(7.0)


def test_a_state_never_seen_acts_like_the_coarser_one() -> None:
    values = policy_from(table_of((0, 3, 5.0, 4)), shrinkage=10.0).values
    assert values[1, 3] == pytest.approx(5.0)


def test_what_nobody_tried_anywhere_comes_last() -> None:
    values = policy_from(table_of((0, 0, -3.0, 5))).values
    assert (values[:, 1] < -3.0).all()
    assert np.isfinite(values).all()


def test_without_shrinkage_evidence_stands_as_it_is() -> None:
    values = policy_from(table_of((0, 0, 2.0, 1), (1, 0, 10.0, 1)), shrinkage=0.0).values
    assert values[0, 0] == 2.0
    assert values[1, 0] == 10.0


def test_coarser_states_are_coarser_and_coarser() -> None:
    """States that share a coarser state share every one above it."""
    finer = np.arange(STATES)
    for kept in COARSER:
        coarser = coarse_states(kept)
        pairs = np.unique(np.stack([finer, coarser]), axis=1)
        assert len(pairs[0]) == len(np.unique(pairs[0]))
        finer = coarser


def test_a_coarser_state_keeps_just_the_features_named() -> None:
    groups = coarse_states(("callers",))
    for code in (0, 17, 1234, STATES - 1):
        label = TestGeneratorState.decode(code).callers
        assert groups[code] == ["untried", "literals", "edge-values", "both"].index(label)


def test_a_table_of_another_contract_is_refused() -> None:
    with pytest.raises(LearningError, match="rebuild it from the log under the current contract"):
        policy_from(QTable.zeros(10, ACTIONS))


def test_a_negative_shrinkage_is_refused() -> None:
    with pytest.raises(LearningError, match="shrinkage counts visits"):
        policy_from(QTable.zeros(STATES, ACTIONS), shrinkage=-1.0)


def test_the_policy_goes_where_the_best_slice_promises_most(by_hand: Recordings) -> None:
    """Only dynamosa on a module of medium size has value, so it is played on b first, to its end at 0.5 s."""
    values = np.zeros((STATES, ACTIONS))
    for code in range(STATES):
        if TestGeneratorState.decode(code).size == "medium":
            values[code, STRATEGIES.index("dynamosa")] = 1.0
    outcome = play(Session(compile_project(by_hand, "hand", 0), 5.0), TablePolicy(values))
    assert outcome.moments[:6].tolist() == pytest.approx([0.3] * 6)
    assert outcome.moments[6] > 0.5


def test_playing_ends_with_the_budget_or_the_last_run(record: Callable[..., Recordings]) -> None:
    project = compile_project(record(seed=2, packages=3, modules=3), "package0", 0)
    policy = TablePolicy(np.random.default_rng(0).random((STATES, ACTIONS)))
    assert play(Session(project, 0.5), policy).seconds == pytest.approx(1.5)
    assert play(Session(project, 1_000.0), policy).seconds == pytest.approx(project.arrays.ends.sum())
