"""Members found a team, contribute, are refused, and a newcomer pulls what they know together.

What belongs here: the order of it. What does not: anything of it: it is what `qe team` and `qe privacy` do.
"""

from collections.abc import Sequence
from contextlib import suppress

from qe_core.config import Settings
from qe_core.errors import PrivacyError
from qe_core.fleet.registry import Registry
from qe_core.runtime.team.building import BuildReport
from qe_core.runtime.team.building import build as build_tables
from qe_core.runtime.team.coordinator import TeamLearningCoordinator
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.runtime.team_demo.cast import (
    CENTRAL_DATABASE,
    FOUNDERS,
    KEEPS_TO_ITSELF,
    NEWCOMER,
    TEAM,
    Member,
)
from qe_core.runtime.team_demo.figures import Refusal
from qe_core.runtime.team_demo.learning import Progress
from qe_core.store import Store
from qe_core.store.central import TeamCuration
from qe_core.store.server import database_url
from qe_core.store.team import OptOutKind, TeamEvent

BY = "qe demo --team"
"""Who is named in the logs."""


async def invited(members: Sequence[Member]) -> dict[str, str]:
    """Return the address of the team's server with each member's own login; the team is founded if need be.

    A member keeps its address beside its key, so that it is invited once.
    """
    async with TeamCuration.connect(database_url(CENTRAL_DATABASE)) as curation:
        if not await curation.is_founded():
            await curation.found(BY)
        await curation.register(shareable_spaces().values(), BY)
        known = {member.name for member in await curation.members() if member.is_active}
        found = {}
        for member in members:
            if member.name in known and not member.address_file.exists():
                await curation.revoke(member.name, BY)
            if member.name not in known or not member.address_file.exists():
                member.keep_address(await curation.invite(member.name, BY))
            found[member.name] = member.address_file.read_text(encoding="utf-8")
        return found


async def contribute(fleet: Registry, settings: Settings, progress: Progress) -> None:
    """Have the founders try alone, one member keep an agent to itself, and everybody contribute.

    Args:
        fleet: the agents.
        settings: the project's.
        progress: told how far it is.
    """
    urls = await invited(FOUNDERS)
    for member in FOUNDERS:
        await _push(member, fleet, settings, urls[member.name])
    await _keep_to_itself(fleet, settings)
    urls = await invited(TEAM)
    for number, member in enumerate(TEAM):
        progress("contributing", number, len(TEAM))
        await _push(member, fleet, settings, urls[member.name])
    progress("contributing", len(TEAM), len(TEAM))


async def build(settings: Settings) -> BuildReport:
    """Have the curator make tables of what was contributed; nothing new makes no new tables."""
    async with TeamCuration.connect(database_url(CENTRAL_DATABASE)) as curation:
        return await build_tables(curation, settings, by=BY)


async def pull(fleet: Registry, settings: Settings) -> None:
    """Have the newcomer try without taking part, and then take part and pull."""
    url = (await invited([NEWCOMER]))[NEWCOMER.name]
    async with Store.connect(NEWCOMER.url()) as store:
        if not await store.team_log.entries(1, TeamEvent.REFUSAL):
            local_only = NEWCOMER.settings(settings, is_sharing=False)
            with suppress(PrivacyError):  # its words are in the log, which `refusals` reads
                await _coordinator(NEWCOMER, store, local_only, url, fleet).sync_from_central()
        own = NEWCOMER.settings(settings)
        await _coordinator(NEWCOMER, store, own, url, fleet).sync_from_central()


async def refusals() -> tuple[Refusal, ...]:
    """Return what was refused, as the members' own logs have it."""
    return (
        await _first_refusal(FOUNDERS[0], "contribute when the team had two members"),
        await _first_refusal(NEWCOMER, "pull in local-only mode, which is the default"),
    )


async def _first_refusal(member: Member, tried: str) -> Refusal:
    async with Store.connect(member.url()) as store:
        entries = await store.team_log.entries(kind=TeamEvent.REFUSAL)
    return Refusal(f"{member.name} tried to {tried}", str(entries[-1].details["because"]))


async def _push(member: Member, fleet: Registry, settings: Settings, url: str) -> None:
    async with Store.connect(member.url()) as store:
        await _coordinator(member, store, member.settings(settings), url, fleet).push_to_central()


async def _keep_to_itself(fleet: Registry, settings: Settings) -> None:
    """Have a member opt out its last agent, once."""
    member, agent = KEEPS_TO_ITSELF, fleet.names()[-1]
    async with Store.connect(member.url()) as store:
        if agent not in {one.subject for one in await store.opt_outs.list()}:
            own = member.settings(settings)
            await _coordinator(member, store, own, None, fleet).privacy.opt_out(OptOutKind.AGENT, agent)


def _coordinator(
    member: Member, store: Store, settings: Settings, url: str | None, fleet: Registry
) -> TeamLearningCoordinator:
    return TeamLearningCoordinator(store, settings, member.pseudonyms(), url, by=BY, fleet=fleet)
