"""Checks of what was shared and of what came back.

What belongs here: reading and judging. What does not: what is allowed to leave (`qe_core.runtime.team`). The
store keeps most of this by itself, in triggers and constraints; a check notices where somebody got around
them. Those of the budget block: what was paid for wrongly must not go on.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.privacy.shared_knowledge import PESSIMISM
from qe_core.runtime.team.auditing import budget_faults, payment_faults
from qe_core.store.team import TeamTable
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
        spent = await store.privacy_ledger.spent_nano_rho()
    looked_at = f"{len(releases)} releases, {len(entries)} debits"
    waiting = [
        f"release {one.header.release_id} waits since {one.made_at:%F %T}; see qe team status"
        for one in releases
        if not (one.sent_at or one.withdrawn_at) and now - one.made_at > LONGEST_WAIT
    ]
    return [
        verdict(list(budget_faults(entries, spent)), looked_at, BUDGET),
        verdict(list(payment_faults(releases, entries)), looked_at, LEDGER),
        verdict(waiting, looked_at, DELIVERED, dg.AssetCheckSeverity.WARN),
    ]


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
