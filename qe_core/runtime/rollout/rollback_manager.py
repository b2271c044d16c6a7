"""PolicyRollbackManager: watches what serves, takes it back when it does harm, tells people.

What belongs here: what is compared with what, which version is gone back to, carrying it out. What does not:
whether it is harm (`qe_core.rollout.rollback`), and the transaction (`qe_core.store.rollbacks`).

A version that serves is compared with what it did in its test before it served, else with what served before
it; a candidate in a test with its control; a live table, which has no versions, with its own past.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from qe_core.config import Settings
from qe_core.errors import RolloutError
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.rollout.rollback import RollbackDecision, RollbackVerdict, Watch, decide_rollback
from qe_core.rollout.rollback_windows import TaskCounts
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.json_values import as_json
from qe_core.runtime.parameters import rollback_settings
from qe_core.store import Store
from qe_core.store.alerts import Channel, Sighting
from qe_core.store.errors import CoolDownError, PolicyError
from qe_core.store.policies import Mode, RecentOutcomes, RollbackEvent, ServingState

LOGGER = logging.getLogger(__name__)

WATCH = "rollback watch"
"""Who rolls back where no person does."""

COUNTED_TASKS = 20_000
"""Tasks counted since a version began to serve; beyond, windows begin at other tasks each time."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look at one policy came to.

    Attributes:
        agent: whose.
        version: the frozen version; None for the live table.
        decision: the verdict, with its evidence.
        event: the rollback, if there was one.
        trouble: why there was none although there should be; empty otherwise.
    """

    agent: str
    version: int | None
    decision: RollbackDecision
    event: RollbackEvent | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ServedPolicy:
    """What is watched.

    Attributes:
        version: the frozen version; None for the live table.
        since: when it began to serve, aware; None where it always did.
        compared_with: the version whose tasks stand for what is good, unless it has enough of its own from
            before; None for the live table.
    """

    version: int | None
    since: datetime | None
    compared_with: int | None


class PolicyRollbackManager:
    """Watches the policies of all agents.

    Args:
        store: where outcomes and versions are.
        settings: what calls for a rollback, and whether it is carried out.
        channels: who is to be told.
        fleet: whom to watch; None for everybody registered.
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
        self._policies = store.policies
        self._rules = rollback_settings(settings)
        self._is_rolling_back = settings.rollout.is_rolling_back
        self._channels = tuple(channels)
        self._fleet = registry() if fleet is None else fleet

    async def watch(self, now: datetime) -> list[Watched]:
        """Look at every policy that decides, take back what does harm, and return what was seen.

        An agent whose tasks cannot be judged is left out, and people are told; the others are watched all the
        same.

        Args:
            now: the present, aware.
        """
        found: list[Watched] = []
        for agent, state in (await self._policies.serving(self._fleet.names())).items():
            try:
                looks = [await self.look(agent, policy, now) for policy in await self._watched(agent, state)]
            except RolloutError as error:
                await self._tell_unwatched(agent, error)
                continue
            await self._store.alerts.resolve(
                AlertKind.POLICY_UNWATCHED, agent, WATCH, "it can be judged again", self._channels
            )
            found += await self._answered(agent, state, looks)
        return found

    async def look(self, agent: str, policy: ServedPolicy, now: datetime) -> Watched:
        """Return the verdict on one policy, without doing anything about it."""
        rules = self._rules
        if policy.version is None:
            recent, baseline = await self._of_live_table(agent, policy.since)
            served = len(recent)
        else:
            since = await self._policies.recent_outcomes(
                agent, policy.version, COUNTED_TASKS, since=policy.since
            )
            served, recent = len(since), _first(since, rules.recent_tasks)
            baseline = await self._baseline(agent, policy, served)
        rollbacks = [
            event.happened_at
            for event in await self._policies.rollbacks(agent, 50)
            if event.rolled_back_by == WATCH
        ]
        watch = Watch(
            TaskCounts.of(baseline.total_reward, baseline.success),
            recent.total_reward[::-1],
            recent.success[::-1],
            served,
        )
        return Watched(agent, policy.version, decide_rollback(watch, now, rollbacks, rules))

    async def roll_back(self, agent: str, *, by: str, why: str, to: int | None = None) -> RollbackEvent:
        """Take an agent's policy back by hand, and return the event.

        Args:
            agent: whose.
            by: who.
            why: for people.
            to: the version to go back to; None for the last one that was good.

        Raises:
            UnknownAgentError: no such agent is registered.
            PolicyError: there is no version to go back to, or it cannot be served.
        """
        name = self._fleet.get(agent).name
        return await self._policies.rollback(
            name, to=to, trigger="by hand", evidence={"why": why}, by=by, channels=self._channels
        )

    async def _watched(self, agent: str, state: ServingState) -> list[ServedPolicy]:
        """Return the policies that decide for an agent at present."""
        last = await self._policies.rollbacks(agent, 1)
        rolled_back_at = last[0].happened_at if last else None
        found = []
        if state.mode is Mode.LEARNING:
            found.append(ServedPolicy(None, rolled_back_at, None))
        elif state.stable is not None:
            moved = next(
                change for change in await self._policies.history(agent)
                if change.what == "stable" and change.after == str(state.stable)
            )  # fmt: skip
            since = max(filter(None, (moved.changed_at, rolled_back_at)))
            before = None if moved.before is None else int(moved.before)
            found.append(ServedPolicy(state.stable, since, before))
        if state.test is not None:
            test = await self._store.ab_tests.test(state.test.experiment_id)
            found.append(ServedPolicy(test.treatment, test.started_at, test.control))
        return found

    async def _of_live_table(
        self, agent: str, since: datetime | None
    ) -> tuple[RecentOutcomes, RecentOutcomes]:
        """Return the newest tasks that followed a live table, and those before them."""
        rules = self._rules
        found = await self._policies.recent_outcomes(
            agent, None, rules.recent_tasks + rules.baseline_tasks, since=since
        )
        count = min(rules.recent_tasks, len(found) // 2)
        return _first(found, count), _rest(found, count)

    async def _baseline(self, agent: str, policy: ServedPolicy, served: int) -> RecentOutcomes:
        """Return the tasks by which a version was found good, or those of what it took the place of."""
        rules = self._rules
        known = await self._policies.recent_outcomes(agent, policy.version, served + rules.baseline_tasks)
        own = _rest(known, served)
        if len(own) >= rules.minimum_baseline_tasks:
            return own
        return await self._policies.recent_outcomes(agent, policy.compared_with, rules.baseline_tasks)

    async def _answered(self, agent: str, state: ServingState, looks: Sequence[Watched]) -> list[Watched]:
        """Do what an agent's verdicts call for; one rollback answers all of them."""
        worst = next((look for look in looks if look.decision.fired), None)
        if worst is None:
            if looks and all(look.decision.verdict is RollbackVerdict.HEALTHY for look in looks):
                await self._store.alerts.resolve(
                    AlertKind.POLICY_WORSE, agent, WATCH, "no trigger fires any more", self._channels
                )
            return list(looks)
        trouble, event = "", None
        if worst.decision.verdict is RollbackVerdict.COOLING_DOWN:
            trouble = "it was rolled back not long ago"
        elif not self._is_rolling_back:
            trouble = "automatic rollbacks are switched off"
        else:
            try:
                event = await self._take_back(agent, state, worst)
            except (PolicyError, CoolDownError) as error:
                trouble = str(error)
        if trouble:
            LOGGER.warning("%s does harm and is not rolled back: %s", agent, trouble)
            await self._tell(agent, worst, trouble)
        return [
            Watched(agent, look.version, look.decision, event, trouble) if look is worst else look
            for look in looks
        ]

    async def _take_back(self, agent: str, state: ServingState, look: Watched) -> RollbackEvent:
        """Roll back what was found harmful."""
        test, to = state.test, None
        if look.version is None:
            to = await self._before_harm(agent, state, look.decision)
        elif test is not None:
            is_candidate = look.version == test.treatment
            # The store's own choice is the stable version, which here may be the one at fault.
            to = test.control if is_candidate else await self._earlier_than(agent, look.version)
        return await self._policies.rollback(
            agent,
            to=to,
            trigger=", ".join(look.decision.fired),
            evidence=as_json(look.decision.as_json()),
            by=WATCH,
            cool_down=timedelta(seconds=self._rules.cool_down_seconds),
            channels=self._channels,
        )

    async def _before_harm(self, agent: str, state: ServingState, decision: RollbackDecision) -> int | None:
        """Return the newest version frozen before the tasks on which a trigger fired, else the oldest.

        None leaves the choice to the store, where there is a stable version.
        """
        if state.stable is not None:
            return None
        tasks = max(reading.tasks for reading in decision.readings if reading.has_fired)
        usable = [
            version
            for version in await self._policies.versions(agent)
            if version.is_current and not version.is_withdrawn
        ]
        for version in usable:
            later = await self._policies.recent_outcomes(agent, None, tasks, since=version.taken_at)
            if len(later) >= tasks:
                return version.number
        return usable[-1].number if usable else None

    async def _earlier_than(self, agent: str, number: int) -> int | None:
        """Return the newest version that can be served and is older than one."""
        for version in await self._policies.versions(agent):
            if version.number < number and version.is_current and not version.is_withdrawn:
                return version.number
        return None

    async def _tell_unwatched(self, agent: str, error: RolloutError) -> None:
        """Open the alert that nobody watches over an agent's policy."""
        LOGGER.error("%s cannot be watched: %s", agent, error)
        kind = AlertKind.POLICY_UNWATCHED
        await self._store.alerts.see(
            Sighting(
                kind, agent, "critical", f"its tasks cannot be judged: {error}", kind.runbook, str(error)
            ),
            self._channels,
        )

    async def _tell(self, agent: str, look: Watched, trouble: str) -> None:
        """Open the alert that a policy does harm and stays."""
        kind = AlertKind.POLICY_WORSE
        policy = "its live table" if look.version is None else f"version {look.version}"
        summary = f"{policy} does worse and was not rolled back ({trouble}): {look.decision.reason}"
        observed = ", ".join(look.decision.fired)
        await self._store.alerts.see(
            Sighting(kind, agent, "critical", summary, kind.runbook, f"{policy}: {observed}"), self._channels
        )


def _first(outcomes: RecentOutcomes, count: int) -> RecentOutcomes:
    """Return the newest outcomes."""
    return RecentOutcomes(
        outcomes.total_reward[:count], outcomes.success[:count], outcomes.last_experience_id[:count]
    )


def _rest(outcomes: RecentOutcomes, count: int) -> RecentOutcomes:
    """Return all but the newest outcomes."""
    return RecentOutcomes(
        outcomes.total_reward[count:], outcomes.success[count:], outcomes.last_experience_id[count:]
    )
