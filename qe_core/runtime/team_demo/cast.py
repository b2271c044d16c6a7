"""Who takes part in the demo of team learning: databases on one machine that stand for machines.

What belongs here: names, sizes, settings and places. What does not: what they do (`learning`, `sharing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qe_core.config import Settings, project_home
from qe_core.errors import PrivacyError
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.privacy.pseudonyms import Pseudonyms
from qe_core.runtime.identity import pseudonyms_at
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store.server import database_url

CENTRAL_DATABASE = "qe_demo_team"
"""The database that stands for the team's server."""

HOME = "team-demo"
"""The directory below the project's home in which every member has a key of its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a database of their own.

    Attributes:
        name: unique; the database is called after it.
        kind: what it stands for.
        episodes: that each of its agents plays.
        seed: of its agents' own chances.
    """

    name: str
    kind: str
    episodes: int
    seed: int

    @property
    def database(self) -> str:
        """The name of its database."""
        return f"qe_demo_{self.name.replace('-', '_')}"

    def url(self) -> str:
        """Return where its database is; the embedded server is started if that is the one in use."""
        return database_url(self.database)

    def pseudonyms(self) -> Pseudonyms:
        """Return its pseudonyms, by a key that nobody else has; made on first use."""
        return pseudonyms_at(self.home / "privacy.key")

    @property
    def home(self) -> Path:
        """Where what it keeps to itself is."""
        return project_home() / HOME / self.name

    @property
    def address_file(self) -> Path:
        """The file with the address of the team's server, its own login in it."""
        return self.home / "team-url"

    def keep_address(self, address: str) -> None:
        """Keep the address of the team's server for its owner's eyes alone."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.address_file.touch(mode=0o600)
        self.address_file.write_text(address, encoding="utf-8")

    def settings(self, settings: Settings, *, is_sharing: bool = True) -> Settings:
        """Return the project's settings as this member has them: its own name, and taking part or not.

        Simulated sessions stand for its work, so they are not kept out.
        """
        team = {
            "is_sharing": is_sharing, "developer": self.name, "project": HOME, "kept_out_sources": (),
        }  # fmt: skip
        return settings.model_copy(update={"team": settings.team.model_copy(update=team)})


TEAM = (
    Member("ada", "a developer", 3_000, 1),
    Member("grace", "a developer", 3_000, 2),
    Member("edsger", "a developer", 3_000, 3),
    Member("ci-runner", "a CI runner", 6_000, 4),
)
NEWCOMER = Member("newcomer", "a newcomer", 200, 100)

FOUNDERS = TEAM[:2]
"""Those who join first: too few to share anything."""

KEEPS_TO_ITSELF = TEAM[1]
"""Who opts an agent out before anything was released."""


def shared_fleet(names: Sequence[str]) -> Registry:
    """Return the agents of the demo.

    Args:
        names: of agents; none for every agent that can be shared.

    Raises:
        UnknownAgentError: no such agent.
        PrivacyError: an agent's contract does not say what one step can change.
    """
    spaces = shareable_spaces()
    chosen = [registry().get(name) for name in names] or [registry().get(name) for name in spaces]
    if odd := [contract.name for contract in chosen if contract.name not in spaces]:
        raise PrivacyError(f"{', '.join(odd)} cannot be shared; choose among {', '.join(spaces)}")
    return Registry(tuple(chosen))
