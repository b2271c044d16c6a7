"""The table that follows from what contributors report together, and how much noise leaves of it.

What belongs here: solving the noisy MDP, effective visits. What does not: pooling (`aggregation`), storing
and publishing tables.
"""

import numpy as np

from qe_core.learning.finite_mdp import (
    DEFAULT_TOLERANCE,
    FiniteMdp,
    evaluate_policy,
    solve_finite_mdp,
    with_reward,
)
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.aggregation import NoisyMdp
from qe_core.privacy.space import PublicSpace

PESSIMISM = 3.0
"""Standard errors taken off each mean reward, more than in an agent's own table (ADR 0103).

Privacy noise makes the best of ten actions mostly the luckiest; work that moves on is where that costs most.
"""


def solve_shared(
    space: PublicSpace,
    mdp: NoisyMdp,
    discount: float,
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
    pessimism: float = PESSIMISM,
    tolerance: float = DEFAULT_TOLERANCE,
) -> TeamEvidence:
    """Return the exact solution of the noisy MDP as a table, with what it is worth.

    A step from a state leads to states with the same rest, by the row of its part and action. Known pairs
    alone are compared, as in an agent's own table, and a state without any is worth 0. Actions are compared
    cautiously; the level of a state is what the policy that follows is worth without caution, so that it can
    be compared with what others know (ADR 0103). The error of a pair's mean step is
    √(σ₀²/N + variance of privacy noise), with σ₀² the assumed variance of one step; effective visits are σ₀²
    over its square: as many noiseless visits would be as precise.

    Args:
        space: the agent's.
        mdp: what contributors report together.
        discount: γ in [0, 1).
        confidence: what is assumed about one step's variance.
        pessimism: standard errors taken off each mean reward, 0 or more.
        tolerance: largest allowed Bellman residual, points.

    Raises:
        LearningError: the discount is out of range or the residual was not reached.
    """
    total = confidence.noise_variance + mdp.visits * mdp.reward_variance
    error = np.where(mdp.is_known, np.sqrt(total / np.maximum(mdp.visits, 1.0)), 0.0)
    worth = np.floor(mdp.visits * confidence.noise_variance / total)
    effective = np.where(mdp.is_known, np.maximum(worth, 1.0), 0.0).astype(np.int64)
    pairs = np.nonzero(mdp.is_known)
    reported = _finite_mdp(space, mdp)
    cautious = with_reward(reported, (mdp.reward - pessimism * error)[pairs])
    solution = solve_finite_mdp(cautious, discount, tolerance=tolerance)
    level = evaluate_policy(reported, solution.policy, discount, tolerance) - solution.value
    q = np.where(mdp.is_known, solution.q + level[:, None], 0.0)
    return TeamEvidence(q, effective, error, mdp.visits)


def _finite_mdp(space: PublicSpace, mdp: NoisyMdp) -> FiniteMdp:
    """Return the known pairs with their rewards and, by their rows, the states they lead to."""
    state, action = np.nonzero(mdp.is_known)
    chances = mdp.successors[space.part[state] * space.action_count + action]
    pair, outcome = np.nonzero(chances)
    ends = outcome == space.part_count
    ahead = space.states()[space.rest[state[pair]], np.where(ends, 0, outcome)]
    return FiniteMdp.from_outcomes(
        space.state_count, space.action_count, state[pair], action[pair], chances[pair, outcome], ahead,
        mdp.reward[state, action][pair], ends,
    )  # fmt: skip
