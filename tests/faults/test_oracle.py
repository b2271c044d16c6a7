"""The oracle's arithmetic and its other columns, by hand-worked numbers."""

from dataclasses import replace
from typing import Any

from tests.faults.evidence import Chunk, Evidence, Logged, Pair
from tests.faults.journal import HUNG, Call, Journals, Publication, Row
from tests.faults.oracle import Verdict, judge

LONGEST_SECONDS = 60.0


def row(step: int, target: float, learning_rate: float = 0.5) -> Row:
    return Row(
        step=step,
        occurred_us=1_000_000 + step,
        state=3,
        action=1,
        target=target,
        learning_rate=learning_rate,
        reward=1.0,
        next_state=4,
        terminated=False,
        truncated=False,
        propensity=0.5,
        exploration_rate=None,
        success=None,
        policy_version=None,
    )


def logged(call: str, step: int) -> Logged:
    return Logged(call, step, (1_000_000 + step, 3, 1, 1.0, 4, False, False, 0.5, None, None, None))


FIRST = Call("w0.0-0-0", "w0.0", 1, made_at=10.0, rows=(row(0, 10.0),), answered_at=10.1, version=1)
SECOND = Call(
    "w0.0-0-1",
    "w0.0",
    1,
    made_at=10.2,
    rows=(row(0, 0.0), row(1, 20.0, 0.25)),
    answered_at=10.3,
    version=2,
)
JOURNALS = Journals({FIRST.call: FIRST, SECOND.call: SECOND})

# 0 → 5 → 2.5 → 2.5 + 0.25 (20 - 2.5) = 6.875; targets 10, 0, 20: mean 10, squared deviations 0 + 100 + 100.
EVIDENCE = Evidence(
    versions={1: 2},
    flushes=((1, 1), (1, 2)),
    chunks=(
        Chunk(1, 1, (logged(FIRST.call, 0),)),
        Chunk(1, 2, (logged(SECOND.call, 0), logged(SECOND.call, 1))),
    ),
    pairs={(1, 3, 1): Pair(6.875, 3, 10.0, 200.0)},
)


def judged(
    journals: Journals = JOURNALS, evidence: Evidence = EVIDENCE, killed_at: float | None = None
) -> Verdict:
    killed = {} if killed_at is None else {FIRST.writer: killed_at}
    return judge(journals, evidence, killed, LONGEST_SECONDS)


def with_second(**changed: Any) -> Journals:
    return Journals({FIRST.call: FIRST, SECOND.call: replace(SECOND, **changed)})


def test_values_and_statistics_follow_from_the_updates_in_commit_order() -> None:
    verdict = judged()
    assert verdict.is_clean
    assert verdict.acknowledged == 3


def test_a_publication_multiplies_what_was_there_when_it_committed() -> None:
    published = Journals(JOURNALS.calls, (Publication(1, 1, 0.5), Publication(1, 0, 0.5)))
    second = replace(SECOND, version=3)
    evidence = Evidence(
        versions={1: 3},
        flushes=((1, 1), (1, 3)),
        chunks=(EVIDENCE.chunks[0], Chunk(1, 3, EVIDENCE.chunks[1].rows)),
        # 0 → 5, halved 2.5 → 1.25 → 1.25 + 0.25 (20 - 1.25) = 5.9375
        pairs={(1, 3, 1): Pair(5.9375, 3, 10.0, 200.0)},
    )
    calls = {FIRST.call: FIRST, SECOND.call: second}
    assert judged(Journals(calls, published.publications), evidence).is_clean
    assert judged(Journals(calls), evidence).broken == 1, "nobody announced version 2"


def test_an_unanswered_call_that_was_committed_counts_as_settled() -> None:
    verdict = judged(with_second(answered_at=None, version=None), killed_at=11.0)
    assert verdict.is_clean
    assert (verdict.acknowledged, verdict.settled) == (1, 2)


def test_a_call_without_an_answer_is_hanging_unless_its_writer_died_soon() -> None:
    unanswered = with_second(answered_at=None, version=None)
    assert judged(unanswered).hanging == 1
    assert judged(unanswered, killed_at=SECOND.made_at + LONGEST_SECONDS + 1).hanging == 1
    assert judged(unanswered, killed_at=SECOND.made_at + 1).hanging == 0
    assert judged(with_second(version=None, error=HUNG), killed_at=SECOND.made_at + 1).hanging == 1


def test_an_unknown_outcome_may_be_stored_and_a_refusal_may_not() -> None:
    assert judged(with_second(version=None, error="OutcomeUnknownError")).is_clean
    refused = judged(with_second(version=None, error="DatabaseUnavailableError"))
    assert refused.broken == 1
    assert refused.refused == {"DatabaseUnavailableError": 2}


def test_a_refused_call_that_is_not_stored_is_as_promised() -> None:
    evidence = Evidence(
        versions={1: 1},
        flushes=((1, 1),),
        chunks=EVIDENCE.chunks[:1],
        pairs={(1, 3, 1): Pair(5.0, 1, 10.0, 0.0)},
    )
    assert judged(with_second(version=None, error="StaleEpochError"), evidence).is_clean
    assert judged(evidence=evidence).lost == 2


def test_an_error_without_a_name_of_ours_is_a_broken_promise() -> None:
    assert judged(with_second(version=None, error="ConnectionResetError")).broken == 2


def test_a_version_older_than_one_acknowledged_before_is_out_of_order() -> None:
    swapped = Journals({FIRST.call: replace(FIRST, made_at=10.4, answered_at=10.5), SECOND.call: SECOND})
    verdict = judged(swapped)
    assert verdict.broken == 1
    assert "older than one before it" in verdict.findings[0]


def test_a_row_in_two_flushes_is_applied_twice() -> None:
    doubled = replace(
        EVIDENCE,
        versions={1: 3},
        flushes=(*EVIDENCE.flushes, (1, 3)),
        chunks=(*EVIDENCE.chunks, Chunk(1, 3, (logged(FIRST.call, 0),))),
        # 6.875 + 0.5 (10 - 6.875); targets 10, 0, 20, 10
        pairs={(1, 3, 1): Pair(8.4375, 4, 10.0, 200.0)},
    )
    verdict = judged(evidence=doubled)
    assert verdict.twice == 2, "once in the log, once in the count"
    assert verdict.wrong == 1


def test_what_nobody_announced_is_noticed() -> None:
    foreign = replace(EVIDENCE.chunks[1], rows=(*EVIDENCE.chunks[1].rows, logged("w9.0-0-0", 0)))
    verdict = judged(evidence=replace(EVIDENCE, chunks=(EVIDENCE.chunks[0], foreign)))
    assert verdict.broken == 1
    assert judged(evidence=replace(EVIDENCE, inbox=1)).broken == 1


def test_a_pair_nobody_updated_must_be_empty() -> None:
    evidence = replace(EVIDENCE, pairs={**EVIDENCE.pairs, (1, 7, 0): Pair(q=0.1)})
    assert judged(evidence=evidence).wrong == 1


def test_only_the_first_findings_are_put_into_words() -> None:
    pairs = {**EVIDENCE.pairs, **{(1, state, 0): Pair(q=0.1) for state in range(100, 200)}}
    verdict = judged(evidence=replace(EVIDENCE, pairs=pairs))
    assert verdict.wrong == 100
    assert len(verdict.findings) == 20
