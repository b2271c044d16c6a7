"""What the observed MDP says about a candidate: its values, and how often it would leave the observed.

What belongs here: model values of a policy and the share of episodes that meet something never tried.
What does not: counting the MDP (`qe_core.learning.empirical_mdp`) and estimates that weigh real episodes
(`off_policy`): a model of few visits is biased, so alone it decides nothing.
"""

import numpy as np

from qe_core.learning.arrays import Float64Array
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import FiniteMdp, back_up_pairs, evaluate_policy, with_reward
from qe_core.rollout.off_policy_log import LoggedEpisodes

EVALUATION_TOLERANCE = 1e-6
"""Residual of a model value, points: far below what is uncertain about the model."""


def model_values(mdp: EmpiricalMdp, policy: Float64Array, discount: float) -> Float64Array:
    """Return the policy's action values in the observed MDP, points, float64[S, A].

    Nothing is known of a pair that was never tried; it is taken to be worth what the rest of its state is, so
    that it neither attracts nor repels. A state never acted in is worth 0.

    Args:
        mdp: what was observed.
        policy: probability per action, float64[S, A].
        discount: γ in [0, 1).
    """
    finite = mdp.to_finite_mdp()
    return values_on(finite, on_visited(finite, policy), discount)


def on_visited(finite: FiniteMdp, policy: Float64Array) -> Float64Array:
    """Return the policy restricted to existing pairs and normalised, float64[S, A].

    Where it gives all of them 0 it is uniform over them; a state without pairs keeps its row.
    """
    exists = np.zeros(policy.shape, dtype=np.bool_)
    exists[finite.pair_state, finite.pair_action] = True
    kept = np.where(exists, policy, 0.0)
    is_lost = exists.any(axis=1) & (kept.sum(axis=1) <= 0.0)
    kept[is_lost] = exists[is_lost]
    total = kept.sum(axis=1, keepdims=True)
    return np.where(total > 0.0, kept / np.where(total > 0.0, total, 1.0), policy)


def values_on(finite: FiniteMdp, visited_policy: Float64Array, discount: float) -> Float64Array:
    """Return ``model_values`` for a policy that already keeps to existing pairs."""
    value = evaluate_policy(finite, visited_policy, discount, EVALUATION_TOLERANCE)
    q = np.repeat(value[:, np.newaxis], finite.action_count, axis=1)
    q[finite.pair_state, finite.pair_action] = back_up_pairs(finite, value, discount)
    return q


def untried_excess(mdp: EmpiricalMdp, log: LoggedEpisodes, policy: Float64Array) -> Float64Array:
    """Return how much likelier the policy is to try something new than who was logged, float64[S].

    What was never tried in a state is nothing to worry about as far as the logged policy would have tried it
    as
    rarely: the log then shows what usually happens. That policy's own share is 1 less the mean propensities
    of the actions that were taken there.

    Args:
        mdp: what was observed in the log.
        log: with propensities.
        policy: probability per action, float64[S, A].
    """
    pair = log.transitions.state * mdp.action_count + log.transitions.action
    visits = mdp.visits
    total = np.bincount(pair, weights=log.propensity, minlength=visits.size).reshape(visits.shape)
    logged = 1.0 - (total / np.maximum(visits, 1)).sum(axis=1)
    asked = np.where(visits > 0, 0.0, policy).sum(axis=1)
    return np.asarray(np.maximum(asked - np.maximum(logged, 0.0), 0.0))


def unsupported_share(mdp: EmpiricalMdp, log: LoggedEpisodes, policy: Float64Array) -> float:
    """Return the share of episodes in which the policy tries what the log cannot speak about, in [0, 1].

    By the observed transitions, from the observed first states, within the longest observed episode; see
    ``untried_excess``.

    Args:
        mdp: what was observed in the log.
        log: at least one episode.
        policy: probability per action, float64[S, A].
    """
    finite = mdp.to_finite_mdp()
    no_reward = with_reward(finite, np.zeros_like(finite.reward))
    pair_chance = policy[finite.pair_state, finite.pair_action]
    excess = untried_excess(mdp, log, policy)
    share = np.zeros(mdp.state_count)
    for _ in range(log.horizon):
        ahead = pair_chance * back_up_pairs(no_reward, share, 1.0)
        share = excess + np.bincount(finite.pair_state, weights=ahead, minlength=mdp.state_count)
    return float(np.clip(share[log.start_states].mean(), 0.0, 1.0))
