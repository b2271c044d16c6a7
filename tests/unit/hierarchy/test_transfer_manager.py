"""Groups come from contracts and settings; a misleading source is refused and what it gave is gone."""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import ConfigError
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.negative_transfer import HarmRecord
from qe_core.hierarchy.transfer_manager import (
    TransferLearningManager,
    has_own_evidence_unchanged,
    similarity_groups,
)
from qe_core.learning.q_table import QTable

SOURCE, TARGET = "test-executor", "regression-risk-analyzer"
NOISE = 25.0
"""Variance of targets in these tables, points²."""


def table_of(contract: AgentContract, best: int, visits: int) -> QTable:
    """Return a table in which the actions of one approach are worth 30 points more than the others."""
    is_best = np.array(contract.approach_indices) == best
    q = np.tile(np.where(is_best, 30.0, 0.0), (contract.state_count, 1))
    count = np.full(q.shape, visits, dtype=np.int64)
    if visits == 0:
        return QTable.zeros(*q.shape)
    return QTable(q, count, q, NOISE * count)


def shared_approach() -> int:
    source, target = registry().get(SOURCE), registry().get(TARGET)
    common = set(source.approach_indices) & set(target.approach_indices)
    return min(common)


def other_approach() -> int:
    source, target = registry().get(SOURCE), registry().get(TARGET)
    common = set(source.approach_indices) & set(target.approach_indices)
    return max(common)


@pytest.fixture
def manager() -> TransferLearningManager:
    return TransferLearningManager.of(registry(), Settings())


def test_declared_groups_are_found(manager: TransferLearningManager) -> None:
    assert set(manager.groups) == {"test-generation", "test-execution", "coverage-analysis", "security"}
    assert manager.groups_of("test-generator") == ("test-generation",)
    assert [partner.name for partner in manager.partners("test-generator")] == ["test-data-architect"]
    assert manager.partners("visual-tester") == ()


def test_settings_add_replace_and_remove_groups() -> None:
    added = similarity_groups(registry(), {"looking": ("visual-tester", "chaos-engineer"), "security": ()})
    assert [member.name for member in added["looking"]] == ["visual-tester", "chaos-engineer"]
    assert "security" not in added
    chosen = TransferLearningManager(added)
    assert chosen.groups_of("chaos-engineer") == ("looking",)


def test_an_unknown_member_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"transfer\.groups\.looking: .*did you mean visual-tester"):
        similarity_groups(registry(), {"looking": ("visual-testr", "chaos-engineer")})


def test_a_newcomer_hears_from_its_group_and_gains_no_visits(manager: TransferLearningManager) -> None:
    source, target = registry().get(SOURCE), registry().get(TARGET)
    tables = {SOURCE: table_of(source, shared_approach(), 50), TARGET: table_of(target, 0, 0)}
    outcome = manager.transfer(TARGET, tables)
    [report] = outcome.reports
    assert report.pairs_taken > 0
    assert report.pairs_kept == 0
    assert outcome.table.visits.sum() == 0
    told = np.array(target.approach_indices) == shared_approach()
    assert np.allclose(outcome.table.q[:, told], 0.8 * 30)
    assert has_own_evidence_unchanged(tables[TARGET], outcome.table)


def test_transferring_again_changes_nothing(manager: TransferLearningManager) -> None:
    source, target = registry().get(SOURCE), registry().get(TARGET)
    tables = {SOURCE: table_of(source, shared_approach(), 50), TARGET: table_of(target, 0, 0)}
    once = manager.transfer(TARGET, tables)
    again = manager.transfer(TARGET, tables | {TARGET: once.table}, once.records)
    assert np.array_equal(again.table.q, once.table.q)
    assert again.records == once.records


def half_learned(told: QTable, best: int) -> QTable:
    """Return the table after the target saw the first half of its states itself: another approach is best."""
    target = registry().get(TARGET)
    own = table_of(target, best, 10)
    is_seen = np.arange(target.state_count)[:, np.newaxis] < target.state_count // 2
    return QTable(
        *(
            np.where(is_seen, getattr(own, name), getattr(told, name))
            for name in ("q", "visits", "target_mean", "target_m2")
        )
    )


def test_negative_transfer_is_detected_and_undone(manager: TransferLearningManager) -> None:
    """Planted fault: the source's best approach is bad for the target. Without the guard its priors stay."""
    source, target = registry().get(SOURCE), registry().get(TARGET)
    tables = {SOURCE: table_of(source, shared_approach(), 50), TARGET: table_of(target, 0, 0)}
    told = manager.transfer(TARGET, tables)
    learned = half_learned(told.table, other_approach())
    assert (learned.q[learned.visits == 0] != 0).any()
    outcome = manager.transfer(TARGET, tables | {TARGET: learned}, told.records)
    assert outcome.gains[SOURCE].gain < 0
    assert outcome.records[SOURCE].is_harmful
    assert (outcome.table.q[outcome.table.visits == 0] == 0).all()
    assert has_own_evidence_unchanged(learned, outcome.table)
    [report] = outcome.reports
    assert report.pairs_taken == 0
    assert "following it would lose points: found at look 1" in report.refused_because
    # It is not taken up again, whatever is seen later.
    agreeing = half_learned(outcome.table, shared_approach())
    later = manager.transfer(TARGET, tables | {TARGET: agreeing}, outcome.records)
    assert (later.table.q[later.table.visits == 0] == 0).all()


def test_a_source_that_is_right_is_kept(manager: TransferLearningManager) -> None:
    source, target = registry().get(SOURCE), registry().get(TARGET)
    tables = {SOURCE: table_of(source, shared_approach(), 50), TARGET: table_of(target, 0, 0)}
    told = manager.transfer(TARGET, tables)
    learned = half_learned(told.table, shared_approach())
    outcome = manager.transfer(TARGET, tables | {TARGET: learned}, told.records)
    assert outcome.gains[SOURCE].gain > 0
    assert outcome.records[SOURCE] == HarmRecord(1, outcome.gains[SOURCE].visits)
    assert (outcome.table.q[outcome.table.visits == 0] != 0).any()


def test_an_agent_without_a_group_and_a_partner_without_a_table_change_nothing(
    manager: TransferLearningManager,
) -> None:
    lonely = registry().get("visual-tester")
    table = table_of(lonely, 0, 0)
    assert manager.transfer("visual-tester", {"visual-tester": table}).table is table
    alone = manager.transfer(TARGET, {TARGET: table_of(registry().get(TARGET), 0, 0)})
    assert alone.reports == ()


def test_partners_of_one_category_share_its_finer_states(manager: TransferLearningManager) -> None:
    """coverage-analyzer and quality-gate are of one category: what holds at one coverage gap stays there."""
    source, target = registry().get("quality-gate"), registry().get("coverage-analyzer")
    assert source.category is target.category
    known = table_of(source, source.approach_indices[0], 50)
    states = np.arange(source.state_count) // source.category_divisor
    is_here = (states == states[0])[:, np.newaxis]
    only_here = replace(
        known,
        visits=np.where(is_here, known.visits, 0),
        q=np.where(is_here, known.q, 0.0),
        target_mean=np.where(is_here, known.target_mean, 0.0),
        target_m2=np.where(is_here, known.target_m2, 0.0),
    )
    told = manager.transfer(target.name, {source.name: only_here, target.name: table_of(target, 0, 0)}).table
    projected = np.flatnonzero((told.q != 0).any(axis=1)) // target.category_divisor
    assert set(projected.tolist()) == {0}
