"""Members learn, each in a database of its own, in the same simulated company.

What belongs here: bringing the databases up to date, and playing. What does not: sharing (`sharing`).
"""

from collections.abc import Callable, Sequence

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet.registry import Registry
from qe_core.runtime.identity import identity_of
from qe_core.runtime.rebuilding import rebuild
from qe_core.runtime.team_demo.cast import CENTRAL_DATABASE, Member
from qe_core.runtime.training import SIMULATED, TrainingPlan, simulated_play, train
from qe_core.store import Store, migrate
from qe_core.store.server import database_url

WORLD_SEED = 0
"""The company everybody works for."""

Progress = Callable[[str, int, int | None], None]


async def prepare_databases(members: Sequence[Member]) -> None:
    """Create and bring up to date a database for each member, and the team's; harmless to repeat.

    Raises:
        StoreError: the server cannot be started, or does not let databases be created.
    """
    for name in (CENTRAL_DATABASE, *(member.database for member in members)):
        await migrate(database_url(name))


async def learn(member: Member, fleet: Registry, settings: Settings, progress: Progress) -> int:
    """Have a member's agents play their sessions and build their tables; return how many steps are new.

    Sessions played before are not played again, and a table is built again only where something is new.

    Args:
        member: whose database.
        fleet: its agents.
        settings: how they explore and learn.
        progress: told how far it is.
    """
    own = member.settings(settings)
    new = 0
    async with Store.connect(member.url(), identity=identity_of(own, member.pseudonyms())) as store:
        for number, contract in enumerate(fleet):
            progress(f"{member.name} learns", number, len(fleet))
            plan = TrainingPlan(contract.name, member.episodes, WORLD_SEED, member.seed)
            play = simulated_play(world_of(contract, WORLD_SEED), settings)
            report = await train(store, contract, plan, SIMULATED, play)
            new += report.experiences_new
            if report.experiences_new:
                await rebuild(store, contract, own)
        progress(f"{member.name} learns", len(fleet), len(fleet))
    return new
