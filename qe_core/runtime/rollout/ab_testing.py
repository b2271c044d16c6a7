"""ABTestingFramework: starts a test of a candidate, says what its evidence amounts to, ends it.

What belongs here: one test from its check to its end. What does not: going on by stages (`staged_rollout`),
judging (`qe_core.rollout`), following an assignment while deciding (`serving_policies`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from qe_core.config import Settings
from qe_core.errors import RolloutError
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.registry import Registry
from qe_core.rollout.assignment import Arm, arm_of, plan_of
from qe_core.rollout.discoveries import hold_to_family
from qe_core.rollout.evidence import StageEvidence
from qe_core.rollout.safe_improvement_check import CandidateCheck, CandidateVerdict
from qe_core.rollout.verdicts import Judgement, invalid, judge
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.errors import CandidateRefusedError
from qe_core.runtime.json_values import as_json
from qe_core.runtime.parameters import ab_test_settings
from qe_core.runtime.rollout.candidates import checked_candidate
from qe_core.runtime.rollout.evidence import (
    settings_of,
    settings_to_keep,
    stage_evidence,
    units_per_day,
)
from qe_core.runtime.rollout.recovered_units import logged_units
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitCount, UnitRow
from qe_core.store.alerts import Channel, Sighting
from qe_core.store.errors import ABTestError

LOGGER = logging.getLogger(__name__)

TASK = "task"
"""The kind of unit that is assigned by itself."""

_UNITS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Analysis:
    """One look at a test.

    Attributes:
        test: as it was then.
        evidence: of each stage reached.
        judgement: what it amounts to, among all tests running.
        looked_at: when, aware.
    """

    test: ABTest
    evidence: tuple[StageEvidence, ...]
    judgement: Judgement
    looked_at: datetime


class ABTestingFramework:
    """Tests of all agents.

    Args:
        store: where they are.
        settings: what new tests are judged by.
        channels: who is to be told that a test that was stopped has a successor.
        fleet: the agents there are; None for everybody registered.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        channels: Sequence[Channel] = ("log",),
        fleet: Registry | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._channels = tuple(channels)
        self._fleet = registry() if fleet is None else fleet

    async def check(self, agent: str, candidate: int, baseline: int) -> CandidateCheck:
        """Return what the agent's log says of a version before anybody is exposed to it.

        Args:
            agent: whose.
            candidate: the version to be tested.
            baseline: the version it is compared with.

        Raises:
            UnknownAgentError: no such agent is registered.
            PolicyError: there is no such version.
        """
        contract = self._fleet.get(agent)
        return await checked_candidate(self._store, contract, self._settings, candidate, baseline)

    async def start(
        self,
        agent: str,
        *,
        by: str,
        why: str,
        candidate: int | None = None,
        unit_kind: str = TASK,
        insistence: str | None = None,
    ) -> ABTest:
        """Start a test at its first stage, if the log supports the candidate, and return it.

        It is compared with the stable version; where there is none yet, with what the agent decides by now,
        frozen. Both stay as they are to the end of the test.

        Args:
            agent: whose.
            by: who.
            why: for people.
            candidate: the version to be tested; None for the candidate there is, else what was learned so
                far, frozen now.
            unit_kind: ``task`` assigns episode by episode, ``developer`` by what episodes are begun for.
            insistence: why the test is to start even if the log speaks against it; kept with the test.

        Raises:
            UnknownAgentError: no such agent is registered.
            CandidateRefusedError: the log does not support the candidate; nothing was started.
            ABTestError: a test is running, or there is nothing to compare.
            PolicyError: a version cannot be served.
        """
        contract = self._fleet.get(agent)
        control, treatment = await self._arms(contract, candidate, by)
        check = await self.check(agent, treatment, control)
        if check.verdict is not CandidateVerdict.READY:
            if insistence is None:
                raise CandidateRefusedError(
                    f"version {treatment} of {agent} may not be tested ({check.verdict}): {check.reason}. "
                    "Nothing was started; if you know better, insist and say why"
                )
            why = f"{why} (insisted although {check.verdict}: {insistence})"
        test = await self._store.ab_tests.start(
            agent,
            key=uuid4().hex,
            control=control,
            treatment=treatment,
            by=by,
            why=why,
            unit_kind=unit_kind,
            hold_out=self._settings.rollout.hold_out_share,
            settings={
                "rollout": settings_to_keep(self._settings),
                "check": as_json(check.as_json()),
                "insistence": insistence,
            },
        )
        await self._store.alerts.resolve(
            AlertKind.TEST_STOPPED, agent, by, f"test {test.experiment_id} was started", self._channels
        )
        return test

    def assign(self, test: ABTest, unit: str) -> Arm:
        """Return the arm of a unit, as every process computes it for itself.

        Raises:
            RolloutError: the unit's name cannot be used.
        """
        return arm_of(test.key, unit, plan_of(test.stage, test.hold_out))

    async def record(self, units: Sequence[UnitRow]) -> UnitCount:
        """Store units and outcomes; agents in this library do so by themselves.

        Raises:
            ABTestError: a row breaks a rule; nothing was stored.
        """
        return await self._store.ab_tests.record_units(units)

    async def recover_units(self, experiment_id: int) -> UnitCount:
        """Store what the log knows of a test's units and the test does not, and return what was new.

        A process that was killed takes the last second of its units with it; their experiences are in the
        log.

        Raises:
            ABTestError: there is no such test, or its units are not tasks: the log does not say for whom an
                episode was begun.
        """
        test = await self._store.ab_tests.test(experiment_id)
        if test.unit_kind != TASK:
            raise ABTestError(
                f"test {experiment_id} is by {test.unit_kind}, which the log does not tell; only units of "
                "tests by task can be recovered"
            )
        rows = await logged_units(self._store, test, await self._store.ab_tests.history(experiment_id))
        total = UnitCount(0, 0, 0, 0)
        for first in range(0, len(rows), _UNITS_AT_ONCE):
            batch = rows[first : first + _UNITS_AT_ONCE]
            counted = await self._store.ab_tests.record_units(batch, is_retry=True)
            total = UnitCount(
                total.new + counted.new,
                total.completed + counted.completed,
                total.repeated + counted.repeated,
                total.contradicting + counted.contradicting,
            )
        return total

    async def analyse(self, experiment_id: int, now: datetime | None = None) -> Analysis:
        """Return what a test amounts to; a running one among those that run beside it.

        Args:
            experiment_id: the test.
            now: the present, aware; None for the clock's.

        Raises:
            ABTestError: there is no such test.
        """
        moment = datetime.now(UTC) if now is None else now
        test = await self._store.ab_tests.test(experiment_id)
        if not test.is_running:
            return await self._looked_at(test, moment)
        running = await self.analyse_running(moment)
        return next(found for found in running if found.test.experiment_id == experiment_id)

    async def analyse_running(self, now: datetime) -> list[Analysis]:
        """Return what each running test amounts to among all of them, the oldest first.

        One whose records cannot be judged is invalid; the others are judged all the same.

        Args:
            now: the present, aware.
        """
        looks = [await self._looked_at(test, now) for test in await self._store.ab_tests.running()]
        if not looks:
            return []
        names = {str(look.test.experiment_id): look.judgement for look in looks}
        decided = await self._decided_since(min(look.test.started_at for look in looks))
        held = hold_to_family(names, decided, ab_test_settings(self._settings))
        return [
            Analysis(look.test, look.evidence, held[str(look.test.experiment_id)], look.looked_at)
            for look in looks
        ]

    async def keep(self, look: Analysis) -> None:
        """Keep a look for the record."""
        await self._store.ab_tests.save_analysis(
            look.test.experiment_id,
            stage=look.test.stage,
            verdict=look.judgement.verdict.value,
            analysis={"judgement": as_json(look.judgement), "evidence": as_json(look.evidence)},
        )

    async def stop(
        self,
        experiment_id: int,
        *,
        by: str,
        why: str,
        verdict: EndVerdict = EndVerdict.BY_HAND,
        sighting: Sighting | None = None,
    ) -> ABTest:
        """End a test and take its candidate away: its units follow the stable version from their next task.

        Args:
            experiment_id: the test.
            by: who.
            why: for people.
            verdict: what ends it.
            sighting: the alert that opens with its end; None for none.

        Raises:
            ABTestError: it has ended.
        """
        return await self._store.ab_tests.stop(
            experiment_id, verdict, by=by, why=why, sighting=sighting, channels=self._channels
        )

    async def _looked_at(self, test: ABTest, now: datetime) -> Analysis:
        """Return what a test amounts to by itself."""
        settings = settings_of(test, self._settings)
        units = await self._store.ab_tests.units(test.experiment_id)
        try:
            evidence = stage_evidence(units, test, now)
            judgement = judge(evidence, settings, units_per_day=units_per_day(evidence, test, now))
        except RolloutError as error:
            LOGGER.warning("test %d of %s cannot be judged: %s", test.experiment_id, test.agent, error)
            return Analysis(test, (), invalid((str(error),), settings), now)
        return Analysis(test, evidence, judgement, now)

    async def _decided_since(self, moment: datetime) -> dict[str, float]:
        """Return the evidence for benefit of every test that ended after a moment, as last kept."""
        found = {}
        for test in await self._store.ab_tests.tests():
            if test.ended_at is not None and test.ended_at > moment:
                kept = await self._store.ab_tests.analyses(test.experiment_id)
                looks = [one.analysis["judgement"] for one in kept if "judgement" in one.analysis]
                value = looks[-1]["e_benefit"] if looks else 0.0
                # What is not finite is kept as nothing: it was more than any limit.
                found[str(test.experiment_id)] = float("inf") if value is None else value
        return found

    async def _arms(self, contract: AgentContract, candidate: int | None, by: str) -> tuple[int, int]:
        """Return the versions to compare: the one that serves, and the candidate."""
        state = (await self._store.policies.serving([contract.name]))[contract.name]
        if state.test is not None:
            raise ABTestError(
                f"test {state.test.experiment_id} of {contract.name} is running; an agent has one at a time, "
                "stop it first"
            )
        control, treatment = state.stable, state.candidate if candidate is None else candidate
        if control is None or treatment is None:
            present = await self._store.policies.snapshot(contract, reason="for a test", by=by)
            control = present.number if control is None else control
            treatment = present.number if treatment is None else treatment
        if control == treatment:
            raise ABTestError(
                f"{contract.name} serves version {control} already: nothing was learned since, or no other "
                "version was named; qe policy list shows all"
            )
        return control, treatment
