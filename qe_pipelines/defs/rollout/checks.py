"""Checks of what serves, of the tests and of the rollbacks.

What belongs here: what must hold whatever was decided. What does not: the decisions (`qe_core.rollout`).

Those of versions and arms block: no test may be judged, and none go on, by a version that is not what it is
taken for. The others do not: a test whose counts are wrong has to be judged invalid and stopped, and a policy
that does harm is taken back by a sensor that waits for no check.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from qe_core.config import Settings
from qe_core.errors import RolloutError
from qe_core.fleet import registry
from qe_core.rollout.sample_ratio import check_counts
from qe_core.runtime.rollout.evidence import settings_of, stage_evidence
from qe_core.store.ab_tests import ABTest, TestUnits
from qe_core.store.policies import Mode, PolicyVersion, RollbackEvent, ServingState
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict

FIT = dg.AssetCheckSpec(
    "served_versions_fit",
    asset="policy_snapshots",
    description="Every alias names a version of its agent under the agent's present contract.",
    blocking=True,
)
PRESENT = dg.AssetCheckSpec(
    "agents_have_a_version",
    asset="policy_snapshots",
    description="Every agent with a table has a version to go back to.",
)
FROZEN = dg.AssetCheckSpec(
    "tests_compare_what_serves",
    asset="ab_results",
    description="The candidate of a running test is the agent's candidate, its control the stable version.",
    blocking=True,
)
ONE_TEST = dg.AssetCheckSpec(
    "one_test_at_a_time",
    asset="ab_results",
    description="No agent has two tests running: their arms would mix.",
    blocking=True,
)
SAMPLE_RATIO = dg.AssetCheckSpec(
    "sample_ratios_hold",
    asset="ab_results",
    description="No running test has arms of other sizes than its assignment makes.",
)
CHECKED = dg.AssetCheckSpec(
    "candidates_were_checked",
    asset="ab_results",
    description="Every candidate was judged from the log before anybody was exposed to it.",
)


@dg.multi_asset_check(specs=[FIT, PRESENT], name="version_checks")
def version_checks(database: FleetDatabase) -> Iterator[dg.AssetCheckResult]:
    """Judge the versions of all agents, whichever the run covers."""
    yield from asyncio.run(judged_versions(database))


async def judged_versions(database: FleetDatabase) -> list[dg.AssetCheckResult]:
    """Return the verdicts on aliases and versions."""
    names = registry().names()
    async with database.store() as store:
        states = await store.policies.serving(names)
        versions = {name: await store.policies.versions(name) for name in names}
    unfit = [fault for name in names for fault in alias_faults(states[name], versions[name])]
    bare = [
        f"{name}: nothing to go back to; materialise policy_snapshots"
        for name in names
        if states[name].epoch is not None and not any(version.is_current for version in versions[name])
    ]
    looked_at = f"{sum(map(len, versions.values()))} versions of {len(names)} agents"
    return [
        verdict(unfit, looked_at, FIT),
        verdict(bare, looked_at, PRESENT, dg.AssetCheckSeverity.WARN),
    ]


def alias_faults(state: ServingState, versions: Sequence[PolicyVersion]) -> Iterator[str]:
    """Yield what is wrong with the versions an agent serves or tests."""
    known = {version.number: version for version in versions}
    named = {"stable": state.stable, "candidate": state.candidate}
    if state.test is not None:
        named |= {"control": state.test.control, "treatment": state.test.treatment}
    for what, number in named.items():
        if number is None:
            continue
        if number not in known:
            yield f"{state.agent}: {what} is version {number}, which is not one of its own"
        elif not known[number].is_current:
            yield f"{state.agent}: {what} is version {number}, of a contract it has no longer"
    if state.mode is Mode.SERVING and state.stable is None:
        yield f"{state.agent}: serves and has no stable version; promote one or let it learn"


@dg.multi_asset_check(specs=[FROZEN, ONE_TEST, SAMPLE_RATIO, CHECKED], name="running_test_checks")
def running_test_checks(database: FleetDatabase, settings: FleetSettings) -> Iterator[dg.AssetCheckResult]:
    """Judge every running test."""
    yield from asyncio.run(judged_tests(database, settings.values))


async def judged_tests(database: FleetDatabase, settings: Settings) -> list[dg.AssetCheckResult]:
    """Return the verdicts on the running tests."""
    now = datetime.now(UTC)
    async with database.store() as store:
        tests = await store.ab_tests.running()
        states = await store.policies.serving([test.agent for test in tests])
        units = {test.experiment_id: await store.ab_tests.units(test.experiment_id) for test in tests}
    moved = [fault for test in tests for fault in arm_faults(test, states[test.agent])]
    several = [
        f"{agent}: {count} tests are running; stop all but one"
        for agent, count in Counter(test.agent for test in tests).items()
        if count > 1
    ]
    unsound = [
        fault for test in tests for fault in count_faults(test, units[test.experiment_id], settings, now)
    ]
    unchecked = [
        f"test {test.experiment_id} of {test.agent}: its candidate was never judged from the log; stop it"
        for test in tests
        if not test.settings.get("check")
    ]
    looked_at = f"{len(tests)} running tests"
    return [
        verdict(moved, looked_at, FROZEN),
        verdict(several, looked_at, ONE_TEST),
        verdict(unsound, looked_at, SAMPLE_RATIO),
        verdict(unchecked, looked_at, CHECKED),
    ]


def arm_faults(test: ABTest, state: ServingState) -> Iterator[str]:
    """Yield where a test's arms are not what its agent serves."""
    if state.candidate != test.treatment:
        yield (
            f"test {test.experiment_id} of {test.agent}: treats version {test.treatment}, the candidate is "
            f"{state.candidate}; stop it"
        )
    if state.stable not in (None, test.control):
        yield (
            f"test {test.experiment_id} of {test.agent}: compares with version {test.control}, version "
            f"{state.stable} serves; stop it"
        )


def count_faults(test: ABTest, units: TestUnits, settings: Settings, now: datetime) -> Iterator[str]:
    """Yield which counts of a test are not what its assignment makes, or why nobody can tell."""
    significance = settings_of(test, settings).sample_ratio_significance
    try:
        evidence = stage_evidence(units, test, now)
    except RolloutError as error:
        yield f"test {test.experiment_id} of {test.agent}: {error}"
        return
    for check in check_counts(evidence, significance):
        if not check.is_sound:
            yield f"test {test.experiment_id} of {test.agent}: {check.sentence}"


@dg.asset_check(
    asset="rollback_events",
    description="Every rollback says what it fired on, and what it took back serves nowhere.",
)
def rollbacks_are_explained(database: FleetDatabase) -> dg.AssetCheckResult:
    """Judge every rollback."""
    return asyncio.run(judged_rollbacks(database))


async def judged_rollbacks(database: FleetDatabase) -> dg.AssetCheckResult:
    """Return the verdict on the rollbacks."""
    async with database.store() as store:
        events = await store.policies.rollbacks()
        states = await store.policies.serving(list({event.agent for event in events}))
    faults = [fault for event in events for fault in event_faults(event, states[event.agent])]
    return verdict(faults, f"{len(events)} rollbacks")


def event_faults(event: RollbackEvent, state: ServingState) -> Iterator[str]:
    """Yield what a rollback leaves to ask."""
    if not any(event.evidence.values()):
        yield f"rollback {event.rollback_id} of {event.agent}: no evidence was kept"
    if state.epoch is not None and state.epoch <= event.epoch_before:
        yield (
            f"rollback {event.rollback_id} of {event.agent}: epoch {state.epoch} still admits writers of the "
            "policy that was taken back; roll it back again"
        )
