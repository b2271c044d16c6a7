"""Who does not take part in team learning.

What belongs here: opting out and in. What does not: leaving experiences out (`finished_tasks`), withdrawing
releases (`releases`), pseudonyms (`qe_core.privacy`).

An opt-out commits at once and waits for nobody. It raises a generation that every release reads with its data
and again before it commits, so a release that is running meanwhile begins anew.
"""

from typing import Any

from qe_core.errors import PrivacyError
from qe_core.store.connection import Connection, Database
from qe_core.store.statements import STATEMENTS
from qe_core.store.team.log import note
from qe_core.store.team.records import OptOut, OptOutKind, TeamEvent

WHOLE_DATABASE = "database"
"""The subject of an opt-out of everything."""


class OptOutStore:
    """Developers, projects and agents that do not take part, or the whole database.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: OptOutKind, subject: str = WHOLE_DATABASE, *, by: str) -> OptOut:
        """Return the opt-out that holds from now on; one that holds already stays as it is.

        Args:
            kind: of what.
            subject: a pseudonym or an agent's name; none for the whole database.
            by: who says so.

        Raises:
            PrivacyError: the subject does not fit the kind.
        """
        _require_subject(kind, subject)
        async with self._database.transaction() as connection:
            row = dict(await connection.fetchrow(STATEMENTS["add_opt_out"], kind, subject, by))
            if row.pop("is_new"):
                await note(connection, TeamEvent.OPT_OUT, by, {"kind": kind, "subject": subject})
        return _opt_out(row)

    async def lift(self, kind: OptOutKind, subject: str = WHOLE_DATABASE, *, by: str) -> OptOut:
        """Take an opt-out back, for what happens from now on, and return it as it is now.

        Everything that is in the log of its subject by now stays unshared for ever.

        Raises:
            PrivacyError: there is none.
        """
        _require_subject(kind, subject)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(STATEMENTS["lift_opt_out"], kind, subject, by)
            if row is None:
                raise PrivacyError(
                    f"no opt-out of {kind} {subject} holds, so there is nothing to lift; "
                    "see those that hold with: qe privacy status"
                )
            await connection.execute(STATEMENTS["withhold_chunks"], row["opt_out_id"], kind, subject)
            await note(connection, TeamEvent.OPT_IN, by, {"kind": kind, "subject": subject})
        return _opt_out({name: value for name, value in row.items() if name != "opt_out_id"})

    async def list(self) -> tuple[OptOut, ...]:
        """Return those that hold, the oldest first."""
        rows = await self._database.fetch("list_opt_outs")
        return tuple(_opt_out(dict(row)) for row in rows)

    async def generation(self) -> int:
        """Return a number that every opt-out and every return from one raises."""
        async with self._database.connection() as connection:
            return await read_generation(connection)


async def read_generation(connection: Connection) -> int:
    """Return the generation of opt-outs as this transaction sees it."""
    return int(await connection.fetchval(STATEMENTS["read_opt_out_generation"]))


def _opt_out(row: dict[str, Any]) -> OptOut:
    return OptOut(**{**row, "kind": OptOutKind(row["kind"])})


def _require_subject(kind: OptOutKind, subject: str) -> None:
    if (kind is OptOutKind.DATABASE) != (subject == WHOLE_DATABASE) or not subject:
        raise PrivacyError(
            f"{subject!r} is no {kind} that could opt out; name a developer, a project or an agent, "
            "or opt out with everything and name none"
        )
