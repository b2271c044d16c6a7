"""What was shared with a team, at what price, and what the team knows: figures for people.

What belongs here: gathering from the store. What does not: showing (`report`), sharing (`team`). Nothing here
asks the team's server, or depends on the clock.
"""

from dataclasses import dataclass

from qe_core.config import Settings
from qe_core.fleet.registry import Registry
from qe_core.privacy.accounting import epsilon_of
from qe_core.store import Store
from qe_core.store.team import OptOut, ReleaseRecord, TeamLogEntry, TeamTable

SHOWN_ENTRIES = 12
"""Newest lines of the log of team learning that are shown."""


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """How this database stands with its team.

    Attributes:
        is_sharing: whether it takes part.
        protected_unit: what the guarantee protects.
        privacy_delta: chance outside of which it holds.
        spent_epsilon: of all releases together, as if the same unit came back in each.
        lifetime_epsilon: what that may come to.
        releases: the newest first.
        opt_outs: those that hold.
        tables: the team's tables in use, in the order of the registry.
        entries: the newest lines of the log.
    """

    is_sharing: bool
    protected_unit: str
    privacy_delta: float
    spent_epsilon: float
    lifetime_epsilon: float
    releases: tuple[ReleaseRecord, ...]
    opt_outs: tuple[OptOut, ...]
    tables: tuple[TeamTable, ...]
    entries: tuple[TeamLogEntry, ...]

    @property
    def has_begun(self) -> bool:
        """Whether anything ever passed between this database and a team, or was kept from it."""
        return bool(self.releases or self.tables or self.opt_outs)


async def team_figures(store: Store, fleet: Registry, settings: Settings) -> TeamFigures:
    """Return what is stored about team learning.

    Args:
        store: where from.
        fleet: whose tables.
        settings: the terms in force.
    """
    rules = settings.team
    spent = await store.privacy_ledger.spent_nano_rho()
    held = [await store.team_tables.current(one.name, one.fingerprint) for one in fleet]
    return TeamFigures(
        is_sharing=rules.is_sharing,
        protected_unit=rules.protected_unit,
        privacy_delta=rules.privacy_delta,
        spent_epsilon=epsilon_of(spent, rules.privacy_delta) if spent else 0.0,
        lifetime_epsilon=rules.privacy_epsilon_lifetime,
        releases=tuple(reversed(await store.releases.all())),
        opt_outs=await store.opt_outs.list(),
        tables=tuple(table for table in held if table is not None),
        entries=tuple(await store.team_log.entries(SHOWN_ENTRIES)),
    )
