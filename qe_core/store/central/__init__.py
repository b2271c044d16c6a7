"""The team's own database: what members may do there, and what its curator does.

What belongs here: talking to the schema ``team``. What does not: the local side of sharing (the other modules
of the store), what contributions mean (`qe_core.privacy`) and building tables of them
(`qe_core.runtime.team.building`).
"""

from qe_core.store.central.curation import TeamCuration
from qe_core.store.central.records import (
    CuratorEntry,
    Member,
    Publication,
    PublishedTable,
    Receipt,
    SetAside,
    StoredContribution,
    TeamInfo,
)
from qe_core.store.central.server import TeamServer

__all__ = [
    "CuratorEntry",
    "Member",
    "Publication",
    "PublishedTable",
    "Receipt",
    "SetAside",
    "StoredContribution",
    "TeamCuration",
    "TeamInfo",
    "TeamServer",
]
