"""Policy versions, and what each agent serves.

What belongs here: taking and reading versions, aliases, modes, their history. What does not: how rows are
frozen (`snapshots`), taking a policy back (`rollbacks`), comparing two (`ab_tests`).

Whoever changes what an agent serves first locks the line of its table in ``q_tables``, as its flushes do. So
changes of one agent have an order, and each says who, why, from and to in its own transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from qe_core.errors import DatabaseUnavailableError
from qe_core.fleet.contract import shared_fingerprint
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Approach, FleetContext
from qe_core.store.ab_records import EndVerdict
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import OutcomeUnknownError, PolicyError
from qe_core.store.outcomes import read_outcomes
from qe_core.store.policy_records import (
    Alias,
    FrozenTable,
    Mode,
    PolicyChange,
    PolicyRows,
    PolicyVersion,
    RecentOutcomes,
    RollbackEvent,
    ServingState,
    ServingTest,
    ThinCount,
)
from qe_core.store.q_tables import QTableStore
from qe_core.store.records import Level, TableHandle
from qe_core.store.rollbacks import Rollback, read_rollbacks, roll_back
from qe_core.store.serving_changes import (
    end_test,
    lock_agent,
    move_alias,
    read_serving,
    require_usable,
    set_agent_mode,
    told_in_words,
)
from qe_core.store.snapshots import (
    lock_snapshots,
    read_policy_rows,
    read_version,
    read_versions,
    take_version,
)
from qe_core.store.statements import STATEMENTS
from qe_core.store.thinning import DEFAULT_AGES, Ages, thin

if TYPE_CHECKING:
    from qe_core.fleet.contract import AgentContract
    from qe_core.store.alerts import Channel

__all__ = [
    "Ages",
    "Alias",
    "FrozenTable",
    "Mode",
    "PolicyChange",
    "PolicyRows",
    "PolicyStore",
    "PolicyVersion",
    "RecentOutcomes",
    "RollbackEvent",
    "ServingState",
    "ServingTest",
    "ThinCount",
]

FLEET = "fleet"
"""The name of the one table of the fleet level."""


class PolicyStore:
    """Policies of all agents.

    Args:
        database: where they are.
        q_tables: the same store's.
    """

    def __init__(self, database: Database, q_tables: QTableStore) -> None:
        self._database = database
        self._q_tables = q_tables

    async def snapshot(
        self,
        agent: "AgentContract",
        *,
        reason: str,
        by: str,
        exploration_state: dict[str, Any] | None = None,
    ) -> PolicyVersion:
        """Return a version of what an agent decides by now: the newest one where nothing changed since.

        Nobody who writes waits for it: all three tables are seen as of one moment, and only rows whose bits
        differ from those last frozen are stored.

        Args:
            agent: the agent's contract.
            reason: why.
            by: who asks.
            exploration_state: where exploration stands, JSON values; None where not known.

        Raises:
            FingerprintMismatchError: one of its tables was learned under another contract.
            StoreError: a word is empty.
        """
        handles = await self._tables(agent)
        ids = [handle.q_table_id for handle in handles]

        async def store() -> PolicyVersion:
            """Freeze alone."""
            async with self._database.transaction() as connection:
                await lock_snapshots(connection, ids)
                return await take_version(
                    connection,
                    *(agent.name, agent.fingerprint, ids),
                    reason=reason,
                    by=by,
                    exploration_state=exploration_state,
                )

        with told_in_words(f"a version of {agent.name}"):
            return await self._database.repeated(store)

    async def versions(self, agent: str) -> list[PolicyVersion]:
        """Return all versions of an agent, the newest first."""
        async with self._database.connection() as connection:
            return await read_versions(connection, agent, None)

    async def version(self, number: int) -> PolicyVersion:
        """Return a version.

        Raises:
            PolicyError: there is none of that number.
        """
        async with self._database.connection() as connection:
            return await read_version(connection, number)

    async def rows(self, number: int) -> PolicyRows:
        """Return the three tables of a version, bit for bit as they were frozen.

        Raises:
            PolicyError: there is none of that number.
        """
        async with self._database.snapshot() as connection:
            return await read_policy_rows(connection, number)

    async def serving(self, agents: Sequence[str]) -> dict[str, ServingState]:
        """Return what agents serve now, by name, in one query."""
        async with self._database.connection() as connection:
            return await read_serving(connection, agents)

    async def promote(self, agent: str, number: int, *, by: str, why: str) -> ServingState:
        """Have an agent serve a version as its stable one, and return what it serves then.

        A running test of that version ends as promoted; the candidate alias goes.

        Args:
            agent: the agent.
            number: the version.
            by: who decides.
            why: for people.

        Raises:
            PolicyError: the version cannot be served, or a test of another version is running.
        """

        async def change(connection: Connection, before: ServingState) -> None:
            """Move everything at once."""
            await require_usable(connection, agent, number)
            if before.test is not None and before.test.treatment != number:
                raise PolicyError(
                    f"test {before.test.experiment_id} of version {before.test.treatment} of {agent} is "
                    f"running; stop it before version {number} is promoted"
                )
            await end_test(connection, before, EndVerdict.PROMOTE, by, why)
            await move_alias(connection, before, Alias.STABLE, number, by, why)
            await move_alias(connection, before, Alias.CANDIDATE, None, by, why)
            await set_agent_mode(connection, before, Mode.SERVING, by, why)

        return await self._change(agent, change)

    async def point(self, agent: str, alias: Alias, number: int | None, *, by: str, why: str) -> ServingState:
        """Have an alias name a version, or none, and return what the agent serves then.

        Raises:
            PolicyError: the version cannot be served, a test is running, or the alias is needed.
        """

        async def change(connection: Connection, before: ServingState) -> None:
            """Move one alias."""
            if number is not None:
                await require_usable(connection, agent, number)
            await move_alias(connection, before, alias, number, by, why)

        return await self._change(agent, change)

    async def set_mode(self, agent: str, mode: Mode, *, by: str, why: str) -> ServingState:
        """Have an agent learn or serve, and return what it serves then.

        Raises:
            PolicyError: it shall serve and has no stable version.
        """

        async def change(connection: Connection, before: ServingState) -> None:
            """Switch."""
            await set_agent_mode(connection, before, mode, by, why)

        return await self._change(agent, change)

    async def rollback(
        self,
        agent: str,
        *,
        to: int | None = None,
        trigger: str,
        evidence: dict[str, Any],
        by: str,
        cool_down: timedelta | None = None,
        channels: Sequence["Channel"] = ("log",),
    ) -> RollbackEvent:
        """Take an agent's policy back, in one transaction, and return the event.

        Aliases go back, a running test stops, the live table's rows become those of the version, its epoch is
        raised, in learning mode all experiences the version does not rest on are left out of learning from
        now on, event, history and alert are stored, and processes are told.

        Args:
            agent: the agent.
            to: the version to go back to; None for the last one that was stable.
            trigger: what fired.
            evidence: the figures it fired on, JSON values.
            by: who.
            cool_down: refuse if the last rollback of the agent is not so long ago; None for a person's.
            channels: who is told of the alert.

        Raises:
            PolicyError: there is no version to go back to, or it cannot be served.
            CoolDownError: the last rollback is too recent.
            OutcomeUnknownError: the connection was lost; it has happened whole or not at all.
        """
        wanted = Rollback(agent, to, trigger, evidence, by, cool_down, tuple(channels))
        try:
            with told_in_words(f"a rollback of {agent}"):
                return await self._database.repeated(lambda: roll_back(self._database, wanted))
        except DatabaseUnavailableError as error:
            raise OutcomeUnknownError(
                f"the database went away while {agent} was rolled back, which has happened whole or not at "
                "all: look at its rollbacks before asking again"
            ) from error

    async def history(self, agent: str, limit: int = 1_000) -> list[PolicyChange]:
        """Return changes of what an agent serves, the newest first."""
        rows = await self._database.fetch("read_policy_history", agent, limit)
        return [PolicyChange(**dict(row)) for row in rows]

    async def rollbacks(self, agent: str | None = None, limit: int = 1_000) -> list[RollbackEvent]:
        """Return rollbacks of an agent, or of all, the newest first."""
        async with self._database.connection() as connection:
            return await read_rollbacks(connection, agent, limit=limit)

    async def thin(self, now: datetime, ages: Ages = DEFAULT_AGES) -> ThinCount:
        """Remove versions that have grown old; every one that stays is unchanged bit for bit.

        Never removed: an agent's newest, and those an alias, a test or a rollback names.

        Args:
            now: the present, aware.
            ages: how many to keep.
        """
        return await self._database.repeated(lambda: thin(self._database, now, ages))

    async def recent_outcomes(
        self,
        agent: str,
        policy_version: int | None,
        limit: int,
        *,
        since: datetime | None = None,
        read_limit: int = 200_000,
    ) -> RecentOutcomes:
        """Return what came of the last whole episodes that followed a version from beginning to end.

        Reads only as much of the newest of the log as it takes; what rollbacks excluded is included.

        Args:
            agent: whose.
            policy_version: the version followed; None for the live table.
            limit: at most so many episodes.
            since: only experiences that arrived from then on, aware; None for all.
            read_limit: at most so many experiences are read; where fewer of the version's episodes are among
                them, fewer are returned.
        """
        async with self._database.snapshot() as connection:
            return await read_outcomes(connection, agent, policy_version, limit, since, read_limit)

    async def _change(self, agent: str, change: Any) -> ServingState:
        """Run a change of what an agent serves alone, announce it, and return what holds then."""

        async def store() -> ServingState:
            """Lock, change, announce."""
            async with self._database.transaction() as connection:
                await lock_agent(connection, agent)
                before = (await read_serving(connection, [agent]))[agent]
                await change(connection, before)
                await connection.execute(STATEMENTS["announce_serving"], agent)
                return (await read_serving(connection, [agent]))[agent]

        with told_in_words(f"what {agent} serves"):
            return await self._database.repeated(store)

    async def _tables(self, agent: "AgentContract") -> list[TableHandle]:
        """Return the three tables an agent decides by, registered if need be."""
        own = await self._q_tables.ensure(
            *("individual", agent.name, agent.fingerprint, agent.state_count, agent.action_names),
            may_replace=False,
        )
        category = await self._shared("category", agent.category.value, agent.category.context)
        return [own, category, await self._shared("fleet", FLEET, FleetContext)]

    async def _shared(self, level: Level, name: str, context: type[StateModel]) -> TableHandle:
        approaches = tuple(approach.value for approach in Approach)
        return await self._q_tables.ensure(
            *(level, name, shared_fingerprint(context), context.space_size(), approaches), may_replace=False
        )
