"""Refusals particular to the store, all below the errors callers already catch.

What belongs here: errors whose remedy differs from their parent's. What does not: general errors
(`qe_core.errors`) and the translation of the driver's exceptions (`connection`).
"""

from qe_core.errors import DatabaseUnavailableError, StoreError, VersionConflictError


class StaleEpochError(VersionConflictError):
    """A write came from before the table was restored or replaced, and was refused whole."""


class ExperienceRejectedError(StoreError):
    """Experiences break a rule of the log; none of their batch was stored."""


class QueueFullError(StoreError):
    """More updates wait to be committed than the queue may hold; this one was not stored."""


class DecisionClaimedError(StoreError):
    """The outcome of a decision is being recorded by another process; it was not stored from here."""


class OutcomeUnknownError(DatabaseUnavailableError):
    """An update was sent and its acknowledgement did not come in time: it is stored once, or not at all."""


class PolicyError(StoreError):
    """A policy version cannot be used as asked: it is unknown, another agent's, or of an old contract."""


class CoolDownError(StoreError):
    """The agent was rolled back only just now; nothing was changed."""


class ABTestError(StoreError):
    """An A/B test cannot be started, changed or recorded as asked; nothing was changed."""


class TeamError(StoreError):
    """The team's server, or whoever looks after it, refuses for now what is asked; nothing was changed."""


class OptOutChangedError(StoreError):
    """Somebody opted out or in while a release was made; nothing of it was stored."""


class ReleaseConflictError(StoreError):
    """Another release has taken some of the same tasks; nothing of this one was stored."""
