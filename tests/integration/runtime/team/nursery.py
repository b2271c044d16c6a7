"""A team on one server: a central database and contributors with databases of their own.

What belongs here: founding, inviting, learning, as people and agents do it. What does not: any test.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract, registry
from qe_core.fleet.registry import Registry
from qe_core.privacy.pseudonyms import Pseudonyms
from qe_core.runtime.identity import named_identity
from qe_core.runtime.team.coordinator import TeamLearningCoordinator
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store import Store
from qe_core.store.central import TeamCuration

AGENTS = ("quality-analyzer", "code-complexity")
FLEET = Registry(tuple(registry().get(name) for name in AGENTS))
KEY = Pseudonyms(b"k" * 32)
START = datetime(2026, 3, 1, tzinfo=UTC)


def sharing(**changed: Any) -> Settings:
    """Return settings under which a handful of tasks can be shared: much is lost, little is hidden."""
    rules = {
        "is_sharing": True,
        "privacy_epsilon_per_release": 20.0,
        "privacy_epsilon_lifetime": 50.0,
        "minimum_tasks": 2,
        "minimum_group": 2,
        "sureness_standard_errors": 0.0,
        "pairs_per_task": 40,
    }
    return Settings(team=rules | changed)


def tasks(
    contract: AgentContract, names: Iterable[str], *, is_finished: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Return random steps of some tasks, five each, as the log takes them.

    A busy corner of the space, so that several tasks meet in one pair.
    """
    wanted = list(names)
    generator = np.random.default_rng([seed, *"".join(wanted).encode()])
    steps, count = 5, 5 * len(wanted)
    states = generator.integers(0, 12, (len(wanted), steps + 1))
    index = np.arange(count)
    is_last = (index % steps == steps - 1) & is_finished
    return {
        "occurred_at": [START + timedelta(seconds=int(row)) for row in index],
        "agent": contract.name,
        "episode": [wanted[row // steps] for row in index],
        "step": index % steps,
        "state": states[:, :-1].ravel(),
        "action": generator.integers(0, 2, count),
        "reward": generator.normal(20.0, 5.0, count).round(2),
        "next_state": states[:, 1:].ravel(),
        "terminated": is_last,
        "truncated": False,
        "propensity": 0.5,
        "fingerprint": contract.fingerprint,
        "source": "agent",
    }


@dataclass(frozen=True, slots=True)
class Contributor:
    """One contributor's database and login.

    Attributes:
        name: as invited.
        url: its own database.
        team_url: the team's server with its login.
        settings: its own.
    """

    name: str
    url: str
    team_url: str
    settings: Settings

    @asynccontextmanager
    async def opened(
        self, developer: str | None = None, project: str | None = None
    ) -> AsyncIterator[tuple[Store, TeamLearningCoordinator]]:
        """Yield its store, recording for a developer and a project, and its coordinator."""
        identity = named_identity(developer, project, KEY)
        async with Store.connect(self.url, identity=identity) as store:
            yield (
                store,
                TeamLearningCoordinator(store, self.settings, KEY, self.team_url, by=self.name, fleet=FLEET),
            )

    async def learn(
        self,
        *names: str,
        agent: str = AGENTS[0],
        developer: str | None = None,
        project: str | None = None,
        is_finished: bool = True,
    ) -> None:
        """Let an agent finish, or only begin, some tasks."""
        rows = tasks(registry().get(agent), names, is_finished=is_finished)
        async with self.opened(developer, project) as (store, _):
            await store.experiences.append(rows)


async def founded(central_url: str, count: int) -> list[str]:
    """Found a team that learns about the agents of these tests; return the addresses of its members."""
    async with TeamCuration.connect(central_url) as curation:
        await curation.found("curator", "the testers")
        await curation.register(shareable_spaces(FLEET).values())
        return [await curation.invite(f"member-{number}") for number in range(count)]
