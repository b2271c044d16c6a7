"""What crosses the line to the team's database.

What belongs here: frozen records. What does not: asking for them (`server`, `curation`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.wire import ReleaseHeader


@dataclass(frozen=True, slots=True)
class TeamInfo:
    """What a team's server says about itself.

    Attributes:
        protocol: of its functions.
        name: the team's, for people.
        members: how many can contribute.
        agents: the fingerprint of the contract under which it learns about each agent.
    """

    protocol: int
    name: str
    members: int
    agents: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server has a release.

    Attributes:
        release_id: which.
        is_new: False where it had it already.
    """

    release_id: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """What the team knows about one agent.

    Attributes:
        agent: whose.
        fingerprint: of the contract it is for.
        version: counts from 1.
        table: the values and what stands behind them.
        contributors: how many it rests on.
        published_at: when.
    """

    agent: str
    fingerprint: str
    version: int
    table: TeamEvidence
    contributors: int
    published_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who contributes.

    Attributes:
        member_id: key.
        name: as invited.
        is_active: False once revoked.
        invited_at: when last.
        last_submitted_at: when something new last came.
        releases: how many came.
        bytes: their size.
    """

    member_id: int
    name: str
    is_active: bool
    invited_at: datetime
    last_submitted_at: datetime | None
    releases: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredContribution:
    """The part of one release that is about one agent; nothing in it was verified beyond its form.

    Attributes:
        release_id: the release.
        member: the number of whose login sent it.
        header: as sent, JSON.
        part: as sent.
    """

    release_id: UUID
    member: int
    header: str
    part: bytes

    def read_header(self) -> ReleaseHeader:
        """Return the header, checked.

        Raises:
            pydantic.ValidationError: it is none.
        """
        return ReleaseHeader.model_validate_json(self.header)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A contribution that no build uses.

    Attributes:
        release_id: the release.
        agent: whose part of it.
        why: in words.
        set_aside_at: when.
    """

    release_id: UUID
    agent: str
    why: str
    set_aside_at: datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """A table that was published.

    Attributes:
        agent: whose.
        version: counts from 1.
        fingerprint: of the contract.
        contributors: how many it rests on.
        lineage: the releases it rests on and the settings it was built with; no names.
        published_at: when.
    """

    agent: str
    version: int
    fingerprint: str
    contributors: int
    lineage: Mapping[str, Any] = field(hash=False)
    published_at: datetime


@dataclass(frozen=True, slots=True)
class CuratorEntry:
    """One thing the curator did.

    Attributes:
        entry_id: key, in order.
        kind: what.
        by: who.
        details: with what, JSON values.
        happened_at: when.
    """

    entry_id: int
    kind: str
    by: str
    details: Mapping[str, Any] = field(hash=False)
    happened_at: datetime
