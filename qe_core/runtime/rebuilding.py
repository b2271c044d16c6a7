"""An agent's table as its evidence and its team's determine it, published.

What belongs here: one way to build a table, for the library and the graph. What does not: solving
(`qe_core.learning.empirical_mdp`), merging (`qe_core.hierarchy.merging`), and the retry when a live writer
got in between (`qe_core.store`).

A table is a function of the log, of the team's table in use and of what this database itself reported to the
team; a published one names the team's version it was built with (ADR 0112). Priors from similar agents are
kept where neither the agent nor its team knows anything.
"""

from dataclasses import dataclass, replace

import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract
from qe_core.hierarchy.merging import Merged, merged
from qe_core.hierarchy.transfer import keep_priors
from qe_core.learning.empirical_mdp import Caution, q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.shared_knowledge import PESSIMISM
from qe_core.privacy.space import PublicSpace
from qe_core.runtime.parameters import caution, confidence_settings, merge_settings
from qe_core.runtime.table_declarations import individual_table
from qe_core.store import PublishResult, Rebuild, Store, StoredTable
from qe_core.store.records import Source

TEAM_VERSION = "team_version"
"""Under which name a table's lineage says which of the team's tables it was built with."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What building an agent's table did.

    Attributes:
        result: what was published.
        merged: what became of the team's table; None where there is none.
    """

    result: PublishResult
    merged: Merged | None


def team_version(stored: StoredTable) -> int:
    """Return which of the team's tables an agent's own was built with; 0 for none."""
    return int(stored.source.get(TEAM_VERSION) or 0)


async def rebuild(store: Store, contract: AgentContract, settings: Settings) -> PublishResult:
    """Publish an agent's table as its evidence determines it, again where a live writer was faster.

    The version is read before the log, and live writers commit their update and its experience together:
    whatever the version counts is in the log that is read after it, so nothing learned is ever lost.

    Raises:
        VersionConflictError: live writers were faster every time.
        LearningError: an experience does not fit the agent's contract.
    """
    return (await rebuild_with_team(store, contract, settings)).result


async def rebuild_with_team(store: Store, contract: AgentContract, settings: Settings) -> Rebuilt:
    """Publish an agent's table like `rebuild`, and return too what became of the team's.

    Raises:
        VersionConflictError: live writers were faster every time.
        LearningError: an experience does not fit the agent's contract.
    """
    declaration = individual_table(contract)
    discount = contract.discount_or(settings.learning.discount)
    tolerance = settings.learning.solver_residual_points
    both: Merged | None = None

    async def recompute() -> Rebuild:
        """Read table and log afresh, solve, and merge what the team knows."""
        nonlocal both
        stored = await declaration.load(store)
        observed = await store.experiences.load_mdp(
            contract.name, contract.fingerprint, contract.state_count, contract.action_count
        )
        solution = solve_empirical_mdp(observed, discount, caution(settings), tolerance)
        own = q_table_from_mdp(observed, solution, discount)
        table = keep_priors(own, without_team(stored, await merged_evidence(store, contract, stored)))
        team = await store.team_tables.current(contract.name, contract.fingerprint)
        both = None
        if team is not None:
            reported = await store.releases.own_reported(PublicSpace.of(contract))
            wary = solve_empirical_mdp(observed, discount, team_caution(settings), tolerance)
            careful = keep_priors(replace(own, q=q_table_from_mdp(observed, wary, discount).q), table)
            rules, confidence = merge_settings(settings), confidence_settings(settings)
            both = merged(careful, team.evidence, reported, rules, confidence)
            table = both.table
        source: Source = {
            **stored.source,
            "version": stored.version + 1,
            "experiences": int(observed.count.sum()),
            "discount": discount,
            "bellman_residual": solution.residual,
            TEAM_VERSION: 0 if team is None else team.version,
        }
        weights = quantised_weights(table, confidence_settings(settings))
        return Rebuild(table, weights, stored.version, source)

    result = await store.q_tables.publish_with_retry(await declaration.ensure(store), recompute)
    return Rebuilt(result, both)


def team_caution(settings: Settings) -> Caution:
    """Return how an own table is solved that is merged with the team's: no less cautiously than the team's.

    Else an own action tried once, with little taken off for doubt, would beat by luck what the team knows.
    """
    own = caution(settings)
    return replace(own, pessimism=max(own.pessimism, PESSIMISM))


async def merged_evidence(store: Store, contract: AgentContract, stored: StoredTable) -> TeamEvidence | None:
    """Return what the team's table says that an agent's own was built with; None where it had none."""
    version = team_version(stored)
    table = await store.team_tables.version(contract.name, contract.fingerprint, version) if version else None
    return None if table is None else table.evidence


def with_team(table: QTable, team: TeamEvidence | None) -> QTable:
    """Return a table whose pairs without own visits hold the team's value wherever it knows one.

    What the team saw of this very agent counts more than what other agents pass on.
    """
    if team is None:
        return table
    is_told = (table.visits == 0) & (team.visits > 0)
    return replace(table, q=np.where(is_told, team.q, table.q))


def without_team(stored: StoredTable, team: TeamEvidence | None) -> QTable:
    """Return a stored table without the priors it has from the team."""
    table = stored.table
    if team is None:
        return table
    is_told = (table.visits == 0) & (team.visits > 0)
    return replace(table, q=np.where(is_told, 0.0, table.q))
