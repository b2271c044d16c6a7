"""The independent judge: what a database should hold by the journals, compared with what it holds.

What belongs here: plain arithmetic in commit order, and counting what differs. What does not: anything of the
product, which is what is judged; reading (`journal`, `evidence`).

Commit order is the version a flush raised its table to, inside a flush the order of its experiences. An
acknowledged call must be in the log, whole, once, at the version it was acknowledged with; one whose outcome
was unknown may be; one that was refused must not. From the calls found there every value, count, mean and
deviation is computed anew: q ← q + α·(t - q) one by one (Sutton & Barto 6.1), mean and squared deviations in
two passes over all targets.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.faults.evidence import Chunk, Evidence, Pair
from tests.faults.journal import HUNG, Call, Journals, Row

OUTCOME_UNKNOWN = "OutcomeUnknownError"
"""The one error after which a record may or may not be stored."""

NAMED = (OUTCOME_UNKNOWN, "DatabaseUnavailableError", "QueueFullError", "StaleEpochError")
"""What a valid record may be answered with when things break; anything else is a fault of its own."""

Q_TOLERANCE = 1e-9
STATISTICS_TOLERANCE = 1e-9
"""Absolute for values in points; relative for means and deviations (absolute where they are about 0)."""

_SHOWN = 20


@dataclass(slots=True)
class Verdict:
    """What was found; every number from ``lost`` to ``broken`` must be 0.

    Attributes:
        acknowledged: updates whose callers were told that they are durable.
        settled: updates found committed although their callers were not told so.
        lost: acknowledged and absent from the log, or in the log and missing in a table's count.
        twice: more than once in the log, or counted more often than they are in the log.
        hanging: calls that neither returned nor raised in their time.
        wrong: pairs whose value, mean or squared deviations differ.
        broken: other broken promises: refused yet stored, stored in part, changed, out of order.
        refused: updates refused, by error.
        findings: the first of what is wrong, in words.
    """

    acknowledged: int = 0
    settled: int = 0
    lost: int = 0
    twice: int = 0
    hanging: int = 0
    wrong: int = 0
    broken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.twice or self.hanging or self.wrong or self.broken)

    def add(self, column: str, count: int, finding: str) -> None:
        """Count something that is wrong.

        Args:
            column: one of the columns that must be 0.
            count: how many.
            finding: which, in words.
        """
        setattr(self, column, getattr(self, column) + count)
        if len(self.findings) < _SHOWN:
            self.findings.append(f"{column}: {finding}")


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a row of a call was found."""

    q_table_id: int | None
    version: int | None
    columns: tuple[object, ...]


def judge(
    journals: Journals, evidence: Evidence, killed: Mapping[str, float], longest_seconds: float
) -> Verdict:
    """Return what is wrong with a database after a run.

    Args:
        journals: of every writer that took part.
        evidence: the database, when nobody writes to it any more.
        killed: when each writer that was killed died, by name, seconds of the monotonic clock.
        longest_seconds: the longest any call may take to be answered, all settings considered.
    """
    verdict = Verdict()
    placed = _placed(evidence)
    for call in journals.calls.values():
        _judge_answer(call, killed, longest_seconds, verdict)
        _judge_storage(call, placed, verdict)
    _judge_log(journals, evidence, verdict)
    _judge_versions(journals, evidence, verdict)
    _judge_order(journals, verdict)
    expected = _expected(journals, evidence, verdict)
    _compare(expected, evidence.pairs, verdict)
    if evidence.inbox:
        verdict.add("broken", evidence.inbox, f"{evidence.inbox} rows lie in the inbox")
    return verdict


def _placed(evidence: Evidence) -> dict[str, dict[int, list[_Placed]]]:
    found: dict[str, dict[int, list[_Placed]]] = defaultdict(lambda: defaultdict(list))
    for chunk in evidence.chunks:
        for row in chunk.rows:
            found[row.episode][row.step].append(_Placed(chunk.q_table_id, chunk.version, row.columns))
    return found


def _judge_answer(call: Call, killed: Mapping[str, float], longest_seconds: float, verdict: Verdict) -> None:
    if call.is_acknowledged:
        verdict.acknowledged += len(call.rows)
    elif call.error is not None and call.error != HUNG:
        verdict.refused[call.error] += len(call.rows)
        if call.error not in NAMED:
            verdict.add("broken", 1, f"call {call.call} was answered with {call.error}")
    died_at = killed.get(call.writer, math.inf)
    is_unanswered = call.answered_at is None and died_at - call.made_at > longest_seconds
    if is_unanswered or call.error == HUNG:
        verdict.add("hanging", 1, f"call {call.call} was not answered")


def _judge_storage(call: Call, placed: Mapping[str, Mapping[int, list[_Placed]]], verdict: Verdict) -> None:
    rows = placed.get(call.call, {})
    stored = sum(1 for row in call.rows if row.step in rows)
    absent = len(call.rows) - stored
    if call.is_acknowledged and absent:
        verdict.add("lost", absent, f"{absent} of {len(call.rows)} updates of call {call.call}")
    elif stored and absent:
        verdict.add("broken", 1, f"call {call.call} is stored in part: {stored} of {len(call.rows)}")
    elif stored and call.error not in (None, HUNG, OUTCOME_UNKNOWN):
        verdict.add("broken", 1, f"call {call.call} is stored though it raised {call.error}")
    if not call.is_acknowledged:
        verdict.settled += stored
    versions = {place.version for places in rows.values() for place in places}
    if stored and (len(versions) > 1 or (call.is_acknowledged and versions != {call.version})):
        verdict.add("broken", 1, f"call {call.call} lies at versions {versions}, acknowledged {call.version}")
    for row in call.rows:
        places = rows.get(row.step, [])
        if len(places) > 1:
            verdict.add("twice", len(places) - 1, f"step {row.step} of call {call.call} in the log")
        for place in places:
            if place.q_table_id != call.q_table_id or place.columns != _logged_columns(row):
                verdict.add("broken", 1, f"step {row.step} of call {call.call} was changed: {place}")


def _logged_columns(row: Row) -> tuple[object, ...]:
    return (
        *(row.occurred_us, row.state, row.action, row.reward, row.next_state, row.terminated),
        *(row.truncated, row.propensity, row.exploration_rate, row.success, row.policy_version),
    )


def _judge_log(journals: Journals, evidence: Evidence, verdict: Verdict) -> None:
    """Rows of the log that nobody announced."""
    for chunk in evidence.chunks:
        for row in chunk.rows:
            call = journals.calls.get(row.episode)
            if call is None or call.row(row.step) is None:
                verdict.add("broken", 1, f"nobody announced {row.episode} step {row.step}")


def _judge_versions(journals: Journals, evidence: Evidence, verdict: Verdict) -> None:
    """Versions that are not explained by exactly one flush or publication."""
    ledger = Counter(evidence.flushes)
    flushed = Counter((chunk.q_table_id, chunk.version) for chunk in evidence.chunks)
    for key, count in ledger.items():
        if count != 1 or flushed[key] != 1:
            verdict.add(
                "broken", 1, f"version {key} has {count} flushes in the ledger, {flushed[key]} in the log"
            )
    for unknown in flushed.keys() - ledger.keys():
        verdict.add("broken", 1, f"version {unknown} of the log is not in the ledger")
    published = {(of.q_table_id, of.expected_version + 1) for of in journals.publications}
    for table, last in evidence.versions.items():
        for version in range(1, last + 1):
            key = (table, version)
            if ledger[key] == 0 and key not in published:
                verdict.add("broken", 1, f"nobody announced version {version} of table {table}")
    for table, version in ledger:
        if version > evidence.versions.get(table, 0):
            verdict.add("broken", 1, f"version {version} is ahead of table {table}")


def _judge_order(journals: Journals, verdict: Verdict) -> None:
    """What is recorded after an acknowledgement was received gets a later version."""
    events: list[tuple[float, int, Call]] = []
    for call in journals.calls.values():
        if call.is_acknowledged and not call.is_repeated and call.answered_at is not None:
            events += [(call.made_at, 0, call), (call.answered_at, 1, call)]
    newest: dict[int, int] = defaultdict(int)
    before: dict[str, int] = {}
    for _, is_answer, call in sorted(events, key=lambda event: event[:2]):
        version = call.version or 0
        if not is_answer:
            before[call.call] = newest[call.q_table_id]
            continue
        if version <= before[call.call]:
            verdict.add("broken", 1, f"call {call.call} got version {version}, older than one before it")
        newest[call.q_table_id] = max(newest[call.q_table_id], version)


def _expected(journals: Journals, evidence: Evidence, verdict: Verdict) -> dict[tuple[int, int, int], Pair]:
    """Return what each pair should hold: one update after another, in commit order."""
    q: dict[tuple[int, int, int], float] = defaultdict(float)
    targets: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    factors = {(of.q_table_id, of.expected_version + 1): of.factor for of in journals.publications}
    chunks: dict[tuple[int | None, int | None], list[Chunk]] = defaultdict(list)
    for chunk in evidence.chunks:
        chunks[chunk.q_table_id, chunk.version].append(chunk)
    applied: set[tuple[str, int]] = set()
    for table, last in sorted(evidence.versions.items()):
        for version in range(1, last + 1):
            found = chunks.get((table, version), [])
            if not found and (table, version) in factors:
                for key in [key for key in q if key[0] == table]:
                    q[key] *= factors[table, version]
            for row in _rows_of(found, journals):
                if row[:2] in applied:
                    continue
                applied.add(row[:2])
                key = (table, row[2].state, row[2].action)
                q[key] = q[key] + row[2].learning_rate * (row[2].target - q[key])
                targets[key].append(row[2].target)
    return {key: Pair(q[key], len(of), *_moments(of)) for key, of in targets.items()}


def _rows_of(chunks: list[Chunk], journals: Journals) -> Iterator[tuple[str, int, Row]]:
    for chunk in chunks:
        for logged in chunk.rows:
            call = journals.calls.get(logged.episode)
            row = None if call is None else call.row(logged.step)
            if row is not None:
                yield logged.episode, logged.step, row


def _moments(targets: list[float]) -> tuple[float, float]:
    mean = math.fsum(targets) / len(targets)
    return mean, math.fsum((target - mean) ** 2 for target in targets)


def _compare(
    expected: Mapping[tuple[int, int, int], Pair],
    stored: Mapping[tuple[int, int, int], Pair],
    verdict: Verdict,
) -> None:
    for key in sorted(expected.keys() | stored.keys()):
        should, found = expected.get(key, Pair()), stored.get(key, Pair())
        if found.visits < should.visits:
            missing = should.visits - found.visits
            verdict.add("lost", missing, f"pair {key} counts {found.visits} of {should.visits} updates")
        if found.visits > should.visits:
            verdict.add("twice", found.visits - should.visits, f"pair {key} counts {found.visits}")
        is_right = (
            abs(found.q - should.q) <= Q_TOLERANCE
            and _is_close(found.mean, should.mean)
            and _is_close(found.m2, should.m2)
        )
        if not is_right:
            verdict.add("wrong", 1, f"pair {key} holds {found}, should hold {should}")


def _is_close(found: float, should: float) -> bool:
    return math.isclose(found, should, rel_tol=STATISTICS_TOLERANCE, abs_tol=STATISTICS_TOLERANCE)
