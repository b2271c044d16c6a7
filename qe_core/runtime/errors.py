"""Refusals particular to agents at work and who looks after them, below the errors callers already catch.

What belongs here: errors whose remedy differs from their parent's. What does not: general errors
(`qe_core.errors`).
"""

from qe_core.errors import QEError, RolloutError, StateError


class DecisionError(QEError):
    """A decision cannot be taken or recorded as asked."""


class AlreadyRecordedError(DecisionError):
    """The outcome of this decision was recorded before, or nobody remembers the decision."""


class DecisionExpiredError(DecisionError):
    """A decision is too old for its outcome to be recorded."""


class StrategyError(DecisionError):
    """An agent's strategies do not fit its contract, or what they return cannot be learned from."""


class ContextSizeError(StateError):
    """A context is larger than any state can be; it was not looked at further."""


class CandidateRefusedError(RolloutError):
    """The log does not support a candidate; it was not tested."""
