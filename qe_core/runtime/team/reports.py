"""What pushing, pulling and opting out did, and how things stand, as values with words for people.

What belongs here: plain reports. What does not: how they come about (`privacy_manager`, `coordinator`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from qe_core.config.team import TeamSettings
from qe_core.privacy.mechanism import NoiseScales
from qe_core.store.team import OptOut, PullRecord, ReleaseRecord, TableChange, TeamLogEntry


class Preparation(StrEnum):
    """What came of the wish to make a release."""

    RELEASED = "released"
    NOTHING_NEW = "nothing new"
    WAITING = "waiting"
    REFUSED = "refused"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of one attempt to make a release.

    Attributes:
        outcome: whether there is one.
        words: what happened and why, a sentence.
        task_count: finished tasks it is about, or that wait.
        release_id: of the release; None where there is none.
        privacy_epsilon: what all releases of this database have cost together, including this one.
    """

    outcome: Preparation
    words: str
    task_count: int = 0
    release_id: UUID | None = None
    privacy_epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class PushReport:
    """What one push did.

    Attributes:
        prepared: what became of new tasks.
        sent: releases the server has now and had not before.
        known: releases the server had already; only their mark was missing here.
        pending: how many are left to send.
        trouble: why they are left; empty otherwise.
    """

    prepared: Prepared
    sent: tuple[UUID, ...] = ()
    known: tuple[UUID, ...] = ()
    pending: int = 0
    trouble: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether something was asked for that will not happen by itself."""
        return self.prepared.outcome is Preparation.REFUSED

    @property
    def words(self) -> str:
        """What happened, in sentences."""
        parts = [self.prepared.words] if self.prepared.words else []
        if delivered := len(self.sent) + len(self.known):
            parts.append(f"{delivered} release{'s' * (delivered > 1)} delivered to the team's server")
        if self.trouble:
            parts.append(self.trouble)
        if self.pending:
            parts.append(f"{self.pending} wait{'s' * (self.pending == 1)} to be sent with the next push")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class RebuiltAgent:
    """What a change of the team's table made of one agent's own.

    Attributes:
        agent: whose.
        team_version: the team's table that is merged now; 0 for none.
        taken: pairs without own visits that hold the team's value.
        merged: pairs whose value is a mean of both.
        kept: pairs with own visits that the team has nothing to add to.
        conflicts: pairs about which both contradict each other; the log has both sides' figures.
    """

    agent: str
    team_version: int
    taken: int = 0
    merged: int = 0
    kept: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class PullReport:
    """What one pull, or taking one back, did.

    Attributes:
        changes: which agent uses another table of the team than before.
        rebuilt: the agents' own tables that were built anew; more than those of ``changes`` where an earlier
            pull had been interrupted.
        ignored: agents whose table on the server belongs to another contract than they have here.
        trouble: why the server could not be asked; empty otherwise.
    """

    changes: tuple[TableChange, ...] = ()
    rebuilt: tuple[RebuiltAgent, ...] = ()
    ignored: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class OptOutReport:
    """What an opt-out did at once.

    Attributes:
        opt_out: what holds from now on.
        withdrawn: releases that waited to be sent and never will be.
        being_sent: releases that were on their way at that moment and count as sent.
        maybe_sent: withdrawn releases whose delivery had broken off before; the team may have them.
        sent_before: releases the team had before; they cannot be recalled.
    """

    opt_out: OptOut
    withdrawn: tuple[UUID, ...]
    being_sent: tuple[UUID, ...]
    maybe_sent: tuple[UUID, ...]
    sent_before: int


@dataclass(frozen=True, slots=True)
class PrivacyStatus:
    """What was given away, what is left, and what may leave next.

    Attributes:
        rules: the settings in force.
        pairs: pairs of one protected unit that count in a release.
        spent_epsilon: lost over all releases so far, as if the same unit had been in each.
        next_epsilon: the same after one more release.
        releases_left: how many more the lifetime budget holds.
        pending: releases that wait to be sent.
        sent: releases the team has.
        opt_outs: those that hold.
        task_count: finished tasks that wait.
        scales: standard deviations of the noise on each cell of a release.
        next_words: what the next push would do.
    """

    rules: TeamSettings
    pairs: int
    spent_epsilon: float
    next_epsilon: float
    releases_left: int
    pending: tuple[ReleaseRecord, ...]
    sent: tuple[ReleaseRecord, ...]
    opt_outs: tuple[OptOut, ...]
    task_count: int
    scales: NoiseScales
    next_words: str


@dataclass(frozen=True, slots=True)
class AuditedRelease:
    """One release as ledger and log of releases tell of it.

    Attributes:
        release_id: which.
        made_at: when it was made and paid for.
        nano_rho: what it cost, billionths of ρ.
        spent_epsilon: what all releases up to it cost together.
        state: pending, sent or withdrawn, and why.
    """

    release_id: UUID
    made_at: datetime
    nano_rho: int
    spent_epsilon: float
    state: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that left or was to leave, its price, and whether that adds up.

    Attributes:
        releases: all, the oldest first.
        spent_epsilon: lost over all of them.
        lifetime_epsilon: what they may cost together now.
        faults: in what ledger and releases contradict each other; empty if they agree.
        log: what passed between this database and its team, the newest first.
    """

    releases: tuple[AuditedRelease, ...]
    spent_epsilon: float
    lifetime_epsilon: float
    faults: tuple[str, ...]
    log: tuple[TeamLogEntry, ...]


@dataclass(frozen=True, slots=True)
class HeldTable:
    """One agent's table of the team, here and on the server.

    Attributes:
        agent: whose.
        version: in use here; 0 for none.
        known_pairs: pairs it knows anything about.
        newer: the newest version on the server; None where it is the one in use, or nobody could be asked.
        is_merged: whether the agent's own table was built with it.
    """

    agent: str
    version: int
    known_pairs: int
    newer: int | None
    is_merged: bool


@dataclass(frozen=True, slots=True)
class TeamStatus:
    """How this database stands with its team.

    Attributes:
        is_sharing: whether it takes part.
        server: where the team's server is, without the password; None where none is named.
        members: contributors the server knows; None where it could not be asked.
        trouble: why it could not be asked; empty otherwise.
        pending: releases that wait to be sent.
        sent: releases the team has.
        task_count: finished tasks that wait for a release.
        tables: what is held of each agent.
        pulls: pulls so far, the newest first.
    """

    is_sharing: bool
    server: str | None
    members: int | None
    trouble: str
    pending: int
    sent: int
    task_count: int
    tables: tuple[HeldTable, ...] = field(default=())
    pulls: tuple[PullRecord, ...] = field(default=())
