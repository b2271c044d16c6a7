"""StagedRollout: has tests go on to more units, become stable, or end, by verdict and time, or by a person.

What belongs here: carrying steps out, and a person's word. What does not: which step follows
(`qe_core.rollout.ramp`), and looking at evidence (`ab_testing`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from qe_core.config import Settings
from qe_core.fleet.registry import Registry
from qe_core.rollout.ramp import NOTHING, Move, Step, next_step
from qe_core.rollout.verdicts import Verdict
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.rollout.ab_testing import ABTestingFramework, Analysis
from qe_core.runtime.rollout.evidence import settings_of
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict
from qe_core.store.alerts import Channel, Sighting
from qe_core.store.errors import ABTestError, PolicyError

LOGGER = logging.getLogger(__name__)

ROLLOUT = "rollout"
"""Who moves tests where no person does."""

HELD, RELEASED = "held by a person", "released by a person"
"""Looks by which a person stops a test from going on by itself, and lets it go on again."""

_TOLD = (EndVerdict.HARM, EndVerdict.INVALID)
"""Endings that people are told of: something may have to be mended before the next test."""

_ENDINGS = {
    Verdict.STOP_FOR_HARM: EndVerdict.HARM,
    Verdict.STOP_FOR_FUTILITY: EndVerdict.FUTILITY,
    Verdict.INVALID: EndVerdict.INVALID,
}


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """What became of one test.

    Attributes:
        look: at its evidence.
        step: what follows.
        test: as it is afterwards.
        held_by: who holds it, and why; None where nobody does.
    """

    look: Analysis
    step: Step
    test: ABTest
    held_by: str | None = None


class StagedRollout:
    """The rollouts of all agents.

    Args:
        store: where tests are.
        settings: whether verdicts move tests.
        channels: who is to be told of a test that is stopped for harm or as invalid.
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
        self._testing = ABTestingFramework(store, settings, channels=channels, fleet=fleet)

    async def advance_due(self, now: datetime) -> list[RolloutStep]:
        """Look at every running test, carry out what follows, and return it, the oldest test first.

        Each look is kept. A test that a person holds may still be stopped for harm or as invalid. One that
        another process moved in the meantime is left to it.

        Args:
            now: the present, aware.
        """
        found = []
        for look in await self._testing.analyse_running(now):
            proposed = await self.proposed(look)
            await self._testing.keep(look)
            test = look.test
            if self._settings.rollout.is_advancing:
                try:
                    test = await self._carry_out(proposed.step, look, by=ROLLOUT, why=proposed.step.why)
                except (ABTestError, PolicyError) as error:
                    LOGGER.warning("test %d of %s stays: %s", test.experiment_id, test.agent, error)
                    test = await self._store.ab_tests.test(test.experiment_id)
            found.append(RolloutStep(look, proposed.step, test, proposed.held_by))
        return found

    async def proposed(self, look: Analysis) -> RolloutStep:
        """Return what follows from a look at a running test, without carrying it out."""
        time_in_stage = max(NOTHING, look.looked_at - await self._entered_at(look.test))
        step = next_step(
            look.judgement, look.test.stage, time_in_stage, settings_of(look.test, self._settings)
        )
        held_by = await self._held_by(look.test)
        if held_by is not None and step.move in (Move.ADVANCE, Move.PROMOTE):
            step = Step(Move.STAY, look.test.stage, f"held by {held_by}; otherwise: {step.why}")
        return RolloutStep(look, step, look.test, held_by)

    async def hold(self, experiment_id: int, *, by: str, why: str) -> ABTest:
        """Keep a running test at its stage until a person moves it or releases it.

        Raises:
            ABTestError: it has ended.
        """
        return await self._say(experiment_id, HELD, by, why)

    async def release(self, experiment_id: int, *, by: str, why: str) -> ABTest:
        """Let a held test go on by its verdicts again.

        Raises:
            ABTestError: it has ended.
        """
        return await self._say(experiment_id, RELEASED, by, why)

    async def override(
        self, experiment_id: int, move: Move, *, by: str, why: str, now: datetime | None = None
    ) -> RolloutStep:
        """Have a test do what a person wants, whatever its verdict, and return what came of it.

        The verdict it was decided against is kept with it. A test that was held is released.

        Args:
            experiment_id: the test.
            move: what is wanted; staying is holding.
            by: who.
            why: for people.
            now: the present, aware; None for the clock's.

        Raises:
            ABTestError: it has ended.
            RolloutError: there is no stage after the last.
        """
        moment = datetime.now(UTC) if now is None else now
        if not (await self._store.ab_tests.test(experiment_id)).is_running:
            raise ABTestError(f"test {experiment_id} has ended; start another one")
        look = await self._testing.analyse(experiment_id, moment)
        settings = settings_of(look.test, self._settings)
        step = next_step(look.judgement, look.test.stage, NOTHING, settings, override=move)
        await self._testing.keep(look)
        reason = f"{why} ({step.why})"
        if move is Move.STAY:
            return RolloutStep(look, step, await self.hold(experiment_id, by=by, why=why), f"{by}: {why}")
        if await self._held_by(look.test) is not None:
            await self.release(experiment_id, by=by, why=reason)
        return RolloutStep(look, step, await self._carry_out(step, look, by=by, why=reason))

    async def _carry_out(self, step: Step, look: Analysis, *, by: str, why: str) -> ABTest:
        """Do what follows and return the test afterwards."""
        test = look.test
        match step.move:
            case Move.STAY:
                return test
            case Move.ADVANCE:
                if step.stage is None:
                    raise ABTestError(f"test {test.experiment_id} has no stage to go on to; promote or stop")
                return await self._store.ab_tests.advance(test.experiment_id, step.stage, by=by, why=why)
            case Move.PROMOTE:
                await self._store.policies.promote(test.agent, test.treatment, by=by, why=why)
                return await self._store.ab_tests.test(test.experiment_id)
            case Move.STOP:
                is_by_verdict = not step.is_by_person
                verdict = _ENDINGS.get(look.judgement.verdict) if is_by_verdict else None
                return await self._testing.stop(
                    test.experiment_id,
                    by=by,
                    why=why,
                    verdict=verdict or EndVerdict.BY_HAND,
                    sighting=_sighting(look, verdict) if verdict in _TOLD else None,
                )
            case _:
                assert_never(step.move)

    async def _entered_at(self, test: ABTest) -> datetime:
        """Return when a test came to its stage."""
        course = await self._store.ab_tests.history(test.experiment_id)
        return max((entry.changed_at for entry in course), default=test.started_at)

    async def _held_by(self, test: ABTest) -> str | None:
        """Return who holds a test, and why; None where nobody does."""
        words = [
            kept for kept in await self._store.ab_tests.analyses(test.experiment_id)
            if kept.verdict in (HELD, RELEASED)
        ]  # fmt: skip
        if not words or words[-1].verdict == RELEASED:
            return None
        return f"{words[-1].analysis['by']}: {words[-1].analysis['why']}"

    async def _say(self, experiment_id: int, word: str, by: str, why: str) -> ABTest:
        """Keep a person's word about a running test."""
        test = await self._store.ab_tests.test(experiment_id)
        if not test.is_running:
            raise ABTestError(f"test {experiment_id} of {test.agent} has ended: {test.verdict}")
        await self._store.ab_tests.save_analysis(
            experiment_id, stage=test.stage, verdict=word, analysis={"by": by, "why": why}
        )
        return test


def _sighting(look: Analysis, verdict: EndVerdict) -> Sighting:
    """Return the alert that a test was stopped, with the reasons of its verdict."""
    test, kind = look.test, AlertKind.TEST_STOPPED
    summary = (
        f"test {test.experiment_id}, version {test.treatment} against {test.control}, was ended at "
        f"{test.stage:d} % ({verdict}): {'; '.join(look.judgement.reasons)}"
    )
    return Sighting(kind, test.agent, "warning", summary, kind.runbook, f"test {test.experiment_id}")
