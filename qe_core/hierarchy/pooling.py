"""What to believe about every action, tried or not: own experiences, pooled as far as they bear it out.

What belongs here: values and errors under the model of effects, from experiences and what others found.
What does not: that model (`effect_estimation`), what others found (`handing_down`), and how to choose by a
belief (`qe_core.learning.probability_matching`).

`qe_core.learning.value_beliefs` knows a pair by its own experiences alone. Here a pair that was tried once
leans on what its features did elsewhere, and a pair never tried has a value and an error too. What others
found is where the effects start from; it is outvoted by experience like any other expectation.
"""

from dataclasses import dataclass
from math import inf

import numpy as np

from qe_core.hierarchy.effect_estimation import ROUNDS, EffectModel, Variances, single_threaded
from qe_core.hierarchy.effects import EffectDesign
from qe_core.learning.arrays import Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import FiniteMdp, back_up_pairs, with_reward
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, noise_variance
from qe_core.learning.value_beliefs import ValueBelief, believed_values

SWEEPS = 30
SETTLED = 0.01
"""At most so many sweeps over the values, and the change, points, below which they have settled."""

STEPS_AHEAD = 8
"""How far ahead uncertainty is looked for: what is further off is discounted to a tenth or less."""


@dataclass(frozen=True, slots=True)
class PooledBelief:
    """Values with errors, and how they were pooled.

    Attributes:
        values: of every pair; all count as known.
        effects: points, float64[1 + A, K].
        variances: how far effects and pairs spread, by all that was seen.
    """

    values: ValueBelief
    effects: Float64Array
    variances: Variances


class PooledBeliefs:
    """Beliefs about the same pairs again and again, as experiences come in; each begins from the one before.

    Args:
        design: the effects in each state.
        action_count: A.
        discount: γ in [0, 1).
        expected: what effects start from, points, float64[1 + A, K]; 0 where left out: nobody told anything.
        confidence: what is assumed about noise and spread before it is measured.
        enough_visits: mean visits of a pair from which on every pair is known by its own experiences alone.
            Pooling tells early which actions to leave; that they are worse is evidence of their own.
    """

    def __init__(
        self,
        design: EffectDesign,
        action_count: int,
        discount: float,
        expected: Float64Array | None = None,
        confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
        enough_visits: float = inf,
    ) -> None:
        require_discount(discount)
        shape = (1 + action_count, design.column_count)
        self._design, self._discount, self._confidence = design, discount, confidence
        self._expected = np.zeros(shape) if expected is None else expected
        require_shape("expected effects", self._expected, shape)
        self._last: PooledBelief | None = None
        self._enough_visits = enough_visits

    def __call__(self, mdp: EmpiricalMdp) -> ValueBelief:
        """Return what to believe after these experiences, which hold the earlier ones.

        Raises:
            LearningError: the observations are of another number of states or actions.
        """
        if mdp.visits.mean() >= self._enough_visits:
            return believed_values(mdp, self._discount, self._confidence)
        self._last = pooled_belief(
            mdp, self._discount, self._design, self._expected, self._confidence, self._last
        )
        return self._last.values


@single_threaded
def pooled_belief(
    mdp: EmpiricalMdp,
    discount: float,
    design: EffectDesign,
    expected: Float64Array,
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
    start: PooledBelief | None = None,
) -> PooledBelief:
    """Return what to believe about every action in every state.

    What is seen of a pair is the mean of r + γ·max q(s′), with q the belief itself; both are swept until they
    agree. A pair's error holds what is uncertain further on as well, as in ``believed_values``.

    Args:
        mdp: the observations, S × A pairs.
        discount: γ in [0, 1).
        design: the effects in each of the S states.
        expected: what effects start from, points, float64[1 + A, K].
        confidence: what is assumed about noise and spread before it is measured.
        start: an earlier belief about the same pairs, which saves rounds.

    Raises:
        LearningError: the shapes do not fit each other.
    """
    shape = (mdp.state_count, mdp.action_count)
    require_shape("columns", design.columns, (mdp.state_count, design.column_count))
    require_shape("expected effects", expected, (1 + mdp.action_count, design.column_count))
    finite = mdp.to_finite_mdp()
    belief, rounds = start, 1
    if belief is None:
        known = np.ones(shape, dtype=np.int64)
        begin = ValueBelief(design.values(expected), np.zeros(shape), known)
        belief, rounds = PooledBelief(begin, expected, Variances.assumed(confidence)), ROUNDS
    for _ in range(rounds):
        belief = _improved(mdp, finite, discount, design, expected, confidence, belief)
    return belief


def _improved(
    mdp: EmpiricalMdp,
    finite: FiniteMdp,
    discount: float,
    design: EffectDesign,
    expected: Float64Array,
    confidence: ConfidenceSettings,
    belief: PooledBelief,
) -> PooledBelief:
    """Return the belief by the variances so far, with better ones."""
    value = belief.values.q.max(axis=1)
    statistics = mdp.target_statistics(value, discount)
    is_tried = statistics.count > 0
    noise = noise_variance(statistics, confidence) / np.maximum(statistics.count, 1)
    model = EffectModel.of(design, expected, belief.variances, np.where(is_tried, noise, np.inf))
    trust, seen, pairs = model.trust, np.zeros(is_tried.shape), (finite.pair_state, finite.pair_action)
    limit = np.abs(finite.reward).max(initial=0.0) / (1.0 - discount)
    effects, q = belief.effects, belief.values.q
    for _ in range(SWEEPS):
        seen[pairs] = back_up_pairs(finite, value, discount)
        effects = model.effects(seen)
        explained = design.values(effects)
        q = np.clip(explained + trust * (seen - explained), -limit, limit)
        before, value = value, q.max(axis=1)
        if np.abs(value - before).max() < SETTLED:
            break
    own = (1.0 - trust) ** 2 * model.variance_of_sum() + belief.variances.residual * (1.0 - trust)
    error = np.sqrt(_with_what_follows(finite, own, trust, q.argmax(axis=1), discount))
    return PooledBelief(
        ValueBelief(q, error, belief.values.visits), effects, model.next_variances(effects, seen, confidence)
    )


def _with_what_follows(
    finite: FiniteMdp, own: Float64Array, trust: Float64Array, policy: Int64Array, discount: float
) -> Float64Array:
    """Return own variance and that of what follows along a policy, as far as it enters, points²."""
    doubt = with_reward(finite, np.zeros_like(finite.reward))
    pairs, states = (finite.pair_state, finite.pair_action), np.arange(len(own))
    ahead, total = np.zeros_like(own), own
    for _ in range(STEPS_AHEAD):
        ahead[pairs] = back_up_pairs(doubt, total[states, policy], discount**2)
        total = own + trust**2 * ahead
    return total
