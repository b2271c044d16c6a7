"""Records of team learning that cross the store's edge.

What belongs here: plain values. What does not: reading and writing them, and how noise is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qe_core.learning.arrays import BoolArray, Int64Array
from qe_core.learning.team_evidence import TeamEvidence

if TYPE_CHECKING:
    # At run time it would bring the noise's library along, which reading the store does not need.
    from qe_core.privacy.units import AgentSteps
    from qe_core.privacy.wire import ReleaseHeader


class OptOutKind(StrEnum):
    """What does not take part."""

    DEVELOPER = "developer"
    PROJECT = "project"
    AGENT = "agent"
    DATABASE = "database"


class TeamEvent(StrEnum):
    """What the log of team learning tells of."""

    RELEASE = "release"
    PUSH = "push"
    PULL = "pull"
    UNDO = "undo"
    REFUSAL = "refusal"
    WITHDRAWAL = "withdrawal"
    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"
    BUDGET = "budget"
    CONFLICT = "conflict"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody or something that does not take part, or did not for a time.

    Attributes:
        kind: of what.
        subject: a keyed pseudonym, an agent's name, or the word database.
        opted_out_by: who said so.
        opted_out_at: when.
        lifted_by: who took it back; None while it holds.
        lifted_at: when it was taken back.
    """

    kind: OptOutKind
    subject: str
    opted_out_by: str
    opted_out_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReadChunks:
    """Chunks of one agent's log that a release is about to mark.

    Attributes:
        new: numbers of chunks no release has marked, int64[N].
        is_open: which of them hold steps of tasks that have not ended yet, bool[N].
        closed: numbers of chunks marked before, whose last unfinished task ends in this release, int64[K].
    """

    new: Int64Array
    is_open: BoolArray
    closed: Int64Array


@dataclass(frozen=True, slots=True)
class UnreleasedTasks:
    """What has ended since the last release, of everybody who takes part.

    Attributes:
        steps: of each agent asked for, in canonical order; empty where nothing ended.
        chunk_ids: of each agent, what to mark when this is released.
        task_count: tasks, of all agents.
        developer_count: developers they are of; all that is nobody's is one.
        opt_out_generation: the opt-outs this respects.
    """

    steps: "Mapping[str, AgentSteps]" = field(hash=False)
    chunk_ids: Mapping[str, ReadChunks] = field(hash=False)
    task_count: int
    developer_count: int
    opt_out_generation: int


@dataclass(frozen=True, slots=True)
class PreparedRelease:
    """A release with its noise, ready to be debited.

    Attributes:
        header: what leaves besides the counts.
        parts: noisy counts of each agent of the header, encoded.
        chunk_ids: from the `UnreleasedTasks` it is made of.
        opt_out_generation: from the same.
    """

    header: "ReleaseHeader"
    parts: Mapping[str, bytes] = field(hash=False)
    chunk_ids: Mapping[str, ReadChunks] = field(hash=False)
    opt_out_generation: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One debit.

    Attributes:
        entry_number: from 1 without gaps.
        release_id: what it paid for.
        nano_rho: what that cost, billionths of ρ of zCDP.
        spent_nano_rho: what all releases up to it cost together.
        lifetime_nano_rho: what they were allowed to cost together, then.
        debited_at: when.
    """

    entry_number: int
    release_id: UUID
    nano_rho: int
    spent_nano_rho: int
    lifetime_nano_rho: int
    debited_at: datetime

    @property
    def left_nano_rho(self) -> int:
        """What was left after it."""
        return self.lifetime_nano_rho - self.spent_nano_rho


@dataclass(frozen=True, slots=True)
class Committed:
    """A release that is stored and paid for, and waits to be sent.

    Attributes:
        release_id: its number everywhere.
        debit: what it cost.
    """

    release_id: UUID
    debit: LedgerEntry


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release: pending where neither sent nor withdrawn.

    Attributes:
        header: what leaves, or left, besides the counts.
        made_at: when it was made and debited.
        delivery_began_at: from when on it may have arrived.
        sent_at: when the team's server had it.
        withdrawn_at: when it was withdrawn instead.
        withdrawn_because: why.
    """

    header: "ReleaseHeader"
    made_at: datetime
    delivery_began_at: datetime | None
    sent_at: datetime | None
    withdrawn_at: datetime | None
    withdrawn_because: str | None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What became of the releases that were pending.

    Attributes:
        withdrawn: never sent; what they cost stays spent.
        being_sent: on their way at that moment, so they count as sent.
        maybe_sent: withdrawn after an attempt to send them that broke off, so they may have arrived.
    """

    withdrawn: tuple[UUID, ...]
    being_sent: tuple[UUID, ...]
    maybe_sent: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PulledTable:
    """One agent's table as the team's server published it.

    Attributes:
        agent: whose.
        fingerprint: the contract it was learned under.
        version: its number on the server, 1 or more.
        evidence: what it says.
    """

    agent: str
    fingerprint: str
    version: int
    evidence: TeamEvidence


@dataclass(frozen=True, slots=True)
class TeamTable(PulledTable):
    """One agent's table of the team as it is in use here.

    Attributes:
        pull_id: the pull that brought it.
        pulled_at: when.
    """

    pull_id: UUID
    pulled_at: datetime


@dataclass(frozen=True, slots=True)
class TableChange:
    """Which table of the team an agent uses now, and which one before.

    Attributes:
        agent: whose.
        fingerprint: the contract.
        before: its version; None for none.
        after: its version; None for none.
    """

    agent: str
    fingerprint: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class PullRecord:
    """One pull that brought something.

    Attributes:
        pull_id: chosen by who pulled.
        pulled_by: who.
        pulled_at: when.
        undone_by: who undid it; None while it holds.
        undone_at: when it was undone.
        versions: version of each agent's table it brought.
    """

    pull_id: UUID
    pulled_by: str
    pulled_at: datetime
    undone_by: str | None
    undone_at: datetime | None
    versions: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True)
class TeamLogEntry:
    """One line of the log.

    Attributes:
        entry_id: its number, in order.
        kind: what it tells of.
        logged_by: who.
        details: what, by name.
        logged_at: when.
    """

    entry_id: int
    kind: TeamEvent
    logged_by: str
    details: Mapping[str, Any] = field(hash=False)
    logged_at: datetime
