"""Every error the product raises on purpose, in one tree.

What belongs here: the classes callers catch. Each message says what is wrong and what to do about it.
What does not: handling, logging and exit codes, which belong to the layer that talks to a person.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class QEError(Exception):
    """The root of all errors of the QE fleet learning platform."""


class ConfigError(QEError):
    """A setting is unknown, has the wrong type or lies outside its range."""


class ContractError(QEError):
    """An agent's declaration contradicts itself or the rules of the fleet."""


class UnknownAgentError(QEError):
    """No agent of that name is registered."""


class StateError(QEError):
    """A state does not belong to the agent's state space."""


class RewardError(QEError):
    """A measurement a reward is computed from is missing, not finite or out of range."""


class LearningError(QEError):
    """Arrays or parameters given to the learning core are inconsistent."""


class RolloutError(QEError):
    """An A/B test, a rollout or a rollback was given figures or settings it cannot decide by."""


class PrivacyError(QEError):
    """Something must not leave this machine, or not in this form."""


class BudgetError(PrivacyError):
    """A release would spend more privacy than is left."""


class ContributionError(PrivacyError):
    """What a contributor sent cannot be what it is said to be."""


class StoreError(QEError):
    """PostgreSQL refused or could not do what was asked."""


class DatabaseUnavailableError(StoreError):
    """No usable PostgreSQL server answers at the configured address."""


class MigrationError(StoreError):
    """The database's schema does not fit this version of the product."""


class VersionConflictError(StoreError):
    """A table changed between reading and writing, more often than retries allow."""


class FingerprintMismatchError(StoreError):
    """A table was learned under another contract than the one in use."""


class ImportFileError(QEError):
    """A file of experiences cannot be imported as it is."""


class WorkbenchError(QEError):
    """A real tool could not be run or its outcome could not be measured."""


class RecordingError(WorkbenchError):
    """A recording is missing, incomplete or was changed after it was made."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a hint naming the known names closest to ``name``, or all of them when none is close.

    Args:
        name: what was asked for.
        known: the names that exist.
        count: how many close names to list at most.
    """
    names = list(known)
    close = get_close_matches(name, names, n=count, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + ", ".join(names)
