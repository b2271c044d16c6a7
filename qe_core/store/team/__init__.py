"""Team learning in this machine's own database: opt-outs, releases, their price, and what the team sent back.

What belongs here: what must be stored and stay consistent through any failure. What does not: what may leave
and with which noise (`qe_core.privacy`), the team's server (`qe_core.store.central`), pushing and pulling
(`qe_core.runtime.team`).
"""

from qe_core.store.team.ledger import PrivacyLedger
from qe_core.store.team.log import TeamLog
from qe_core.store.team.opt_outs import OptOutStore
from qe_core.store.team.records import (
    Committed,
    LedgerEntry,
    OptOut,
    OptOutKind,
    PreparedRelease,
    PulledTable,
    PullRecord,
    ReadChunks,
    ReleaseRecord,
    TableChange,
    TeamEvent,
    TeamLogEntry,
    TeamTable,
    UnreleasedTasks,
    Withdrawal,
)
from qe_core.store.team.releases import ReleaseStore
from qe_core.store.team.tables import TeamTableStore

__all__ = [
    "Committed",
    "LedgerEntry",
    "OptOut",
    "OptOutKind",
    "OptOutStore",
    "PreparedRelease",
    "PrivacyLedger",
    "PullRecord",
    "PulledTable",
    "ReadChunks",
    "ReleaseRecord",
    "ReleaseStore",
    "TableChange",
    "TeamEvent",
    "TeamLog",
    "TeamLogEntry",
    "TeamTable",
    "TeamTableStore",
    "UnreleasedTasks",
    "Withdrawal",
]
