"""TeamLearningCoordinator: sends what is released, brings what the team knows, and takes that back.

What belongs here: the order of the steps, and what happens when the server is away or a step was cut off.
What does not: what may leave (`privacy_manager`), what a pulled table does to an agent's own
(`qe_core.runtime.rebuilding`), the server's own work (`building`).

Every step is one transaction somewhere, and every call completes what an earlier one left: a release that was
paid for is sent with the noise it has, a table that was pulled is merged. Nothing is done twice, because the
server knows releases by their number, and a table says which of the team's it was built with (ADR 0111).
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Self
from uuid import UUID, uuid4

from qe_core.config import Settings, configured_team_url
from qe_core.errors import ContributionError, DatabaseUnavailableError, PrivacyError
from qe_core.fleet import AgentContract, registry
from qe_core.fleet.registry import Registry
from qe_core.hierarchy.merging import Merged
from qe_core.privacy.pseudonyms import Pseudonyms
from qe_core.runtime.identity import process_pseudonyms
from qe_core.runtime.rebuilding import rebuild_with_team, team_version
from qe_core.runtime.table_declarations import individual_table, load_tables
from qe_core.runtime.team.privacy_manager import PrivacyManager, Progress, silent
from qe_core.runtime.team.reports import (
    HeldTable,
    Preparation,
    Prepared,
    PullReport,
    PushReport,
    RebuiltAgent,
    TeamStatus,
)
from qe_core.store import Store, StoredTable
from qe_core.store.central import PublishedTable, TeamServer
from qe_core.store.errors import TeamError
from qe_core.store.team import PulledTable, TableChange, TeamEvent
from qe_core.store.urls import shown

CONFLICTS_LOGGED = 100
"""Conflicts of one agent that the log names one by one; beyond, only how many there are."""


class TeamLearningCoordinator:
    """Learns together with a team, from one contributor's database.

    Args:
        store: the contributor's own database.
        settings: whether and how it takes part.
        pseudonyms: by the key of this machine.
        server_url: the team's server with this contributor's login; None where none is named.
        by: who acts, for the log.
        clock: tells the present, aware.
        fleet: whose agents; None for everybody registered.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        pseudonyms: Pseudonyms,
        server_url: str | None,
        *,
        by: str = "somebody",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        fleet: Registry | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._server_url = server_url
        self._by = by
        self._fleet = registry() if fleet is None else fleet
        self.privacy = PrivacyManager(store, settings, pseudonyms, by=by, clock=clock, fleet=fleet)

    @classmethod
    def of(cls, store: Store, settings: Settings, *, by: str) -> Self:
        """Return the coordinator of this process: with its key, and the server it names.

        Raises:
            ConfigError: the key or the file with the server's address cannot be read.
        """
        return cls(store, settings, process_pseudonyms(), configured_team_url(), by=by)

    async def push_to_central(self, progress: Progress = silent) -> PushReport:
        """Send what waits, release what is new, and send that.

        With the server away nothing new is released: a later release covers more tasks at the same price.
        Pushing again without new tasks changes nothing anywhere.

        Args:
            progress: told how far the noise of a release is.

        Raises:
            PrivacyError: sharing is off, or no server is named.
            DatabaseUnavailableError: the contributor's own database is away.
        """
        url = await self._agreed_url()
        prepared = Prepared(Preparation.NOT_TRIED, "")
        sent: list[UUID] = []
        known: list[UUID] = []
        trouble = ""
        try:
            contributors = await self._deliver(url, sent, known)
            prepared = await self.privacy.prepare_release(contributors, progress)
            if prepared.outcome is Preparation.RELEASED:
                await self._deliver(url, sent, known)
        except DatabaseUnavailableError as error:
            trouble = await self._away(error)
        except (ContributionError, TeamError) as error:
            trouble = f"the team's server refuses: {error}"
            await self.privacy.refused(trouble)
        pending = len(await self._store.releases.pending())
        return PushReport(prepared, tuple(sent), tuple(known), pending, trouble)

    async def sync_from_central(self, *, again: bool = False) -> PullReport:
        """Bring the team's newest tables and merge them into the agents' own.

        Own evidence is never changed. Cut off between bringing and merging, the next call merges what was
        brought, also with the server away.

        Args:
            again: bring tables too that were brought before and taken back.

        Raises:
            PrivacyError: sharing is off, or no server is named.
            VersionConflictError: live writers were faster than the merge every time; call again.
            DatabaseUnavailableError: the contributor's own database is away.
        """
        url = await self._agreed_url()
        changes: tuple[TableChange, ...] = ()
        ignored: tuple[str, ...] = ()
        trouble = ""
        try:
            async with TeamServer.connect(url) as server:
                published = await server.newest(await self._held(again))
        except DatabaseUnavailableError as error:
            trouble = await self._away(error)
        except TeamError as error:
            trouble = f"the team's server refuses: {error}"
            await self.privacy.refused(trouble)
        else:
            fitting = [
                PulledTable(table.agent, table.fingerprint, table.version, table.table)
                for table in published
                if self._fits(table)
            ]
            ignored = tuple(table.agent for table in published if not self._fits(table))
            if fitting:
                changes = tuple(await self._store.team_tables.save(uuid4(), fitting, by=self._by))
        return PullReport(changes, await self.merge_pulled(), ignored, trouble)

    async def undo_pull(self, pull_id: UUID | None = None) -> PullReport:
        """Take a pull back: the tables in use before it are, and the agents' own are built with them again.

        What was taken back is not brought again until the team publishes something newer, or somebody asks
        for it. Works with the server away and with sharing off.

        Args:
            pull_id: which; the newest that holds by default.

        Raises:
            StoreError: there is none to undo.
        """
        changes = await self._store.team_tables.undo(pull_id, by=self._by)
        return PullReport(tuple(changes), await self.merge_pulled())

    async def merge_pulled(self) -> tuple[RebuiltAgent, ...]:
        """Build every agent's own table anew that was not built with the team's table in use."""
        rebuilt = []
        for contract, stored, version in await self._tables():
            if version == team_version(stored):
                continue
            merged = (await rebuild_with_team(self._store, contract, self._settings)).merged
            await self._tell_conflicts(contract.name, version, merged)
            rebuilt.append(_rebuilt(contract.name, version, merged))
        return tuple(rebuilt)

    async def status(self) -> TeamStatus:
        """Return how this database stands with its team; the server is asked where sharing is on."""
        members, newest, trouble = None, dict[str, int](), ""
        if self._settings.team.is_sharing and self._server_url is not None:
            try:
                async with TeamServer.connect(self._server_url) as server:
                    members = (await server.hello()).members
                    newest = {table.agent: table.version for table in await server.newest({})}
            except (DatabaseUnavailableError, TeamError) as error:
                trouble = str(error)
        tables = []
        for contract, stored, version in await self._tables():
            current = await self._store.team_tables.current(contract.name, contract.fingerprint)
            offered = newest.get(contract.name, version)
            tables.append(
                HeldTable(
                    contract.name,
                    version,
                    0 if current is None else current.evidence.known_count,
                    offered if offered != version else None,
                    version == team_version(stored),
                )
            )
        releases = self._store.releases
        tasks = await self.privacy.finished_tasks()
        return TeamStatus(
            is_sharing=self._settings.team.is_sharing,
            server=None if self._server_url is None else shown(self._server_url),
            members=members,
            trouble=trouble,
            pending=len(await releases.pending()),
            sent=len(await releases.sent()),
            task_count=tasks.task_count,
            tables=tuple(tables),
            pulls=tuple(await self._store.team_tables.pulls()),
        )

    async def _agreed_url(self) -> str:
        """Return where the server is, if this database takes part."""
        await self.privacy.require_sharing()
        if self._server_url is None:
            words = (
                "sharing is on, but no server is named; set QE_TEAM_URL (or QE_TEAM_URL_FILE) to the address "
                "the team's curator gave you"
            )
            await self.privacy.refused(words)
            raise PrivacyError(words)
        return self._server_url

    async def _deliver(self, url: str, sent: list[UUID], known: list[UUID]) -> int:
        """Send what waits, the oldest first, note what arrived, and return how many contributors exist."""
        async with TeamServer.connect(url) as server:
            info = await server.hello()
            for release in await self._store.releases.pending():
                release_id = release.header.release_id
                async with self._store.releases.sending(release_id, by=self._by) as parts:
                    if parts is None:
                        continue
                    receipt = await server.submit(release.header, parts)
                (sent if receipt.is_new else known).append(release_id)
        return info.members

    async def _held(self, again: bool) -> dict[str, int]:
        """Return the version of each agent's table from which on a newer one is wanted."""
        tables = self._store.team_tables
        if not again:
            ever = await tables.versions()
            return {
                contract.name: ever.get((contract.name, contract.fingerprint), 0) for contract in self._shared
            }
        return {contract.name: version for contract, _, version in await self._tables()}

    async def _tables(self) -> list[tuple[AgentContract, StoredTable, int]]:
        """Return each shared agent with its own table and the version of the team's in use, 0 for none."""
        stored = await load_tables(self._store, [individual_table(contract) for contract in self._shared])
        found = []
        for contract, own in zip(self._shared, stored, strict=True):
            current = await self._store.team_tables.current(contract.name, contract.fingerprint)
            found.append((contract, own, 0 if current is None else current.version))
        return found

    @property
    def _shared(self) -> list[AgentContract]:
        return [self._fleet.get(name) for name in self.privacy.spaces]

    def _fits(self, table: PublishedTable) -> bool:
        space = self.privacy.spaces.get(table.agent)
        return space is not None and space.fingerprint == table.fingerprint

    async def _away(self, error: DatabaseUnavailableError) -> str:
        """Log that the server cannot be reached and return that in words."""
        await self._store.team_log.add(TeamEvent.UNREACHABLE, by=self._by, details={"because": str(error)})
        return f"the team's server cannot be reached, this is caught up with later: {error}"

    async def _tell_conflicts(self, agent: str, version: int, merged: Merged | None) -> None:
        if merged is None or not merged.conflicts:
            return
        details = {
            "agent": agent,
            "team_version": version,
            "conflicts": len(merged.conflicts),
            "pairs": [asdict(conflict) for conflict in merged.conflicts[:CONFLICTS_LOGGED]],
        }
        await self._store.team_log.add(TeamEvent.CONFLICT, by=self._by, details=details)


def _rebuilt(agent: str, version: int, merged: Merged | None) -> RebuiltAgent:
    if merged is None:
        return RebuiltAgent(agent, version)
    return RebuiltAgent(agent, version, merged.taken, merged.merged, merged.kept, len(merged.conflicts))
