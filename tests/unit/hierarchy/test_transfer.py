"""Transfer writes priors where there is no evidence, reports, and can be taken back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import AggregationPart
from qe_core.hierarchy.transfer import Offer, TransferSettings, keep_priors, offer, take_offers
from qe_core.hierarchy.transfer_manager import has_own_evidence_unchanged
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
) -> AggregationPart:
    count = np.array(visits, dtype=np.int64)
    zeros = np.zeros_like(count, dtype=float)
    weights = np.rint(np.array(confidence) * count / QUANTUM) * QUANTUM
    return AggregationPart(
        name, QTable(np.array(q, dtype=float), count, zeros, zeros), weights, divisor, approaches
    )


def giver(**change: object) -> AggregationPart:
    # Shared state 0: approach 1 confidently worth 10, approach 2 worth 50 but hardly known.
    arguments = {
        "name": "scanner",
        "q": [[10.0, 50.0]],
        "visits": [[20, 3]],
        "confidence": [[0.9, 0.5]],
        "approaches": (1, 2),
    }
    return party(**arguments | change)


def receiver(**change: object) -> AggregationPart:
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


def taken(
    target: AggregationPart, *sources: AggregationPart, refused: dict[str, str] | None = None
) -> QTable:
    offers = {source.name: offer(source, target, 1) for source in sources}
    return take_offers(target, offers, refused or {})[0]


def test_hand_worked_transfer() -> None:
    target = receiver()
    table, [report] = take_offers(target, {"scanner": offer(giver(), target, 1)}, {})
    assert table.q.tolist() == [[8, 0], [-3, 0]]
    assert (report.source, report.target) == ("scanner", "chaos")
    assert (report.pairs_offered, report.pairs_doubtful) == (1, 1)
    assert (report.pairs_taken, report.pairs_kept) == (1, 1)
    assert report.mean_absolute_prior == 8
    assert report.refused_because == ""


def test_a_transferred_value_is_a_prior_and_not_a_fact() -> None:
    before, after = receiver().table, taken(receiver(), giver())
    assert has_own_evidence_unchanged(before, after)
    assert after.greedy().tolist() == [-1, 0]


def test_confidence_must_be_above_the_limit_and_not_at_it() -> None:
    at_limit = giver(visits=[[8, 4]], confidence=[[0.75, 0.5]])
    assert offer(at_limit, receiver(), 1, TransferSettings(0.75)).pairs_offered == 0
    assert offer(at_limit, receiver(), 1, TransferSettings(0.74)).pairs_offered == 1


def test_several_confident_pairs_of_one_cell_are_averaged_by_weight() -> None:
    two = giver(visits=[[20, 60]], confidence=[[0.75, 0.75]], approaches=(1, 1))
    assert taken(receiver(), two).q[0, 0] == pytest.approx(0.8 * (10 * 15 + 50 * 45) / 60)


def test_several_sources_are_averaged_by_weight() -> None:
    other = giver(name="other", q=[[40.0, 0.0]], visits=[[60, 3]])
    assert taken(receiver(), giver(), other).q[0, 0] == pytest.approx(0.8 * (10 * 18 + 40 * 54) / 72)


def test_nothing_confident_transfers_nothing() -> None:
    target = receiver()
    doubtful = offer(giver(confidence=[[0.1, 0.1]]), target, 1)
    table, [report] = take_offers(target, {"scanner": doubtful}, {})
    assert np.array_equal(table.q, target.table.q)
    assert (report.pairs_taken, report.mean_absolute_prior) == (0, 0)


def test_refusing_a_source_takes_back_exactly_what_it_gave() -> None:
    other = giver(name="other", q=[[40.0, 30.0]], visits=[[20, 20]], confidence=[[0.9, 0.9]])
    told = replace(receiver(), table=taken(receiver(), giver(), other))
    undone = taken(told, giver(), other, refused={"other": "it did harm"})
    assert np.array_equal(undone.q, taken(receiver(), giver()).q)


def test_undoing_keeps_what_was_learned_since() -> None:
    target = receiver()
    told = taken(target, giver())
    learned = AffineUpdates.from_targets([0], [0], [100.0], [0.5]).apply(told)
    weights = np.rint(0.5 * learned.visits / QUANTUM) * QUANTUM
    undone = taken(
        AggregationPart("chaos", learned, weights, 2, (1, 2)), giver(), refused={"scanner": "it did harm"}
    )
    assert undone.q.tolist() == [[54, 0], [-3, 0]]
    assert undone.visits.tolist() == [[1, 0], [4, 0]]


def test_a_rebuilt_table_keeps_its_priors_where_there_still_is_no_evidence() -> None:
    told = taken(receiver(), giver(q=[[10.0, 50.0]], visits=[[20, 20]], confidence=[[0.9, 0.9]]))
    rebuilt = replace(told, q=np.array([[3.0, 0.0], [-2.0, 0.0]]), visits=np.array([[2, 0], [4, 0]]))
    assert keep_priors(rebuilt, told).q.tolist() == [[3, 40], [-2, 40]]


def test_priors_are_never_passed_on() -> None:
    told = replace(receiver(), table=taken(receiver(), giver()), name="middle")
    third = receiver(name="third", visits=[[0, 0], [0, 0]], q=[[0.0, 0.0], [0.0, 0.0]])
    passed = offer(told, third, 1)
    assert passed.prior[0, 0] == pytest.approx(0.8 * -3)


numbers = st.floats(-100, 100, allow_nan=False)


@given(st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=2, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_own_evidence_is_untouched_and_repeating_changes_nothing(
    rows: list[list[float]], data: st.DataObject
) -> None:
    counts = data.draw(
        st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=len(rows), max_size=len(rows))
    )
    own = [[q if n else 0.0 for q, n in zip(*pair, strict=True)] for pair in zip(rows, counts, strict=True)]
    target = party("chaos", own, counts, [[0.5] * 4] * len(rows), (0, 1, 2, 2), len(rows))
    source = party("scanner", rows, [[30] * 4] * len(rows), [[0.9] * 4] * len(rows), (0, 1, 3, 2), len(rows))
    once = taken(target, source)
    assert has_own_evidence_unchanged(target.table, once)
    assert np.array_equal(taken(replace(target, table=once), source).q, once.q)
    back = taken(replace(target, table=once), source, refused={"scanner": "it did harm"})
    assert np.array_equal(back.q, target.table.q)


def test_impossible_transfers_are_refused() -> None:
    with pytest.raises(LearningError, match="scanner cannot transfer to itself"):
        offer(giver(), giver(), 1)
    with pytest.raises(LearningError, match="chaos does not fit 1 shared states by divisor 1"):
        offer(giver(), receiver(divisor=1), 1)
    with pytest.raises(LearningError, match="minimum_confidence must lie in"):
        TransferSettings(minimum_confidence=2.0)
    with pytest.raises(LearningError, match="transfer factor must lie in"):
        TransferSettings(factor=-1.0)
    wrong = Offer("scanner", np.zeros((1, 1)), np.zeros((1, 1)), 0, 0)
    with pytest.raises(LearningError, match="the offer of scanner must have shape"):
        take_offers(receiver(), {"scanner": wrong}, {})
