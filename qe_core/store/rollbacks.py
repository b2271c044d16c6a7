"""Taking an agent's policy back: one transaction that leaves the old state or the new one, whole.

What belongs here: which version is gone back to, and everything that changes with it. What does not: when a
rollback is called for (`qe_core.rollout`), single steps (`serving_changes`, `snapshots`).

Locks are taken in one order: snapshots of the three tables, the line of the agent's own table, everything
else. Flushes and publications take only the line, so nobody waits in a circle.
"""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from qe_core.store.ab_records import EndVerdict
from qe_core.store.alerts import Channel, Sighting, resolve_alert, see_alert
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import CoolDownError, PolicyError
from qe_core.store.json_text import json_text
from qe_core.store.policy_records import Alias, Mode, PolicyVersion, RollbackEvent, ServingState
from qe_core.store.serving_changes import (
    end_test,
    lock_agent,
    move_alias,
    read_serving,
    require_usable,
)
from qe_core.store.snapshots import lock_snapshots, read_versions, restore, take_version
from qe_core.store.statements import STATEMENTS

ALERT_KIND = "policy-rolled-back"
"""The kind of the alert every rollback opens; its runbook page bears the same name."""

_ALL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Rollback:
    """What is asked for.

    Attributes:
        agent: whose policy.
        to: the version to go back to; None for the last one that was stable.
        trigger: what fired.
        evidence: the figures it fired on, JSON values.
        by: who.
        cool_down: refuse if the last rollback of the agent is not so long ago.
        channels: who is told of the alert.
    """

    agent: str
    to: int | None
    trigger: str
    evidence: dict[str, Any] = field(hash=False)
    by: str
    cool_down: timedelta | None
    channels: tuple[Channel, ...]


async def roll_back(database: Database, wanted: Rollback) -> RollbackEvent:
    """Take a policy back in one transaction; see `PolicyStore.rollback`."""
    agent = wanted.agent
    async with database.transaction() as connection:
        ids = await _frozen_tables(connection, agent)
        await lock_snapshots(connection, ids)
        table = await lock_agent(connection, agent)
        if table["q_table_id"] != ids[0]:
            raise PolicyError(f"{agent} has no version under its present contract; take a snapshot first")
        await _require_cool(connection, wanted)
        before = (await read_serving(connection, [agent]))[agent]
        target = await _target(connection, before, wanted.to)
        found = await take_version(
            connection,
            *(agent, table["fingerprint"], ids),
            reason="as found by a rollback",
            by=wanted.by,
            exploration_state=None,
        )
        why = f"{wanted.trigger}: back to version {target.number}"
        await end_test(connection, before, EndVerdict.HARM, wanted.by, why)
        await move_alias(connection, before, Alias.CANDIDATE, None, wanted.by, why)
        if before.stable is not None:
            await move_alias(connection, before, Alias.STABLE, target.number, wanted.by, why)
        version, written, removed = await restore(connection, table["q_table_id"], target.own_snapshot)
        is_complete = before.mode is Mode.SERVING or not await connection.fetchval(
            STATEMENTS["has_summarised_since"], agent, table["fingerprint"], target.taken_at
        )
        rollback_id = await connection.fetchval(
            STATEMENTS["insert_rollback"],
            *(agent, before.mode, wanted.trigger, json_text(wanted.evidence), wanted.by),
            *(found.number, target.number, _served(before, target)),
            *(table["q_table_id"], table["epoch"], table["version"], written, removed, is_complete),
            None if before.test is None else before.test.experiment_id,
        )
        if before.mode is Mode.LEARNING:
            await _leave_out(connection, rollback_id, target)
        await _alert(connection, wanted, rollback_id, target)
        await connection.execute(STATEMENTS["announce_table"], table["q_table_id"], version)
        await connection.execute(STATEMENTS["announce_serving"], agent)
        return (await read_rollbacks(connection, agent, rollback_id))[0]


async def read_rollbacks(
    connection: Connection, agent: str | None, rollback_id: int | None = None, limit: int = _ALL
) -> list[RollbackEvent]:
    """Return rollbacks of an agent, of all, or one by its number, the newest first."""
    rows = await connection.fetch(STATEMENTS["read_rollbacks"], agent, rollback_id, limit)
    return [
        RollbackEvent(**{**row, "mode": Mode(row["mode"]), "evidence": json.loads(row["evidence"])})
        for row in map(dict, rows)
    ]


async def _frozen_tables(connection: Connection, agent: str) -> list[int]:
    """Return the numbers of the tables an agent's newest version froze: own, category, fleet."""
    newest = await read_versions(connection, agent, None, limit=1)
    if not newest:
        raise PolicyError(f"{agent} has no policy version to go back to; take a snapshot first")
    tables = await connection.fetch(STATEMENTS["read_frozen_tables"], newest[0].number)
    return [row["q_table_id"] for row in tables]


async def _require_cool(connection: Connection, wanted: Rollback) -> None:
    """Raise `CoolDownError` if the last rollback is too recent, by the server's clock."""
    if wanted.cool_down is None:
        return
    last = await connection.fetchrow(STATEMENTS["read_last_rollback"], wanted.agent)
    if last is not None and last["age"] < wanted.cool_down:
        raise CoolDownError(
            f"{wanted.agent} was rolled back {last['age'].total_seconds():.0f} s ago and rests for "
            f"{wanted.cool_down.total_seconds():.0f} s; look at rollback {last['rollback_id']} first"
        )


async def _target(connection: Connection, before: ServingState, number: int | None) -> PolicyVersion:
    """Return the version to go back to.

    While learning, that is the stable one, else the newest that no rollback went behind. While serving, it is
    the stable one if a test is running; else what was stable before, or the newest version older than it.
    """
    if number is not None:
        return await require_usable(connection, before.agent, number)
    versions = {
        version.number: version
        for version in await read_versions(connection, before.agent, None)
        if version.is_current
    }
    is_stable_good = before.mode is Mode.LEARNING or before.test is not None
    if before.stable is not None and is_stable_good:
        return versions[before.stable]
    usable = {known: version for known, version in versions.items() if not version.is_withdrawn}
    if before.stable is not None:
        usable.pop(before.stable, None)
        for row in await connection.fetch(STATEMENTS["read_earlier_stable"], before.agent):
            if row["number"] in usable:
                return usable[row["number"]]
        usable = {known: version for known, version in usable.items() if known < before.stable}
    if not usable:
        raise PolicyError(
            f"{before.agent} has no earlier version that is not in doubt; name one with its number"
        )
    return usable[max(usable)]


def _served(before: ServingState, target: PolicyVersion) -> int | None:
    """Return the frozen version that did harm; None where the live table was followed."""
    if before.test is not None and before.test.control == target.number:
        return before.test.treatment
    return before.stable if before.mode is Mode.SERVING else None


async def _leave_out(connection: Connection, rollback_id: int, target: PolicyVersion) -> None:
    """Have nobody learn from what the restored version does not rest on, and from all that it does."""
    await connection.execute(STATEMENTS["readmit_experiences"], target.agent, rollback_id, target.number)
    await connection.execute(
        STATEMENTS["exclude_experiences"],
        *(target.agent, rollback_id, target.number, target.q_table_id, target.table_version),
        *(target.fingerprint, target.taken_at),
    )


async def _alert(connection: Connection, wanted: Rollback, rollback_id: int, target: PolicyVersion) -> None:
    """Open an alert; one that an earlier rollback left open is closed, so that this one is told as well."""
    again = f"rolled back again, by rollback {rollback_id}"
    await resolve_alert(connection, ALERT_KIND, wanted.agent, wanted.by, again, wanted.channels)
    sighting = Sighting(
        kind=ALERT_KIND,
        subject=wanted.agent,
        severity="critical",
        summary=f"{wanted.agent} was rolled back to version {target.number} by {wanted.by}: {wanted.trigger}",
        runbook=f"docs/runbooks/{ALERT_KIND}.md",
        observation=f"rollback {rollback_id}",
    )
    await see_alert(connection, sighting, wanted.channels)
