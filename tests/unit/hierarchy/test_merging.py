"""Own and shared knowledge merged by precision: own evidence stays, no visit counts twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.hierarchy.merging import MergeSettings, merged, others_visits
from qe_core.learning.q_table import ConfidenceSettings, QTable
from qe_core.learning.team_evidence import TeamEvidence

PLAIN = ConfidenceSettings(prior_variance=400.0, noise_variance=400.0, noise_weight=1.0)


def own_table(q, visits, variance=400.0) -> QTable:
    """An own table whose targets have this variance."""
    count = np.array(visits, dtype=np.int64)
    values = np.array(q, dtype=float)
    return QTable(values, count, values + 1.0, variance * count.astype(float))


def team_table(q, visits, reported=None) -> TeamEvidence:
    """A team's table; by default as much was reported as it is worth."""
    count = np.array(visits, dtype=np.int64)
    said = count.astype(float) if reported is None else np.array(reported, dtype=float)
    return TeamEvidence(np.array(q, dtype=float), count, np.where(count > 0, 1.0, 0.0), said)


NOBODY = np.zeros((1, 4))


def tables(seed: int) -> tuple[QTable, TeamEvidence, np.ndarray]:
    """Random tables of 5 states and 3 actions, with what the own database reported."""
    rng = np.random.default_rng(seed)
    shape = (5, 3)
    visits = rng.integers(0, 40, shape) * rng.integers(0, 2, shape)
    own = QTable(
        rng.normal(0, 30, shape), visits, rng.normal(0, 30, shape), visits * rng.uniform(0, 900, shape)
    )
    effective = rng.integers(0, 40, shape) * rng.integers(0, 2, shape)
    known = effective > 0
    team = TeamEvidence(
        np.where(known, rng.normal(0, 30, shape), 0.0),
        effective,
        np.where(known, rng.uniform(0, 9, shape), 0.0),
        np.where(known, effective * rng.uniform(1, 4, shape), 0.0),
    )
    return own, team, rng.normal(10, 20, shape)


@given(st.integers(0, 2**32))
def test_own_evidence_is_untouched_bit_for_bit(seed):
    own, team, reported = tables(seed)
    table = merged(own, team, reported).table
    for name in ("visits", "target_mean", "target_m2"):
        assert getattr(table, name).tobytes() == getattr(own, name).tobytes()


@given(st.integers(0, 2**32))
def test_without_team_evidence_the_merge_is_the_identity(seed):
    own, _, reported = tables(seed)
    nothing = team_table(np.zeros((5, 3)), np.zeros((5, 3)))
    result = merged(own, nothing, reported)
    assert result.table.q.tobytes() == own.q.tobytes()
    assert (result.taken, result.merged, result.conflicts) == (0, 0, ())


@given(st.integers(0, 2**32))
def test_priors_are_taken_only_where_own_visits_are_0(seed):
    own, team, reported = tables(seed)
    result = merged(own, team, reported)
    is_prior = (own.visits == 0) & (team.visits > 0)
    assert result.taken == is_prior.sum()
    assert (result.table.q[is_prior] == team.q[is_prior]).all()
    is_unheard = (own.visits == 0) & (team.visits == 0)
    assert (result.table.q[is_unheard] == own.q[is_unheard]).all()


@given(st.integers(0, 2**32))
def test_every_pair_is_accounted_for_and_lies_between_both_sides(seed):
    own, team, reported = tables(seed)
    result = merged(own, team, reported)
    low, high = np.minimum(own.q, team.q), np.maximum(own.q, team.q)
    is_both = (own.visits > 0) & (team.visits > 0)
    assert ((result.table.q >= low - 1e-9) & (result.table.q <= high + 1e-9))[is_both].all()
    assert result.merged + result.kept + len(result.conflicts) == (own.visits > 0).sum()


@given(st.integers(0, 2**32))
def test_merging_is_a_function_of_its_arguments(seed):
    own, team, reported = tables(seed)
    assert merged(own, team, reported).table.q.tobytes() == merged(own, team, reported).table.q.tobytes()


def test_precision_weights_by_hand():
    # 10 own visits at variance 400: precision 10/400; 30 effective visits of others: 30/400.
    # The last: 19 targets without any spread, the assumed 400 counting for one: (0 + 400) / 20 = 20 points².
    own = QTable(
        np.array([[2.0, 2.0, 2.0, 2.0]]),
        np.array([[10, 10, 0, 19]]),
        np.zeros((1, 4)),
        np.array([[4000.0, 4000.0, 0.0, 0.0]]),
    )
    team = team_table([[6.0, 0.0, 6.0, 3.0]], [[30, 0, 30, 19]])
    result = merged(own, team, NOBODY, confidence=PLAIN)
    fourth = (2.0 * 19 / 20 + 3.0 * 19 / 400) / (19 / 20 + 19 / 400)
    assert result.table.q[0].tolist() == pytest.approx([5.0, 2.0, 6.0, fourth])
    assert (result.taken, result.merged, result.kept, result.conflicts) == (1, 2, 1, ())


def test_the_own_share_of_what_was_reported_does_not_count_twice():
    team = team_table([[6.0] * 4], [[40] * 4], reported=[[100.0] * 4])
    own_reported = np.array([[0.0, 25.0, 120.0, -30.0]])
    assert others_visits(team, own_reported).tolist() == [[40.0, 30.0, 0.0, 40.0]]
    own = own_table([[2.0] * 4], [[10] * 4])
    result = merged(own, team, own_reported, confidence=PLAIN)
    assert result.table.q[0].tolist() == pytest.approx([26 / 5, 5.0, 2.0, 26 / 5])
    assert (result.merged, result.kept) == (3, 1)


def test_a_conflict_keeps_the_more_confident_side_and_tells_both_figures():
    # 16 own visits: error 5 points, 64 of others: 2.5; together 5.59, so three of them are 16.77 points.
    own = own_table([[0.0, 0.0, 0.0, 0.0]], [[16, 16, 64, 64]])
    team = team_table([[16.0, 17.0, 17.0, -17.0]], [[64, 64, 16, 64]])
    result = merged(own, team, NOBODY, MergeSettings(3.0), PLAIN)
    assert result.table.q[0].tolist() == pytest.approx([16 * 64 / 80, 17.0, 0.0, 0.0], abs=1e-9)
    assert [(found.action, found.is_own_kept) for found in result.conflicts] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    first = result.conflicts[0]
    assert (first.state, first.own_q, first.own_visits, first.team_q, first.team_visits) == (
        0,
        0.0,
        16,
        17.0,
        64.0,
    )
    assert first.own_confidence == pytest.approx(16 / 17, rel=0.01)
    assert first.team_confidence == pytest.approx(64 / 65)


def test_an_equal_conflict_keeps_the_own_side():
    own = QTable(np.array([[0.0]]), np.array([[100]]), np.array([[0.0]]), np.array([[40_000.0]]))
    result = merged(own, team_table([[50.0]], [[100]]), np.zeros((1, 1)), confidence=PLAIN)
    assert result.table.q[0, 0] == 0.0
    assert result.conflicts[0].is_own_kept


def test_what_does_not_fit_is_refused():
    own, team = own_table([[0.0] * 4], [[1] * 4]), team_table([[0.0] * 4], [[1] * 4])
    with pytest.raises(LearningError, match="own_reported must have shape"):
        merged(own, team, np.zeros((1, 3)))
    with pytest.raises(LearningError, match="own_reported must be finite"):
        merged(own, team, np.full((1, 4), np.nan))
    with pytest.raises(LearningError, match="team table must have shape"):
        merged(own_table([[0.0]], [[1]]), team, NOBODY)
    with pytest.raises(LearningError, match="conflict_standard_errors"):
        MergeSettings(0.0)
