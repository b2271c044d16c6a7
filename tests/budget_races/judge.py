"""Whether anybody spent too much or sent anything twice, from the raw tables and the processes' own notes.

What belongs here: reading them, comparing. What does not: making them (`contributor`, `races`). Nothing here
calls the product: sums, limits and states are worked out anew.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tests.budget_races.contributor import REWARD_SCALE, digest
from tests.faults.place import ask

Entry = TypeVar("Entry")

_DEBITS = "SELECT release_id::text, nano_rho, debited_at FROM privacy_ledger ORDER BY entry_number"
_RELEASES = """
    SELECT release_id::text, (header ->> 'nano_rho')::bigint, sent_at IS NOT null,
        withdrawn_at IS NOT null, delivery_began_at IS NOT null
    FROM team_releases
"""
_LOG = "SELECT kind, details ->> 'release_id' FROM team_sync_log WHERE kind IN ('release', 'push')"
_STORED = "SELECT release_id::text, agent, part FROM release_parts"
_RECEIVED = "SELECT release_id::text, received_at FROM team.releases"
_RECEIVED_PARTS = "SELECT release_id::text, agent, part FROM team.contributions"
_FINISHED = f"""
    SELECT DISTINCT round(single.reward * {REWARD_SCALE})::int
    FROM experience_chunks, unnest(reward, terminated) AS single (reward, terminated)
    WHERE single.terminated
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the local database has it.

    Attributes:
        nano_rho: its cost by its own header.
        is_sent: marked as sent.
        is_withdrawn: marked as withdrawn.
        may_have_arrived: whether sending it was ever begun.
    """

    nano_rho: int
    is_sent: bool = False
    is_withdrawn: bool = False
    may_have_arrived: bool = False

    @property
    def counts(self) -> bool:
        """Whether its tasks are spoken for: it is at the server, may be, or will be."""
        return not self.is_withdrawn or self.may_have_arrived


@dataclass(frozen=True, slots=True)
class Evidence:
    """All there is to judge by; releases go by their numbers as text.

    Attributes:
        lifetime_nano_rho: the limit all processes were given.
        debits: release, cost and time of every debit, in the ledger's order.
        releases: in the local database.
        logged: lines of the log about releases made.
        pushed: lines of the log about releases sent.
        received: at the server, and when.
        digests: every digest seen of a release: when made, stored, handed in, and at the server.
        made_of: the tasks a release is made of, by the note of who made it.
        finished: tasks that ended, by their numbers.
        waiting: tasks that would be in the next release.
    """

    lifetime_nano_rho: int
    debits: list[tuple[str, int, datetime]]
    releases: Mapping[str, Release]
    logged: Counter[str]
    pushed: Counter[str]
    received: Mapping[str, datetime]
    digests: Mapping[str, set[str]]
    made_of: Mapping[str, frozenset[int]]
    finished: frozenset[int]
    waiting: frozenset[int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; from ``overspent`` on every count is to be 0.

    Attributes:
        releases: made and paid for.
        received: of them by the server.
        withdrawn: of them.
        tasks_released: tasks in them.
        overspent: debits after which more was spent than is allowed.
        unpaid: releases without exactly one debit of their cost, and debits without release.
        published_unpaid: at the server without a debit, or before it.
        unlogged: releases the log tells of more than once, not at all, or without there being one.
        sent_twice: tasks in two releases that the server has or may get.
        noise_changed: releases of which different counts were seen.
        lost: marked as sent and not at the server; or a task that ended and is nowhere.
    """

    releases: int
    received: int
    withdrawn: int
    tasks_released: int
    overspent: int
    unpaid: int
    published_unpaid: int
    unlogged: int
    sent_twice: int
    noise_changed: int
    lost: int

    @property
    def faults(self) -> dict[str, int]:
        """Return what is wrong, by name."""
        counts = [field.name for field in fields(self)]
        found = {name: getattr(self, name) for name in counts[counts.index("overspent") :]}
        return {name: count for name, count in found.items() if count}


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict."""
    spent, overspent = 0, 0
    for _, cost, _ in evidence.debits:
        spent += cost
        overspent += spent > evidence.lifetime_nano_rho
    paid = Counter((release, cost) for release, cost, _ in evidence.debits)
    owed = Counter((number, release.nano_rho) for number, release in evidence.releases.items())
    debited_at = {release: at for release, _, at in evidence.debits}
    known = Counter(evidence.releases.keys())
    sent = Counter(number for number, release in evidence.releases.items() if release.is_sent)
    counting = [number for number, release in evidence.releases.items() if release.counts]
    counting += [number for number in evidence.received if number not in evidence.releases]
    spoken_for = Counter(task for number in counting for task in evidence.made_of[number])
    nowhere = evidence.finished - spoken_for.keys() - evidence.waiting
    return Verdict(
        releases=len(evidence.releases),
        received=len(evidence.received),
        withdrawn=sum(release.is_withdrawn for release in evidence.releases.values()),
        tasks_released=len(spoken_for),
        overspent=overspent,
        unpaid=_difference(paid, owed),
        published_unpaid=sum(
            number not in debited_at or at < debited_at[number] for number, at in evidence.received.items()
        ),
        unlogged=_difference(evidence.logged, known) + _difference(evidence.pushed, sent),
        sent_twice=sum(count > 1 for count in spoken_for.values()),
        noise_changed=sum(len(found) > 1 for found in evidence.digests.values()),
        lost=len(sent.keys() - evidence.received.keys()) + len(nowhere),
    )


def collect(
    url: str, central_url: str, folder: Path, lifetime_nano_rho: int, waiting: Iterable[int]
) -> Evidence:
    """Return the evidence of a race that is over.

    Args:
        url: of the local database.
        central_url: of the server's database, by its owner.
        folder: with the processes' notes.
        lifetime_nano_rho: the limit they were given.
        waiting: tasks that would be in the next release.
    """
    digests: defaultdict[str, set[str]] = defaultdict(set)
    made_of: dict[str, frozenset[int]] = {}
    for words in notes(folder):
        match words:
            case ["made", release, found, *tasks]:
                digests[release].add(found)
                made_of[release] = frozenset(map(int, tasks))
            case ["submitting", release, found]:
                digests[release].add(found)
    for place, statement in ((url, _STORED), (central_url, _RECEIVED_PARTS)):
        parts: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        for release, agent, part in ask(place, statement):
            parts[release][agent] = bytes(part)
        for release, found in parts.items():
            digests[release].add(digest(found))
    log = ask(url, _LOG)
    return Evidence(
        lifetime_nano_rho,
        debits=[(release, cost, at) for release, cost, at in ask(url, _DEBITS)],
        releases={number: Release(*rest) for number, *rest in ask(url, _RELEASES)},
        logged=Counter(release for kind, release in log if kind == "release"),
        pushed=Counter(release for kind, release in log if kind == "push"),
        received=dict(ask(central_url, _RECEIVED)),
        digests=digests,
        made_of=made_of,
        finished=frozenset(number for (number,) in ask(url, _FINISHED)),
        waiting=frozenset(waiting),
    )


def notes(folder: Path) -> list[list[str]]:
    """Return the words of every line that processes noted."""
    texts = [path.read_text() for path in sorted(folder.glob("*.notes"))]
    return [line.split() for text in texts for line in text.splitlines()]


def _difference(left: Counter[Entry], right: Counter[Entry]) -> int:
    """Return how many entries one has more than the other, either way."""
    return sum(((left - right) + (right - left)).values())
