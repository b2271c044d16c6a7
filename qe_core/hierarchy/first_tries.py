"""Which action to try first where nothing was tried yet: the one others found best.

What belongs here: turning what others know into an order of first tries. What does not: where that knowledge
comes from (`transfer`, `lookup`), and how to choose among actions that were tried.

An agent that matches probabilities tries every action of a state once before it compares them. Others know
which of them are likely to be good, so they are tried first and the useful part of the task is reached
sooner. After that only own evidence counts: wrong advice costs a few tries and leaves no bias (ADR 0046).
"""

from dataclasses import replace

import numpy as np

from qe_core.learning.arrays import BoolArray, Float64Array, require_shape
from qe_core.learning.value_beliefs import ValueBelief

_UNUSED_ERROR = 1.0
"""Stands for the error of an untried action that waits for its turn; nothing is compared with it."""


def in_order_of(belief: ValueBelief, prior: Float64Array, is_known: BoolArray) -> ValueBelief:
    """Return the belief in which, of a state's untried actions, only those of the highest prior are untried.

    The probability-matching policy goes to untried actions first, so it now tries them in the prior's order,
    equals at random. Values and errors of tried actions are unchanged.

    Args:
        belief: what the agent has seen itself.
        prior: what others think of each pair, points, float64[S, A]; only its order within a state matters.
        is_known: where they think anything, bool[S, A]; elsewhere the mean of what they think in that state.

    Raises:
        LearningError: the prior has another shape.
    """
    require_shape("prior", prior, belief.q.shape)
    require_shape("is_known", is_known, belief.q.shape)
    known_count = is_known.sum(axis=1, keepdims=True)
    mean = np.where(is_known, prior, 0.0).sum(axis=1, keepdims=True) / np.maximum(known_count, 1)
    is_untried = belief.visits == 0
    hopes = np.where(is_untried, np.where(is_known, prior, mean), -np.inf)
    is_next = is_untried & (hopes == hopes.max(axis=1, keepdims=True))
    is_waiting = is_untried & ~is_next
    return replace(
        belief,
        visits=np.where(is_waiting, 1, belief.visits),
        error=np.where(is_waiting, _UNUSED_ERROR, belief.error),
    )
