"""Refusals of the team's database in the product's words.

What belongs here: what each of its error codes means. What does not: losing a connection
(`qe_core.store.connection`).
"""

import asyncpg

from qe_core.errors import ContributionError
from qe_core.store.errors import TeamError

REFUSED = "QE008"
"""A release that will never be taken."""

LATER = ("QE009", "QE010", "QE011")
"""Too much for a day, no member, an agent not registered yet: may be asked again once that has changed."""


def in_words(error: asyncpg.PostgresError) -> Exception:
    """Return what a refusal of the server means."""
    if error.sqlstate == REFUSED:
        return ContributionError(f"the team's server refuses the release: {error}")
    if error.sqlstate in LATER:
        return TeamError(str(error))
    if isinstance(error, asyncpg.InvalidSchemaNameError | asyncpg.UndefinedFunctionError):
        return TeamError(
            "this database is no team's server, or an older one; its administrator founds it with: "
            "qe db migrate, then: qe team found"
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return TeamError(
            f"this login may not do that: {error}; members contribute and pull, everything else is done by "
            "the login that owns the database (and may create roles, to found or invite)"
        )
    unnamed: Exception = error
    return unnamed
