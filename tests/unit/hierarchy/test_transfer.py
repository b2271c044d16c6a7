"""Transfer writes priors where there is no evidence, reports, and can be taken back."""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import AggregationPart
from qe_core.hierarchy.transfer import TransferParty, TransferSettings, transfer, undo_transfer
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable

QUANTUM = 2.0**-20


def party(
    name: str,
    q: list[list[float]],
    visits: list[list[int]],
    confidence: list[list[float]],
    approaches: tuple[int, ...],
    divisor: int = 1,
    group: str | None = "security",
) -> TransferParty:
    count = np.array(visits, dtype=np.int64)
    zeros = np.zeros_like(count, dtype=float)
    weights = np.rint(np.array(confidence) * count / QUANTUM) * QUANTUM
    part = AggregationPart(name, QTable(np.array(q), count, zeros, zeros), weights, divisor, approaches)
    return TransferParty(part, group)


def giver(**change: object) -> TransferParty:
    # Shared state 0: approach 1 confidently worth 10, approach 2 worth 50 but hardly known.
    arguments = {
        "name": "scanner",
        "q": [[10.0, 50.0]],
        "visits": [[20, 3]],
        "confidence": [[0.9, 0.5]],
        "approaches": (1, 2),
    }
    return party(**arguments | change)


def receiver(**change: object) -> TransferParty:
    # Two states project to shared state 0; action 0 has approach 1 and own evidence in state 1.
    arguments = {
        "name": "chaos",
        "q": [[0.0, 0.0], [-3.0, 0.0]],
        "visits": [[0, 0], [4, 0]],
        "confidence": [[0, 0], [0.8, 0]],
        "approaches": (1, 2),
        "divisor": 2,
    }
    return party(**arguments | change)


def test_hand_worked_transfer() -> None:
    done = transfer(giver(), receiver(), state_count=1)
    assert done.table.q.tolist() == [[8, 0], [-3, 0]]
    assert done.is_taken.tolist() == [[True, False], [False, False]]
    report = done.report
    assert (report.source, report.target) == ("scanner", "chaos")
    assert (report.pairs_offered, report.pairs_taken, report.pairs_kept) == (1, 1, 1)
    assert report.mean_absolute_prior == 8


def test_a_transferred_value_is_a_prior_and_not_a_fact() -> None:
    before, done = receiver().part.table, transfer(giver(), receiver(), 1)
    assert np.array_equal(done.table.visits, before.visits)
    assert np.array_equal(done.table.target_m2, before.target_m2)
    assert done.table.greedy().tolist() == [-1, 0]


def test_confidence_must_be_above_the_limit_and_not_at_it() -> None:
    at_limit = giver(visits=[[8, 4]], confidence=[[0.75, 0.5]])
    assert transfer(at_limit, receiver(), 1, TransferSettings(0.75)).report.pairs_offered == 0
    assert transfer(at_limit, receiver(), 1, TransferSettings(0.74)).report.pairs_offered == 1


def test_several_confident_pairs_of_one_cell_are_averaged_by_weight() -> None:
    two = giver(visits=[[20, 60]], confidence=[[0.75, 0.75]], approaches=(1, 1))
    done = transfer(two, receiver(), 1)
    assert done.table.q[0, 0] == pytest.approx(0.8 * (10 * 15 + 50 * 45) / 60)


def test_nothing_confident_transfers_nothing() -> None:
    done = transfer(giver(confidence=[[0.1, 0.1]]), receiver(), 1)
    assert np.array_equal(done.table.q, receiver().part.table.q)
    assert (done.report.pairs_taken, done.report.mean_absolute_prior) == (0, 0)


def test_undoing_takes_back_priors_but_keeps_what_was_learned_since() -> None:
    target = receiver(q=[[0.0, 0.5], [-3.0, 0.0]], approaches=(1, 1))
    done = transfer(giver(), target, 1)
    assert done.table.q.tolist() == [[8, 8], [-3, 8]]
    learned = AffineUpdates.from_targets([0], [0], [100.0], [0.5]).apply(done.table)
    undone = undo_transfer(learned, done)
    assert undone.q.tolist() == [[54, 0.5], [-3, 0]]
    assert undone.visits.tolist() == [[1, 0], [4, 0]]


@pytest.mark.parametrize(
    ("source_group", "target_group"), [("security", "coverage"), (None, None), ("security", None)]
)
def test_transfer_stays_inside_a_similarity_group(source_group: str | None, target_group: str | None) -> None:
    with pytest.raises(LearningError, match="not in one similarity group; transfer only inside a group"):
        transfer(giver(group=source_group), receiver(group=target_group), 1)


def test_impossible_transfers_are_refused() -> None:
    with pytest.raises(LearningError, match="scanner cannot transfer to itself"):
        transfer(giver(), replace(receiver(), part=giver().part), 1)
    with pytest.raises(LearningError, match="chaos does not fit 1 shared states by divisor 1"):
        transfer(giver(), receiver(divisor=1), 1)
    with pytest.raises(LearningError, match="minimum_confidence must lie in"):
        TransferSettings(minimum_confidence=2.0)
    with pytest.raises(LearningError, match="transfer factor must lie in"):
        TransferSettings(factor=-1.0)
    with pytest.raises(LearningError, match="table must have shape"):
        undo_transfer(QTable.zeros(1, 1), transfer(giver(), receiver(), 1))
