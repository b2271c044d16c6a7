"""PolicySnapshots: freezes what agents decide by, hourly and on demand, and lets old versions go.

What belongs here: whose, when asked, and for how long. What does not: how rows are frozen and which versions
are outgrown (`qe_core.store`), and the hour (the graph's schedule).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.runtime.parameters import version_ages
from qe_core.store import Store
from qe_core.store.policies import PolicyVersion, ThinCount

SCHEDULE = "schedule"
"""Who freezes where no person does."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What freezing one agent's policy came to.

    Attributes:
        version: what it decides by now.
        is_new: whether that is a new version; not where nothing changed since the newest one.
    """

    version: PolicyVersion
    is_new: bool


class PolicySnapshots:
    """Versions of all agents.

    Args:
        store: where they are.
        settings: for how long they are kept.
        fleet: the agents there are; None for everybody registered.
    """

    def __init__(self, store: Store, settings: Settings, *, fleet: Registry | None = None) -> None:
        self._store = store
        self._ages = version_ages(settings)
        self._fleet = registry() if fleet is None else fleet

    async def take(
        self, agents: Sequence[str] | None = None, *, reason: str = "hourly", by: str = SCHEDULE
    ) -> list[Snapshot]:
        """Freeze what agents decide by now and return their versions.

        Nobody waits for it, neither those who decide nor those who record.

        Args:
            agents: whose; None for all that have experienced anything, in the order of the registry.
            reason: why.
            by: who asks.

        Raises:
            UnknownAgentError: no such agent is registered.
            FingerprintMismatchError: an agent's table was learned under another contract.
        """
        if agents is None:
            lived = {line.agent for line in await self._store.experiences.counts()}
            agents = [name for name in self._fleet.names() if name in lived]
        found = []
        for name in agents:
            contract = self._fleet.get(name)
            known = {version.number for version in await self._store.policies.versions(name)}
            version = await self._store.policies.snapshot(contract, reason=reason, by=by)
            found.append(Snapshot(version, version.number not in known))
        return found

    async def thin(self, now: datetime) -> ThinCount:
        """Let versions go that have grown old, and return what was removed.

        Args:
            now: the present, aware.
        """
        return await self._store.policies.thin(now, self._ages)
