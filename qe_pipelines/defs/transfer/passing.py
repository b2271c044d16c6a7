"""Passing knowledge into one agent's stored table, and what is remembered about its sources.

What belongs here: loading, remembering and publishing. What does not: what is passed and refused
(`qe_core.hierarchy.transfer_manager`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from qe_core.config import Settings
from qe_core.errors import ConfigError, FingerprintMismatchError, nearest
from qe_core.fleet import AgentContract, registry
from qe_core.hierarchy.negative_transfer import HarmRecord
from qe_core.hierarchy.transfer_manager import TransferLearningManager, TransferOutcome
from qe_core.learning.q_table import QTable
from qe_core.runtime.rebuilding import merged_evidence, with_team
from qe_core.runtime.table_declarations import individual_table, load_tables
from qe_core.store import PublishResult, Rebuild, Store, StoredTable, TableHandle
from qe_core.store.records import Source

NAMESPACE = "transfer"
"""Where in `QEMemory` it is remembered what is known about sources of transfer."""

NOTHING_PUBLISHED = PublishResult(version=0, rows_written=0, rows_removed=0)
"""What comes of a transfer to an agent that has no table under its contract of today, and hears nothing."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What passing into one agent's table did.

    Attributes:
        target: the agent.
        outcome: what it was told by whom.
        result: what was published.
    """

    target: str
    outcome: TransferOutcome
    result: PublishResult


def members_of(manager: TransferLearningManager, group: str) -> tuple[AgentContract, ...]:
    """Return the agents of a group.

    Raises:
        ConfigError: the settings do not have the group any more.
    """
    if group not in manager.groups:
        raise ConfigError(
            f"there is no similarity group {group!r} any more: {nearest(group, manager.groups)}; "
            "reload the code location, so that the graph follows the settings"
        )
    return manager.groups[group]


async def pass_on(store: Store, contract: AgentContract, settings: Settings) -> Passed:
    """Judge an agent's sources by what it has learned since, then make its priors what they give now.

    What is found about a source is remembered first and acted on then: a crash in between leaves a source
    known to do harm, whose priors the next run takes back.

    Raises:
        MemoryConflictError: another run judged the same source at the same time.
        VersionConflictError: the table changed every time in between.
    """
    manager = TransferLearningManager.of(registry(), settings)
    records = await read_records(store, manager, contract)
    tables = await load_known(store, manager, contract)
    outcome = manager.transfer(contract.name, {name: one.table for name, one in tables.items()}, records)
    await _remember(store, manager, contract, outcome, records)
    latest = outcome

    async def recompute() -> Rebuild:
        """Read all tables afresh and write the priors anew."""
        nonlocal latest
        found = await load_known(store, manager, contract)
        own = found[contract.name]
        latest = manager.transfer(
            contract.name, {name: one.table for name, one in found.items()}, outcome.records
        )
        is_as_published = own.version == own.source.get("version", 0)
        source: Source = {
            **own.source,
            **({"version": own.version + 1} if is_as_published else {}),
            "heard": heard_from(found, contract.name),
        }
        told = with_team(latest.table, await merged_evidence(store, contract, own))
        return Rebuild(told, own.weights, own.version, source)

    handle = await _handle(store, contract, tables[contract.name], outcome)
    if handle is None:
        return Passed(contract.name, outcome, NOTHING_PUBLISHED)
    result = await store.q_tables.publish_with_retry(handle, recompute)
    return Passed(contract.name, replace(latest, records=outcome.records), result)


async def read_records(
    store: Store, manager: TransferLearningManager, target: AgentContract
) -> dict[str, HarmRecord]:
    """Return what is remembered about the sources of an agent, under the contracts of today."""
    found = {}
    for partner in manager.partners(target.name):
        entry = await store.memory.get(NAMESPACE, _key(partner, target))
        if entry is not None and entry.value["contracts"] == _contracts(partner, target):
            found[partner.name] = HarmRecord(**entry.value["record"])
    return found


async def load_known(
    store: Store, manager: TransferLearningManager, target: AgentContract
) -> dict[str, StoredTable]:
    """Return the tables of an agent and of those it hears from, by name; empty ones for who has none."""
    contracts = (target, *manager.partners(target.name))
    tables = await load_tables(store, [individual_table(contract) for contract in contracts])
    return {contract.name: table for contract, table in zip(contracts, tables, strict=True)}


async def _handle(
    store: Store, contract: AgentContract, stored: StoredTable, outcome: TransferOutcome
) -> TableHandle | None:
    """Return the agent's table, registered if there is something to tell a newcomer; None if there is not.

    A table under an outdated contract is left for its own agent's rebuild to replace.
    """
    if stored.handle.q_table_id == 0 and not outcome.table.q.any():
        return None
    table = individual_table(contract)
    try:
        return await store.q_tables.ensure(
            *(table.level, table.name, table.fingerprint, table.state_count, table.action_names),
            may_replace=False,
        )
    except FingerprintMismatchError:
        return None


async def _remember(
    store: Store,
    manager: TransferLearningManager,
    target: AgentContract,
    outcome: TransferOutcome,
    before: Mapping[str, HarmRecord],
) -> None:
    """Remember every look that was taken, with what was seen; nothing where none was."""
    reports = {report.source: report for report in outcome.reports}
    for partner in manager.partners(target.name):
        record = outcome.records.get(partner.name)
        if record is None or record == before.get(partner.name, HarmRecord()):
            continue
        key = _key(partner, target)
        entry = await store.memory.get(NAMESPACE, key)
        value: dict[str, Any] = {
            "contracts": _contracts(partner, target),
            "record": asdict(record),
            "gain": asdict(outcome.gains[partner.name]),
            "report": asdict(reports[partner.name]),
        }
        await store.memory.compare_and_set(NAMESPACE, key, value, None if entry is None else entry.version)


def _key(source: AgentContract, target: AgentContract) -> str:
    return f"{target.name} from {source.name}"


def _contracts(source: AgentContract, target: AgentContract) -> list[str]:
    return [source.fingerprint, target.fingerprint]


def prior_count(stored: StoredTable) -> int:
    """Return how many pairs of a table hold a prior: a value without visits."""
    return int(((stored.table.visits == 0) & (stored.table.q != 0)).sum())


def heard_from(tables: Mapping[str, StoredTable], target: str) -> str:
    """Return a digest, 16 hexadecimal digits, of what the sources of an agent have seen themselves."""
    digest = blake2b(digest_size=8)
    for name in sorted(tables.keys() - {target}):
        table = tables[name].table
        digest.update(name.encode())
        digest.update(table.visits.tobytes())
        digest.update(np.where(table.visits > 0, table.q, 0.0).tobytes())
        digest.update(table.target_m2.tobytes())
    return digest.hexdigest()


def priors_differ(stored: StoredTable, expected: QTable) -> int:
    """Return in how many pairs without visits a table does not hold what it is expected to."""
    is_prior = stored.table.visits == 0
    return int((np.where(is_prior, stored.table.q - expected.q, 0.0) != 0).sum())
