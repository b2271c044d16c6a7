"""Checks of what was shared and of what came back.

What belongs here: reading and judging. What does not: what is allowed to leave (`qe_core.runtime.team`). The
store keeps most of this by itself, in triggers and constraints; a check notices where somebody got around
them. Those of the budget block: what was paid for wrongly must not go on.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import dagster as dg

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.privacy.shared_knowledge import PESSIMISM
from qe_core.store.team import LedgerEntry, ReleaseRecord, TeamTable
from qe_pipelines.defs.team_sync.knowledge import tables_in_use
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict

LONGEST_WAIT = timedelta(days=8)
"""A release that waits longer has missed the weekly push."""

BUDGET = dg.AssetCheckSpec(
    "budget_is_kept",
    asset="team_contribution",
    blocking=True,
    description="What releases cost together adds up and never exceeded what was allowed then.",
)
LEDGER = dg.AssetCheckSpec(
    "releases_are_paid_for",
    asset="team_contribution",
    blocking=True,
    description="Every release has exactly one debit, at the price in its header, and every debit a release.",
)
DELIVERED = dg.AssetCheckSpec(
    "releases_are_delivered",
    asset="team_contribution",
    description="No release waits for longer than until the next push.",
)
BOUNDED = dg.AssetCheckSpec(
    "team_values_are_bounded",
    asset="team_knowledge",
    blocking=True,
    description="The team's values are within the largest reward for ever: limit / (1 - discount).",
)
CURRENT = dg.AssetCheckSpec(
    "team_tables_fit_contracts",
    asset="team_knowledge",
    description="The newest table of each agent is of the contract it has today.",
)


@dg.multi_asset_check(specs=[BUDGET, LEDGER, DELIVERED], name="contribution_checks")
def contribution_checks(database: FleetDatabase) -> Iterator[dg.AssetCheckResult]:
    """Judge ledger and log of releases."""
    yield from asyncio.run(judged_contributions(database, datetime.now(UTC)))


async def judged_contributions(database: FleetDatabase, now: datetime) -> list[dg.AssetCheckResult]:
    """Return the verdicts on what was released.

    Args:
        database: whose.
        now: the present, aware.
    """
    async with database.store() as store:
        entries, releases = await store.privacy_ledger.entries(), await store.releases.all()
    looked_at = f"{len(releases)} releases, {len(entries)} debits"
    waiting = [
        f"release {one.header.release_id} waits since {one.made_at:%F %T}; see qe team status"
        for one in releases
        if not (one.sent_at or one.withdrawn_at) and now - one.made_at > LONGEST_WAIT
    ]
    return [
        verdict(list(budget_faults(entries)), looked_at, BUDGET),
        verdict(list(payment_faults(entries, releases)), looked_at, LEDGER),
        verdict(waiting, looked_at, DELIVERED, dg.AssetCheckSeverity.WARN),
    ]


def budget_faults(entries: Sequence[LedgerEntry]) -> Iterator[str]:
    """Yield what is wrong with the sums of the ledger."""
    sums = accumulate(entry.nano_rho for entry in entries)
    for number, (entry, spent) in enumerate(zip(entries, sums, strict=True), start=1):
        if entry.entry_number != number:
            yield f"debit {number} is missing; release nothing, restore a backup"
        if entry.spent_nano_rho != spent:
            yield f"debit {number} says {entry.spent_nano_rho} were spent; the debits up to it are {spent}"
        if entry.left_nano_rho < 0:
            yield f"debit {number} is {-entry.left_nano_rho} beyond the lifetime's budget; stop sharing"


def payment_faults(entries: Sequence[LedgerEntry], releases: Sequence[ReleaseRecord]) -> Iterator[str]:
    """Yield where ledger and log of releases contradict each other."""
    paid = {entry.release_id: entry.nano_rho for entry in entries}
    asked = {one.header.release_id: one.header.nano_rho for one in releases}
    if len(paid) < len(entries):
        yield "a release was paid for twice; find it in privacy_ledger"
    for release_id in sorted(paid.keys() | asked.keys(), key=str):
        if release_id not in asked:
            yield f"debit of release {release_id}, which is not in the log of releases"
        elif release_id not in paid:
            yield f"release {release_id} was never paid for; stop sharing"
        elif paid[release_id] != asked[release_id]:
            yield f"release {release_id} costs {asked[release_id]} and was paid for with {paid[release_id]}"


@dg.multi_asset_check(specs=[BOUNDED, CURRENT], name="knowledge_checks")
def knowledge_checks(database: FleetDatabase, settings: FleetSettings) -> Iterator[dg.AssetCheckResult]:
    """Judge the team's tables that are in use."""
    yield from asyncio.run(judged_knowledge(database, settings.values))


async def judged_knowledge(database: FleetDatabase, settings: Settings) -> list[dg.AssetCheckResult]:
    """Return the verdicts on what was pulled."""
    async with database.store() as store:
        held, versions = await tables_in_use(store), await store.team_tables.versions()
    today = {contract.name: contract.fingerprint for contract in registry()}
    in_use = {(table.agent, table.fingerprint) for table in held}
    outdated = [
        f"{agent}: the team's table {version} is of contract {fingerprint}, its own is {today.get(agent)}; "
        "have the team's server register the contract of today, and contribute under it"
        for (agent, fingerprint), version in versions.items()
        if today.get(agent) != fingerprint and (agent, today.get(agent)) not in in_use
    ]
    looked_at = f"{len(held)} tables of the team"
    beyond = [fault for table in held for fault in value_faults(table, settings)]
    return [
        verdict(beyond, looked_at, BOUNDED),
        verdict(outdated, looked_at, CURRENT, dg.AssetCheckSeverity.WARN),
    ]


def value_faults(table: TeamTable, settings: Settings) -> Iterator[str]:
    """Yield that a table of the team holds values nobody can earn."""
    discount = registry().get(table.agent).discount_or(settings.learning.discount)
    penalty = PESSIMISM * float(table.evidence.error.max())
    limit = (settings.team.clip_bound_points + penalty) / (1.0 - discount)
    beyond = int((abs(table.evidence.q) > limit).sum())
    if beyond:
        yield (
            f"{table.agent}: {beyond} values of the team's table {table.version} are beyond ±{limit:g} "
            "points; take it back with qe team undo, and tell the curator"
        )
