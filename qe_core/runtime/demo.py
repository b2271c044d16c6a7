"""The demo: every agent plays its sessions once, with fixed seeds, into an up-to-date database.

What belongs here: which sessions, and in which order. What does not: the graph (`graph`), figures
(`figures`), the page (`report`).
"""

from collections.abc import Callable

from qe_core.config import load_settings
from qe_core.environments.recorded import TrainingSettings
from qe_core.fleet import registry
from qe_core.runtime.sessions import has_environment, play_of, source_of
from qe_core.runtime.training import RECORDED, TrainingPlan, TrainingReport, train
from qe_core.store import Store, migrate
from qe_core.store.server import database_url

SIMULATED_EPISODES = 1_000
RECORDED_EPISODES = TrainingSettings().rounds * TrainingSettings().episodes
"""As many sessions as cross-validation chose for the pilot (ADR 0051)."""

WORLD_SEED = 0
SEED = 0

Progress = Callable[[str, int, int | None], None]


def demo_plan(agent: str, source: str) -> TrainingPlan:
    """Return the session an agent plays in the demo."""
    episodes = RECORDED_EPISODES if source == RECORDED else SIMULATED_EPISODES
    return TrainingPlan(agent, episodes, WORLD_SEED, SEED)


async def prepare_demo(tell: Callable[[str], None]) -> None:
    """Start the database and bring it up to date, also where QE_DATABASE_URL names it.

    Raises:
        StoreError: it cannot be started or migrated.
    """
    tell("starting the database")
    report = await migrate(database_url())
    if report.from_revision is None:
        tell("created the tables")


async def play_demo(store: Store, progress: Progress) -> list[TrainingReport]:
    """Play the demo's sessions; those played before add nothing, agents without an environment are left out.

    They follow no adjustments: a session is a function of its plan, and is played before there is a verdict.

    Args:
        store: where the experiences go.
        progress: told how far it is.
    """
    settings = load_settings().values
    fleet = [contract for contract in registry() if has_environment(contract)]
    reports = []
    for number, contract in enumerate(fleet):
        progress("playing episodes", number, len(fleet))
        source = source_of(contract)
        plan = demo_plan(contract.name, source)
        reports.append(await train(store, contract, plan, source, play_of(contract, WORLD_SEED, settings)))
    progress("playing episodes", len(fleet), len(fleet))
    return reports
