"""What serves, what is tested, what was taken back and what needs a person: figures for people.

What belongs here: gathering from the store. What does not: showing (`report`), deciding (`rollout`). Nothing
here depends on the clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qe_core.fleet.registry import Registry
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, StoredAnalysis
from qe_core.store.alerts import Alert
from qe_core.store.policies import Mode, PolicyChange, PolicyVersion, RollbackEvent


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a test that had an interval.

    Attributes:
        units: recorded until then, over both arms.
        effect: reward of treatment minus control, points.
        lower: always-valid lower bound.
        upper: always-valid upper bound.
    """

    units: int
    effect: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class TestFigures:
    """One A/B test.

    Attributes:
        test: as it is.
        verdict: of the last look in words; None where nobody looked yet.
        reasons: what decided it.
        looks: those with an interval, the first one first, one for each number of units.
        days_to_go: until there are enough units; None where unknown.
    """

    __test__ = False

    test: ABTest
    verdict: str | None
    reasons: tuple[str, ...]
    looks: tuple[Look, ...]
    days_to_go: float | None


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """What one agent serves.

    Attributes:
        agent: its name.
        mode: learning or serving.
        stable: the version that serves; None while none was promoted.
        since: when that version or mode came; None where nothing ever changed.
        why: why it came.
        newest: the newest version; None where nothing was frozen yet.
        versions: kept.
        test: the running one.
    """

    agent: str
    mode: Mode
    stable: int | None
    since: datetime | None
    why: str
    newest: PolicyVersion | None
    versions: int
    test: TestFigures | None


@dataclass(frozen=True, slots=True)
class RollbackFigures:
    """One rollback.

    Attributes:
        event: as stored.
        served_seconds: for how long the version that was taken back had served; None for a live table.
    """

    event: RollbackEvent
    served_seconds: float | None

    @property
    def reason(self) -> str:
        """What it fired on, in words."""
        found = self.event.evidence
        return str(found.get("reason") or found.get("why") or "no evidence was kept")


@dataclass(frozen=True, slots=True)
class RolloutFigures:
    """Everything about what serves.

    Attributes:
        policies: one for each agent with a table, in the order of the registry.
        ended: tests that have ended, the last one first.
        rollbacks: the last one first.
        alerts: open ones, the worst first.
    """

    policies: tuple[PolicyFigures, ...]
    ended: tuple[TestFigures, ...]
    rollbacks: tuple[RollbackFigures, ...]
    alerts: tuple[Alert, ...]

    @property
    def has_begun(self) -> bool:
        """Whether anything was ever tested, promoted or taken back."""
        serves = any(policy.mode is Mode.SERVING or policy.test is not None for policy in self.policies)
        return serves or bool(self.ended or self.rollbacks)


async def rollout_figures(store: Store, fleet: Registry) -> RolloutFigures:
    """Return what is stored about what serves.

    Args:
        store: where from.
        fleet: whose.
    """
    names = fleet.names()
    states = await store.policies.serving(names)
    history = {name: await store.policies.history(name) for name in names}
    tests = [await _test(store, test) for test in await store.ab_tests.tests()]
    running = {one.test.agent: one for one in tests if one.test.is_running}
    policies = []
    for name in names:
        state = states[name]
        if state.epoch is None:
            continue
        versions = await store.policies.versions(name)
        changes = [change for change in history[name] if change.what in ("stable", "mode")]
        policies.append(
            PolicyFigures(
                agent=name,
                mode=state.mode,
                stable=state.stable,
                since=changes[0].changed_at if changes else None,
                why=changes[0].why if changes else "",
                newest=versions[0] if versions else None,
                versions=len(versions),
                test=running.get(name),
            )
        )
    return RolloutFigures(
        policies=tuple(policies),
        ended=tuple(one for one in reversed(tests) if not one.test.is_running),
        rollbacks=tuple(
            RollbackFigures(event, _served_seconds(event, history.get(event.agent, [])))
            for event in await store.policies.rollbacks()
        ),
        alerts=tuple(await store.alerts.list_alerts()),
    )


async def _test(store: Store, test: ABTest) -> TestFigures:
    kept = await store.ab_tests.analyses(test.experiment_id)
    judged = [look for look in kept if look.analysis.get("judgement")]
    last: Mapping[str, Any] = judged[-1].analysis["judgement"] if judged else {}
    return TestFigures(
        test=test,
        verdict=judged[-1].verdict if judged else None,
        reasons=tuple(last.get("reasons", ())),
        looks=looks_of(judged),
        days_to_go=last.get("days_to_go"),
    )


def looks_of(judged: Sequence[StoredAnalysis]) -> tuple[Look, ...]:
    """Return effect and interval by units recorded; of several looks at the same units, the last one."""
    found: dict[int, Look] = {}
    for look in judged:
        said = look.analysis["judgement"]
        difference = said["difference"]
        if difference is None or said["lower"] is None or said["upper"] is None:
            continue
        units = difference["treated"] + difference["untreated"]
        found[units] = Look(units, difference["estimate"], said["lower"], said["upper"])
    return tuple(found[units] for units in sorted(found))


def _served_seconds(event: RollbackEvent, changes: Sequence[PolicyChange]) -> float | None:
    """Return for how long the version that was taken back had been an alias's."""
    if event.served_version is None:
        return None
    began = [
        change.changed_at
        for change in changes
        if change.after == str(event.served_version) and change.changed_at < event.happened_at
    ]
    return (event.happened_at - max(began)).total_seconds() if began else None
