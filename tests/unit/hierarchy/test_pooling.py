"""Pooled beliefs: what they add to single pairs, that evidence outvotes them, that they are repeatable."""

from collections.abc import Iterator

import numpy as np
import pytest

from qe_core.environments.catalogue import world_of
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.fleet import registry
from qe_core.hierarchy.effects import EffectDesign
from qe_core.hierarchy.pooling import PooledBeliefs, pooled_belief
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.value_beliefs import believed_values

WORLD: World = world_of(registry().get("quality-gate"), 0)
CONTRACT = WORLD.contract
REACHABLE = np.flatnonzero(WORLD.is_reachable)
ROW = np.full(WORLD.state_count, -1)
ROW[REACHABLE] = np.arange(len(REACHABLE))
DISCOUNT = WORLD.discount_or_own(None)
DESIGN = EffectDesign.of(CONTRACT.state_model, CONTRACT.category, REACHABLE)
EXACT = solve_finite_mdp(WORLD.mdp, DISCOUNT).q[REACHABLE]
NOTHING = np.zeros((1 + CONTRACT.action_count, DESIGN.column_count))


def seen(times: int, pairs: Iterator[tuple[int, int]] | None = None) -> EmpiricalMdp:
    """Return what tells the exact value of some pairs, or of all, at once, so often and without noise."""
    chosen = list(pairs or np.ndindex(EXACT.shape))
    state, action = (np.array(column) for column in zip(*chosen, strict=True))
    return summarised(state, action, times)


def summarised(state: np.ndarray, action: np.ndarray, times: int) -> EmpiricalMdp:
    """Return what tells the exact values of these pairs so often."""
    size = len(state)
    return EmpiricalMdp.from_summaries(
        *EXACT.shape,
        state=state,
        action=action,
        next_state=state,
        terminated=np.ones(size, dtype=bool),
        count=np.full(size, times),
        reward_mean=EXACT[state, action],
        reward_m2=np.zeros(size),
    )


def test_without_experiences_one_believes_what_one_is_told_and_is_unsure() -> None:
    told = NOTHING.copy()
    told[2, 0] = 12.0
    nothing = np.zeros(0, dtype=np.int64)
    belief = pooled_belief(summarised(nothing, nothing, 1), DISCOUNT, DESIGN, told)
    assert (belief.values.error > 20.0).all()
    assert np.isfinite(belief.values.q).all()


def test_pairs_never_tried_are_told_from_others_by_their_features() -> None:
    rng = np.random.default_rng(0)
    is_kept = rng.random(EXACT.shape) < 0.6
    belief = pooled_belief(seen(50, zip(*np.nonzero(is_kept), strict=True)), DISCOUNT, DESIGN, NOTHING)
    left = (EXACT - belief.values.q)[~is_kept]
    assert (left**2).mean() < 0.2 * EXACT[~is_kept].var()


def test_enough_own_evidence_outvotes_everything() -> None:
    wrong = np.random.default_rng(1).normal(0, 60, NOTHING.shape)
    belief = pooled_belief(seen(2_000), DISCOUNT, DESIGN, wrong)
    assert belief.values.q == pytest.approx(EXACT, abs=1.0)
    assert belief.values.error.max() < 2.0


def test_errors_fall_as_evidence_grows() -> None:
    few, many = (pooled_belief(seen(times), DISCOUNT, DESIGN, NOTHING).values.error for times in (2, 200))
    assert (many < few).all()


def test_beliefs_begin_from_the_ones_before_and_agree_with_a_fresh_start() -> None:
    ongoing = PooledBeliefs(DESIGN, CONTRACT.action_count, DISCOUNT)
    for times in (1, 2, 5, 20, 50, 100, 200, 200, 200, 200, 200, 200):
        last = ongoing(seen(times))
    fresh = pooled_belief(seen(200), DISCOUNT, DESIGN, NOTHING).values
    assert last.q == pytest.approx(fresh.q, abs=1.0)
    again = PooledBeliefs(DESIGN, CONTRACT.action_count, DISCOUNT)
    assert (
        again(seen(3)).q.tobytes()
        == PooledBeliefs(DESIGN, CONTRACT.action_count, DISCOUNT)(seen(3)).q.tobytes()
    )


def test_values_stay_within_what_rewards_allow() -> None:
    lowest = float(np.abs(EXACT).max() / (1 - DISCOUNT))
    wild = 1e6 * np.ones_like(NOTHING)
    assert np.abs(pooled_belief(seen(1), DISCOUNT, DESIGN, wild).values.q).max() <= lowest + 1e-9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LearningError, match="expected effects"):
        PooledBeliefs(DESIGN, CONTRACT.action_count, DISCOUNT, NOTHING[:, 1:])
    with pytest.raises(LearningError, match="discount"):
        PooledBeliefs(DESIGN, CONTRACT.action_count, 1.0)
    other = EmpiricalMdp.from_summaries(
        2, 1, state=[0], action=[0], next_state=[1], terminated=[True], count=[1], reward_mean=[0.0],
        reward_m2=[0.0],
    )  # fmt: skip
    with pytest.raises(LearningError, match="columns"):
        pooled_belief(other, DISCOUNT, DESIGN, NOTHING)


def test_pairs_tried_often_enough_are_known_by_themselves() -> None:
    alone, actions = believed_values(seen(4), DISCOUNT), CONTRACT.action_count
    enough = PooledBeliefs(DESIGN, actions, DISCOUNT, enough_visits=4.0)(seen(4))
    assert np.array_equal(enough.q, alone.q)
    assert np.array_equal(enough.error, alone.error)
    pooled = PooledBeliefs(DESIGN, actions, DISCOUNT, enough_visits=4.1)(seen(4))
    assert not np.array_equal(pooled.q, alone.q)
