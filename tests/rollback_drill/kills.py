"""Killing the server in the middle of a rollback: afterwards there is the old state or the new one, whole.

What belongs here: stopping the transaction at chosen points, SIGKILL, and a reader that shares no code with
the product. What does not: watching and rolling back by itself (`run`).
"""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg2

from qe_core.fleet import AgentContract, registry
from qe_core.learning.q_table import QTable
from qe_core.store import Store
from qe_core.store.policies import Mode
from tests.faults.place import Server, ask
from tests.rollback_drill.nursery import begun
from tests.rollback_drill.policies import BY, best_table, prepare, put_live, upside_down

BEFORE, COMMITTING, AFTER = "waiting for its lock", "committing", "just acknowledged"
WRITES = (
    "policy_versions", "ab_tests", "ab_stages", "policy_aliases", "policy_history", "q_values", "q_tables",
    "rollback_events", "excluded_experiences", "alerts", "alert_deliveries",
)  # fmt: skip
"""Tables the transaction writes to; it is stopped after its first row in each of them."""

POINTS = (BEFORE, *WRITES, COMMITTING, AFTER)
ONLY_IN = {
    "ab_tests": Mode.SERVING,
    "ab_stages": Mode.SERVING,
    "policy_aliases": Mode.SERVING,
    "policy_history": Mode.SERVING,
    "excluded_experiences": Mode.LEARNING,
}
"""Tables that are written to in one mode only: there is nothing to take away, or nothing to leave out."""

AGENTS = {Mode.SERVING: "test-executor", Mode.LEARNING: "quality-gate"}
PATIENCE_SECONDS = 60.0

_rounds = count()
"""Every round does other harm, so that every rollback has a table to freeze as it finds it."""

_PAUSE = """
    CREATE OR REPLACE FUNCTION pause_for_drill() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(600); RETURN null; END $$
"""
_AFTER_WRITE = (
    "CREATE TRIGGER drill AFTER INSERT OR UPDATE OR DELETE ON {} "
    "FOR EACH ROW EXECUTE FUNCTION pause_for_drill()"
)
_AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER drill AFTER INSERT ON rollback_events DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION pause_for_drill()"
)
_IS_PAUSED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event IN ('PgSleep', 'tuple', 'transactionid')"
_DIGEST = """
    SELECT coalesce(md5(string_agg(concat_ws(' ', held.state, array_send(held.q), held.visits,
        array_send(held.target_mean), array_send(held.target_m2), array_send(held.weights)
    ), E'\n' ORDER BY held.state)), '')
"""
_LIVE_ROWS = f"""{_DIGEST}
    FROM q_values AS held JOIN q_tables AS t USING (q_table_id)
    WHERE t.level = 'individual' AND t.name = %(agent)s AND t.is_current
"""
_FROZEN_ROWS = f"""{_DIGEST}
    FROM policy_versions AS v
    JOIN table_snapshots AS s ON v.own_snapshot = s.snapshot_id
    JOIN snapshot_rows AS held ON held.q_table_id = s.q_table_id
    WHERE v.number = %s AND held.held_from <= s.snapshot_id AND held.held_until > s.snapshot_id
"""
_STATE = """
    SELECT
        (SELECT mode FROM agent_modes WHERE agent = %(agent)s),
        (SELECT number FROM policy_aliases WHERE agent = %(agent)s AND alias = 'stable'),
        (SELECT number FROM policy_aliases WHERE agent = %(agent)s AND alias = 'candidate'),
        (SELECT count(*) FROM ab_tests WHERE agent = %(agent)s AND verdict IS null),
        (SELECT epoch FROM q_tables WHERE level = 'individual' AND name = %(agent)s AND is_current),
        (SELECT count(*) FROM policy_history WHERE agent = %(agent)s),
        (SELECT count(*) FROM rollback_events WHERE agent = %(agent)s),
        (SELECT count(*) FROM excluded_experiences WHERE agent = %(agent)s AND readmitted_by IS null),
        (SELECT count(*) FROM alerts WHERE subject = %(agent)s AND kind = 'policy-rolled-back'),
        (SELECT count(*) FROM alert_deliveries AS d JOIN alerts AS a USING (alert_id)
            WHERE a.subject = %(agent)s AND a.kind = 'policy-rolled-back')
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an independent reader sees of one agent.

    Attributes:
        mode: learning, serving, or None where it was never changed.
        stable: version the alias names.
        candidate: version the alias names.
        tests: running.
        epoch: of its table.
        changes: of aliases and mode, ever.
        rollbacks: ever.
        excluded: chunks of the log left out of learning.
        alerts: openings, ever.
        deliveries: of them.
        rows: digest of the live table's rows, bit for bit.
    """

    mode: str | None
    stable: int | None
    candidate: int | None
    tests: int
    epoch: int
    changes: int
    rollbacks: int
    excluded: int
    alerts: int
    deliveries: int
    rows: str


@dataclass(frozen=True, slots=True)
class Killed:
    """What one kill left.

    Attributes:
        mode: the agent's.
        point: where the transaction was.
        state: old, new, or what is torn.
        is_repeatable: whether a rollback afterwards led to the new state.
        restart_seconds: until the server answered again.
    """

    mode: Mode
    point: str
    state: str
    is_repeatable: bool
    restart_seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the state is whole, new where the rollback had been acknowledged, and repeatable."""
        expected = "new" if self.point == AFTER else "old"
        return self.state == expected and self.is_repeatable


def read_state(url: str, agent: str) -> Seen:
    """Return what is there, in one transaction."""
    with closing(psycopg2.connect(url, connect_timeout=10)) as session, session.cursor() as cursor:
        session.set_session(isolation_level="REPEATABLE READ", readonly=True)
        cursor.execute(_STATE, {"agent": agent})
        [line] = cursor.fetchall()
        cursor.execute(_LIVE_ROWS, {"agent": agent})
        [(rows,)] = cursor.fetchall()
    return Seen(*line, rows)


def frozen_rows(url: str, version: int) -> str:
    """Return the digest the live table has when a version is restored."""
    [(rows,)] = ask(url, _FROZEN_ROWS, version)
    return str(rows)


def judged(before: Seen, now: Seen, good: int, good_rows: str, mode: Mode) -> str:
    """Return whether a state is the one before, the one after, or what of it is neither.

    Args:
        before: the rollback.
        now: after the kill.
        good: the version to go back to.
        good_rows: digest of its rows.
        mode: the agent's.
    """
    if now == before:
        return "old"
    is_serving = mode is Mode.SERVING
    wanted = {
        "mode": (now.mode, before.mode),
        "stable": (now.stable, good if is_serving else None),
        "candidate": (now.candidate, None),
        "tests": (now.tests, 0),
        "epoch": (now.epoch, before.epoch + 1),
        "changes": (now.changes, before.changes + is_serving),
        "rollbacks": (now.rollbacks, before.rollbacks + 1),
        "excluded": (now.excluded > before.excluded, not is_serving),
        "alerts": (now.alerts, before.alerts + 1),
        "deliveries": (now.deliveries, before.deliveries + 1),
        "rows": (now.rows, good_rows),
    }
    torn = [name for name, (found, expected) in wanted.items() if found != expected]
    return f"torn: {', '.join(torn)}" if torn else "new"


def kill_at(server: Server, url: str, points: Sequence[str] = POINTS) -> Iterator[Killed]:
    """Yield what each kill left, for every point in both modes.

    Args:
        server: running; it is killed and started again.
        url: of a migrated database in it.
        points: some of `POINTS`.
    """
    for mode, name in AGENTS.items():
        contract = registry().get(name)
        good = asyncio.run(_with_store(url, lambda store, to=contract, m=mode: prepare(store, to, m)))
        good_rows = frozen_rows(url, good)
        for point in points:
            if ONLY_IN.get(point, mode) is mode:
                yield _killed(server, url, contract, mode, good, good_rows, point)


def _killed(
    server: Server, url: str, contract: AgentContract, mode: Mode, good: int, good_rows: str, point: str
) -> Killed:
    """Do harm, begin to roll back, kill server and client, look, and roll back once more."""
    asyncio.run(_with_store(url, lambda store: _harm(store, contract, mode, good)))
    before = read_state(url, contract.name)
    with _stopped_at(url, contract.name, point):
        rollback = begun(_roll_back_silently, url, contract.name, good)
        _wait(url, rollback, point)
        server.kill()
        rollback.kill()
        rollback.join()
    began = time.monotonic()
    server.start()
    now = read_state(url, contract.name)
    restart_seconds = time.monotonic() - began
    _resume(url)
    state = judged(before, now, good, good_rows, mode)
    if state == "old":
        roll_back(url, contract.name, good)
    is_repeatable = judged(before, read_state(url, contract.name), good, good_rows, mode) == "new"
    return Killed(mode, point, state, is_repeatable, restart_seconds)


def roll_back(url: str, agent: str, good: int) -> None:
    """Roll back through the product."""

    async def do(store: Store) -> None:
        """Take the policy back."""
        await store.policies.rollback(agent, to=good, trigger="drill", evidence={"why": "drill"}, by=BY)

    asyncio.run(_with_store(url, do))


def _roll_back_silently(url: str, agent: str, good: int) -> None:
    """Roll back in a process that is about to lose its server, and need not tell anybody."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    roll_back(url, agent, good)


async def _harm(store: Store, contract: AgentContract, mode: Mode, good: int) -> None:
    """Bring about what a rollback takes away: a candidate in a test, or an overwritten table with a log."""
    await store.alerts.resolve("policy-rolled-back", contract.name, BY, "next point")
    await put_live(store, contract, upside_down(best_table(contract), 1.0 + next(_rounds) / 64))
    if mode is Mode.SERVING:
        bad = await store.policies.snapshot(contract, reason="bad on purpose", by=BY)
        await put_live(store, contract, QTable.zeros(contract.state_count, contract.action_count))
        await store.ab_tests.start(
            contract.name, key=uuid4().hex, control=good, treatment=bad.number, by=BY, why="drill"
        )
        return
    await store.experiences.append(_one_episode(contract))


def _one_episode(contract: AgentContract) -> Mapping[str, Any]:
    """Return the log's columns of one step that ends its episode."""
    return {
        "occurred_at": [datetime.now(UTC)],
        "agent": contract.name,
        "episode": [uuid4().hex],
        "step": np.zeros(1, np.int64),
        "state": np.zeros(1, np.int64),
        "action": np.zeros(1, np.int64),
        "reward": np.zeros(1),
        "next_state": np.zeros(1, np.int64),
        "terminated": np.ones(1, np.bool_),
        "truncated": False,
        "propensity": 1.0,
        "exploration_rate": 0.0,
        "success": [False],
        "fingerprint": contract.fingerprint,
        "source": "drill",
    }


@contextmanager
def _stopped_at(url: str, agent: str, point: str) -> Iterator[None]:
    """Have the transaction stop at a point until somebody kills it."""
    if point == BEFORE:
        with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
            cursor.execute("SELECT FROM q_tables WHERE name = %s FOR UPDATE", [agent])
            yield
        return
    if point != AFTER:
        ask(url, _PAUSE)
        ask(url, _AT_COMMIT if point == COMMITTING else _AFTER_WRITE.format(point))
    yield


def _wait(url: str, rollback: Any, point: str) -> None:
    """Return when the transaction is at the point: stopped there, or acknowledged."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if point == AFTER:
            if rollback.exitcode == 0:
                return
        elif ask(url, _IS_PAUSED)[0][0]:
            return
        if rollback.exitcode is not None:
            raise AssertionError(f"the rollback ended with {rollback.exitcode} before it was {point}")
        time.sleep(0.01)
    raise AssertionError(f"the rollback did not come to {point} within {PATIENCE_SECONDS:.0f} s")


def _resume(url: str) -> None:
    """Take away what stopped the transaction, on whichever table it is."""
    for (table,) in ask(url, "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'drill'"):
        ask(url, f"DROP TRIGGER drill ON {table}")


async def _with_store(url: str, do: Any) -> Any:
    """Return what something comes to with an open store."""
    async with Store.connect(url, pool_size=1) as store:
        return await do(store)
