"""The single steps by which what an agent serves is changed, inside the caller's transaction.

What belongs here: aliases, mode and the end of a test, each with its history. What does not: which steps go
together (`policies`, `rollbacks`, `ab_tests`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import asyncpg

from qe_core.errors import StoreError
from qe_core.rollout.assignment import Stage
from qe_core.store.ab_records import EndVerdict
from qe_core.store.connection import Connection
from qe_core.store.errors import PolicyError
from qe_core.store.policy_records import Alias, Mode, PolicyVersion, ServingState, ServingTest
from qe_core.store.snapshots import read_version
from qe_core.store.statements import STATEMENTS

FROZEN, TESTED, OUTDATED = "QE003", "QE004", "QE005"
"""SQLSTATEs with which the schema refuses changes of frozen rows, of a tested agent, to an old contract."""


async def lock_agent(connection: Connection, agent: str) -> asyncpg.Record:
    """Hold what an agent serves, and its table, against everybody else until the transaction ends.

    Raises:
        PolicyError: the agent has no table.
    """
    found = await connection.fetchrow(STATEMENTS["lock_agent"], agent)
    if found is None:
        raise PolicyError(f"{agent} has no table yet, so there is nothing to serve; let it learn first")
    return found


async def read_serving(connection: Connection, agents: Sequence[str]) -> dict[str, ServingState]:
    """Return what agents serve now, by name."""
    rows = await connection.fetch(STATEMENTS["read_serving"], list(agents))
    return {row["agent"]: _state(row) for row in rows}


async def require_usable(connection: Connection, agent: str, number: int) -> PolicyVersion:
    """Return a version an agent can serve.

    Raises:
        PolicyError: there is no such version, it is another agent's, or of another contract.
    """
    version = await read_version(connection, number)
    if version.agent != agent:
        raise PolicyError(f"version {number} is {version.agent}'s, not {agent}'s; take one of its own")
    if not version.is_current:
        raise PolicyError(
            f"version {number} of {agent} was learned under contract {version.fingerprint}, which the agent "
            "has no longer; take a snapshot under the present one"
        )
    return version


async def move_alias(
    connection: Connection, before: ServingState, alias: Alias, number: int | None, by: str, why: str
) -> None:
    """Have an alias name a version or none, and note it; nothing happens where it does already."""
    known = before.stable if alias is Alias.STABLE else before.candidate
    if number == known:
        return
    if number is None:
        await connection.execute(STATEMENTS["remove_alias"], before.agent, alias)
    else:
        await connection.execute(STATEMENTS["set_alias"], before.agent, alias, number)
    await _note(connection, before.agent, alias, known, number, by, why)


async def set_agent_mode(connection: Connection, before: ServingState, mode: Mode, by: str, why: str) -> None:
    """Have an agent learn or serve, and note it; nothing happens where it does already."""
    if mode is not before.mode:
        await connection.execute(STATEMENTS["set_agent_mode"], before.agent, mode)
        await _note(connection, before.agent, "mode", before.mode, mode, by, why)


async def end_test(
    connection: Connection, before: ServingState, verdict: EndVerdict, by: str, why: str
) -> None:
    """End the agent's running test, if there is one, and note it."""
    if before.test is not None:
        experiment_id, stage = before.test.experiment_id, int(before.test.stage)
        await connection.execute(STATEMENTS["end_test"], experiment_id, verdict)
        await connection.execute(STATEMENTS["note_stage"], experiment_id, stage, None, verdict, by, why)


@contextmanager
def told_in_words(what: str) -> Iterator[None]:
    """Turn refusals of the schema into the product's errors.

    Args:
        what: could not be stored, for the message.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate == TESTED:
            raise PolicyError(f"{what} was not changed: {error}; stop the test first") from error
        if error.sqlstate == OUTDATED:
            raise PolicyError(f"{what} was not changed: {error}; take a snapshot first") from error
        if isinstance(error, asyncpg.ForeignKeyViolationError) and error.table_name == "agent_modes":
            raise PolicyError(
                f"{what} was not changed: serving needs a stable version; promote one"
            ) from error
        if isinstance(error, asyncpg.IntegrityConstraintViolationError) or error.sqlstate == FROZEN:
            raise StoreError(f"{what} was not stored: {error}; correct it and try again") from error
        raise


async def _note(
    connection: Connection, agent: str, what: str, before: object, after: object, by: str, why: str
) -> None:
    words = [None if value is None else str(value) for value in (before, after)]
    await connection.execute(STATEMENTS["note_policy_change"], agent, what, *words, by, why)


def _state(row: asyncpg.Record) -> ServingState:
    state = ServingState(row["agent"], Mode(row["mode"]), row["stable"], row["candidate"], None, row["epoch"])
    if row["experiment_id"] is None:
        return state
    return replace(
        state,
        test=ServingTest(
            *(row["experiment_id"], row["key"], row["unit_kind"], Stage(row["stage"]), row["hold_out"]),
            *(row["control_version"], row["treatment_version"]),
        ),
    )
