"""A/B tests in PostgreSQL: their course, their units, and every look at them.

What belongs here: storing and reading. What does not: who is assigned what (`qe_core.rollout.assignment`),
judging (`qe_core.rollout`), and what an agent serves apart from a test (`policies`).
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

import asyncpg
import numpy as np

from qe_core.errors import StoreError
from qe_core.rollout.assignment import DEFAULT_HOLD_OUT, Stage
from qe_core.store.ab_records import (
    ABTest,
    EndVerdict,
    StageChange,
    StoredAnalysis,
    TestUnits,
    UnitCount,
    UnitRow,
)
from qe_core.store.alerts import Channel, Sighting, see_alert
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import ABTestError
from qe_core.store.json_text import json_text
from qe_core.store.policy_records import Alias
from qe_core.store.serving_changes import (
    end_test,
    lock_agent,
    move_alias,
    read_serving,
    require_usable,
    told_in_words,
)
from qe_core.store.statements import STATEMENTS

__all__ = [
    "ABTest",
    "ABTestStore",
    "EndVerdict",
    "StageChange",
    "StoredAnalysis",
    "TestUnits",
    "UnitCount",
    "UnitRow",
]

LOGGER = logging.getLogger(__name__)

_COLUMNS: dict[str, Any] = {
    "stage": np.int64,
    "is_treatment": np.bool_,
    "assigned_at": np.int64,
    "is_recorded": np.bool_,
    "recorded_at": np.int64,
    "reward": np.float64,
    "success": np.int8,
    "cost": np.float64,
    "duration_seconds": np.float64,
    "repeats": np.int64,
}


class ABTestStore:
    """A/B tests of all agents.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(
        self,
        agent: str,
        *,
        key: str,
        control: int,
        treatment: int,
        by: str,
        why: str,
        unit_kind: str = "task",
        hold_out: float = DEFAULT_HOLD_OUT,
        settings: dict[str, Any] | None = None,
        stage: Stage = Stage.TENTH,
    ) -> ABTest:
        """Start a test, have the candidate alias name its treatment, and return it.

        Args:
            agent: whose versions are compared; one test at a time.
            key: what units are assigned by, unique among all tests, 1 to 64 bytes.
            control: the version compared with; the stable one where there is one.
            treatment: the version tested.
            by: who.
            why: for people.
            unit_kind: what is assigned and analysed: task or developer.
            hold_out: share of units that stays in control at the last stage, in (0, 0.5].
            settings: kept for its analysis, JSON values.
            stage: where to begin.

        Raises:
            ABTestError: a test is running, the key was used, or control is not the stable version.
            PolicyError: a version cannot be served.
        """

        async def store() -> ABTest:
            """Check, point and insert alone on this agent."""
            async with self._database.transaction() as connection:
                await lock_agent(connection, agent)
                before = (await read_serving(connection, [agent]))[agent]
                if before.test is not None:
                    raise ABTestError(
                        f"test {before.test.experiment_id} of {agent} is running; an agent has one at "
                        "a time, stop it first"
                    )
                for number in (control, treatment):
                    await require_usable(connection, agent, number)
                if before.stable not in (None, control):
                    raise ABTestError(
                        f"{agent} serves version {before.stable}: a test compares with that, not {control}"
                    )
                await move_alias(connection, before, Alias.CANDIDATE, treatment, by, why)
                experiment_id = await connection.fetchval(
                    STATEMENTS["insert_test"],
                    *(key, agent, unit_kind, control, treatment, hold_out),
                    *(json_text(settings or {}), int(stage), by, why),
                )
                await connection.execute(
                    STATEMENTS["note_stage"], experiment_id, None, int(stage), None, by, why
                )
                await connection.execute(STATEMENTS["announce_serving"], agent)
                return await _read_test(connection, experiment_id)

        try:
            with told_in_words(f"a test of {agent}"):
                return await self._database.repeated(store)
        except StoreError as error:
            if isinstance(error.__cause__, asyncpg.IntegrityConstraintViolationError):
                raise ABTestError(str(error)) from error.__cause__
            raise

    async def running(self) -> list[ABTest]:
        """Return the tests that have not ended, the oldest first."""
        return [_test(row) for row in await self._database.fetch("read_tests", None, True)]

    async def tests(self, agent: str | None = None) -> list[ABTest]:
        """Return all tests of an agent, or of all, the oldest first."""
        found = [_test(row) for row in await self._database.fetch("read_tests", None, False)]
        return [test for test in found if agent in (None, test.agent)]

    async def test(self, experiment_id: int) -> ABTest:
        """Return a test.

        Raises:
            ABTestError: there is none of that number.
        """
        async with self._database.connection() as connection:
            return await _read_test(connection, experiment_id)

    async def advance(self, experiment_id: int, stage: Stage, *, by: str, why: str) -> ABTest:
        """Have a running test go on to a later stage, and return it.

        Raises:
            ABTestError: it has ended, or is at that stage or a later one.
        """

        async def change(connection: Connection, test: ABTest) -> None:
            """Go on."""
            if stage <= test.stage:
                raise ABTestError(
                    f"test {experiment_id} is at {test.stage:d} % already; a candidate's share only grows, "
                    "stop the test to take it back"
                )
            await connection.execute(STATEMENTS["advance_test"], experiment_id, int(stage))
            await connection.execute(
                STATEMENTS["note_stage"], experiment_id, int(test.stage), int(stage), None, by, why
            )

        return await self._change(experiment_id, change)

    async def stop(
        self,
        experiment_id: int,
        verdict: EndVerdict,
        *,
        by: str,
        why: str,
        sighting: Sighting | None = None,
        channels: Sequence[Channel] = ("log",),
    ) -> ABTest:
        """End a running test and take its candidate away, and return it.

        A verdict to promote changes nothing else: `PolicyStore.promote` ends the test itself.

        Args:
            experiment_id: the test.
            verdict: what ends it.
            by: who.
            why: for people.
            sighting: the alert to open in the same transaction; None for none.
            channels: who is to be told of it.

        Raises:
            ABTestError: it has ended.
        """

        async def change(connection: Connection, test: ABTest) -> None:
            """End it and clear the alias."""
            before = (await read_serving(connection, [test.agent]))[test.agent]
            await end_test(connection, before, verdict, by, why)
            await move_alias(connection, before, Alias.CANDIDATE, None, by, why)
            if sighting is not None:
                await see_alert(connection, sighting, channels)

        return await self._change(experiment_id, change)

    async def history(self, experiment_id: int) -> list[StageChange]:
        """Return the course of a test, the start first."""
        return [_stage_change(row) for row in await self._database.fetch("read_stages", experiment_id)]

    async def record_units(self, rows: Sequence[UnitRow], *, is_retry: bool = False) -> UnitCount:
        """Store units and outcomes, all or none, and return what was new.

        A unit is known by test and name. What is known of it stays: a second row may only add its outcome. An
        outcome for a unit that has one is counted with the unit. A unit that names another arm than before is
        logged.

        Args:
            rows: the units.
            is_retry: whether they are told again on purpose, or as nobody knows whether they were stored:
                outcomes that are there already are then not counted as having come again.

        Raises:
            ABTestError: a row breaks a rule, names an unknown test, or a version that is not its arm's.
        """
        if not rows:
            return UnitCount(0, 0, 0, 0)
        known: dict[tuple[int, str], UnitRow] = {}
        for row in rows:
            earlier = known.get((row.experiment_id, row.unit))
            known[row.experiment_id, row.unit] = row if earlier is None else earlier.joined(row)
        ordered = [known[key] for key in sorted(known)]

        async def store() -> UnitCount:
            """Copy in, check, merge."""
            async with self._database.transaction() as connection:
                await connection.execute(STATEMENTS["create_incoming_units"])
                await connection.copy_records_to_table(
                    "incoming_units", records=ordered, columns=UnitRow._fields
                )
                wrong = await connection.fetchrow(STATEMENTS["find_wrong_unit"])
                if wrong is not None:
                    raise ABTestError(
                        f"unit {wrong['unit']!r} was served version {wrong['policy_version']} in arm "
                        f"{wrong['arm']} of test {wrong['experiment_id']}, which has no such arm; nothing "
                        "was stored"
                    )
                found = await connection.fetchrow(STATEMENTS["merge_units"])
                if not is_retry:
                    await connection.execute(STATEMENTS["count_repeats"])
                if found["contradicting"]:
                    LOGGER.warning(
                        "%d units of A/B tests name another arm than before, %r among them; the first stays",
                        *(found["contradicting"], found["example"]),
                    )
                new, completed = int(found["added"]), int(found["completed"])
                return UnitCount(new, completed, len(rows) - new - completed, int(found["contradicting"]))

        try:
            return await self._database.repeated(store)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise ABTestError(f"units were not stored: {error}; correct the row and try again") from error

    async def units(self, experiment_id: int) -> TestUnits:
        """Return all units of a test as columns."""
        rows = await self._database.fetch("read_units", experiment_id)
        columns: dict[str, Any] = {
            name: np.array([row[name] for row in rows], dtype=kind) for name, kind in _COLUMNS.items()
        }
        columns |= {name: tuple(row[name] for row in rows) for name in ("unit", "cluster")}
        return TestUnits(**columns)

    async def save_analysis(
        self, experiment_id: int, *, stage: Stage, verdict: str, analysis: dict[str, Any]
    ) -> StoredAnalysis:
        """Keep a look at a test and return it.

        Args:
            experiment_id: the test.
            stage: its stage.
            verdict: what the look said, in words.
            analysis: all figures, JSON values.

        Raises:
            ABTestError: there is no such test.
        """
        try:
            found = await self._database.fetch(
                "insert_analysis", experiment_id, int(stage), verdict, json_text(analysis)
            )
        except asyncpg.IntegrityConstraintViolationError as error:
            raise ABTestError(f"a look at test {experiment_id} was not stored: {error}") from error
        return _analysis(found[0])

    async def analyses(self, experiment_id: int) -> list[StoredAnalysis]:
        """Return all looks at a test, the first one first."""
        return [_analysis(row) for row in await self._database.fetch("read_analyses", experiment_id)]

    async def _change(self, experiment_id: int, change: Any) -> ABTest:
        """Run a change of a running test alone on its agent, announce it, and return what it is then."""
        agent = (await self.test(experiment_id)).agent

        async def store() -> ABTest:
            """Lock, change, announce."""
            async with self._database.transaction() as connection:
                await lock_agent(connection, agent)
                test = await _read_test(connection, experiment_id)
                if not test.is_running:
                    raise ABTestError(f"test {experiment_id} of {agent} has ended: {test.verdict}")
                await change(connection, test)
                await connection.execute(STATEMENTS["announce_serving"], agent)
                return await _read_test(connection, experiment_id)

        with told_in_words(f"test {experiment_id} of {agent}"):
            return await self._database.repeated(store)


async def _read_test(connection: Connection, experiment_id: int) -> ABTest:
    found = await connection.fetchrow(STATEMENTS["read_tests"], experiment_id, False)
    if found is None:
        raise ABTestError(f"there is no test {experiment_id}; take the number of a running one")
    return _test(found)


def _test(row: asyncpg.Record) -> ABTest:
    fields = dict(row)
    verdict = None if fields["verdict"] is None else EndVerdict(fields["verdict"])
    changed = {
        "settings": json.loads(fields["settings"]),
        "stage": Stage(fields["stage"]),
        "verdict": verdict,
    }
    return ABTest(**{**fields, **changed})


def _stage_change(row: asyncpg.Record) -> StageChange:
    fields = dict(row)
    for name, kind in (("from_stage", Stage), ("to_stage", Stage), ("verdict", EndVerdict)):
        fields[name] = None if fields[name] is None else kind(fields[name])
    return StageChange(**fields)


def _analysis(row: asyncpg.Record) -> StoredAnalysis:
    fields = dict(row)
    return StoredAnalysis(
        **{**fields, "stage": Stage(fields["stage"]), "analysis": json.loads(fields["analysis"])}
    )
