"""The demo of team learning from its first step to its figures.

What belongs here: the order of the steps. What does not: the steps (`learning`, `sharing`, `newcomers`), what
they left (`gathering`) and showing it (`qe_core.runtime.report.team_demo`, `qe_core.cli`).
"""

from collections.abc import Callable, Sequence

from qe_core.config import Settings, load_settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet.registry import Registry
from qe_core.runtime.team_demo import sharing
from qe_core.runtime.team_demo.cast import NEWCOMER, TEAM, shared_fleet
from qe_core.runtime.team_demo.figures import TeamDemoFigures
from qe_core.runtime.team_demo.gathering import gathered
from qe_core.runtime.team_demo.learning import WORLD_SEED, Progress, learn, prepare_databases
from qe_core.runtime.team_demo.newcomers import NewcomerCurves, newcomer_curves
from qe_core.store import Store

NEWCOMERS = 3
"""How many newcomers of each agent are measured; the first is the one with a database."""


async def play_team_demo(
    agents: Sequence[str], tell: Callable[[str], None], progress: Progress
) -> TeamDemoFigures:
    """Have a team learn, contribute and build, and a newcomer pull and learn on; return what came of it.

    Repeating it plays, releases, builds and pulls nothing that was before.

    Args:
        agents: names; none for every agent that can be shared.
        tell: told what begins.
        progress: told how far it is.

    Raises:
        UnknownAgentError: no such agent.
        PrivacyError: an agent cannot be shared.
        StoreError: a database cannot be created or used.
    """
    fleet, settings = shared_fleet(agents), load_settings().values
    tell("preparing a database for each member, and one for the team")
    await prepare_databases([*TEAM, NEWCOMER])
    new = sum([await learn(member, fleet, settings, progress) for member in TEAM])
    tell(f"{new:,} new experiences" if new else "all sessions were played before; nothing new")
    await sharing.contribute(fleet, settings, progress)
    tell("the team's curator makes tables")
    await sharing.build(settings)
    await sharing.pull(fleet, settings)
    await learn(NEWCOMER, fleet, settings, progress)
    curves = await _measured(fleet, settings, progress)
    return await gathered(fleet, settings, curves, await sharing.refusals())


async def _measured(fleet: Registry, settings: Settings, progress: Progress) -> tuple[NewcomerCurves, ...]:
    seeds = range(NEWCOMER.seed, NEWCOMER.seed + NEWCOMERS)
    curves = []
    async with Store.connect(NEWCOMER.url()) as store:
        for number, contract in enumerate(fleet):
            progress("newcomers learn", number, len(fleet))
            table = await store.team_tables.current(contract.name, contract.fingerprint)
            evidence = None if table is None else table.evidence
            curves.append(newcomer_curves(world_of(contract, WORLD_SEED), evidence, settings, seeds))
    progress("newcomers learn", len(fleet), len(fleet))
    return tuple(curves)
