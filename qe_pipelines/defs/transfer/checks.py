"""Checks of what similar agents told each other: nothing but priors, and none that did harm.

What belongs here: loading tables and judging them. What does not: writing them (`passing`).
"""

import asyncio
from collections.abc import Iterator

import dagster as dg

from qe_core.config import Settings, load_settings
from qe_core.fleet import registry
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.runtime.rebuilding import merged_evidence, with_team
from qe_core.store import Store
from qe_pipelines.defs.transfer.passing import (
    heard_from,
    load_known,
    members_of,
    prior_count,
    priors_differ,
    read_records,
)
from qe_pipelines.partitions import transfer_key
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict

Result = dg.AssetCheckResult


def specs_of(group: str) -> tuple[dg.AssetCheckSpec, dg.AssetCheckSpec]:
    """Return the two checks of one group's asset."""
    return (
        dg.AssetCheckSpec(
            "priors_carry_no_evidence",
            asset=transfer_key(group),
            blocking=True,
            description="A value without visits has neither weight nor statistics: it is aggregated nowhere.",
        ),
        dg.AssetCheckSpec(
            "priors_are_what_sources_give",
            asset=transfer_key(group),
            blocking=True,
            description="Values without visits are exactly what harmless sources give, or the team where it "
            "knows the pair; of harmful sources nothing is left.",
        ),
    )


def transfer_check(group: str) -> dg.AssetChecksDefinition:
    """Return the checks of one group."""

    @dg.multi_asset_check(specs=specs_of(group), name=f"transfer_checks_{transfer_key(group).path[-1]}")
    def transfer_checks(database: FleetDatabase, settings: FleetSettings) -> Iterator[Result]:
        """Judge the priors of all members."""
        yield from asyncio.run(judged_group(database, settings.values, group))

    return transfer_checks


async def judged_group(database: FleetDatabase, values: Settings, group: str) -> list[Result]:
    """Return the verdicts on one group."""
    manager = TransferLearningManager.of(registry(), values)
    evidence: list[str] = []
    priors: list[str] = []
    count = 0
    members = members_of(manager, group)
    async with database.store() as store:
        for contract in members:
            tables = await load_known(store, manager, contract)
            own = tables[contract.name]
            count += prior_count(own)
            unvisited = own.table.visits == 0
            traces = unvisited & (
                (own.weights != 0) | (own.table.target_mean != 0) | (own.table.target_m2 != 0)
            )
            if traces.any():
                evidence.append(f"{contract.name}: {int(traces.sum())} pairs without visits have evidence")
            priors += await prior_faults(store, manager, contract.name)
    looked_at = f"{len(members)} agents, {count:,} priors"
    first, second = specs_of(group)
    return [verdict(evidence, looked_at, first), verdict(priors, looked_at, second)]


async def prior_faults(store: Store, manager: TransferLearningManager, target: str) -> list[str]:
    """Return what contradicts that an agent's priors are those its sources give.

    Where a source has learned since, the priors are older than its table and are not compared.
    """
    contract = registry().get(target)
    tables = await load_known(store, manager, contract)
    if tables[target].source.get("heard") != heard_from(tables, target):
        return []
    records = await read_records(store, manager, contract)
    outcome = manager.transfer(target, {name: one.table for name, one in tables.items()}, records)
    expected = with_team(outcome.table, await merged_evidence(store, contract, tables[target]))
    if different := priors_differ(tables[target], expected):
        harmful = ", ".join(report.source for report in outcome.reports if report.refused_because)
        from_harmful = f"; sources found harmful: {harmful}" if harmful else ""
        return [f"{target}: {different} priors are not what its sources give{from_harmful}"]
    return []


transfer_checks = [
    transfer_check(group) for group in TransferLearningManager.of(registry(), load_settings().values).groups
]
"""The checks of all groups."""
