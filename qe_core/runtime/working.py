"""An agent at work: with a learner of its own that follows what the monitor asks of it.

What belongs here: opening what an agent needs in the right order. What does not: its tasks (`agent`), what is
asked of it (`monitoring`).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np

from qe_core.config import Settings
from qe_core.fleet.contract import AgentContract
from qe_core.learning.exploration import ExplorationSchedule
from qe_core.runtime.adjusting import EVERY_SECONDS, adjustments_followed
from qe_core.runtime.agent import DECIDE_SECONDS, RECORD_SECONDS, QEAgent
from qe_core.runtime.journal import Journal
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import Assess, Strategy, outcome_of
from qe_core.store import Store
from qe_core.store.live import Live


@asynccontextmanager
async def agent_at_work(
    store: Store,
    live: Live,
    agent: str | AgentContract,
    strategies: Mapping[str, Strategy],
    settings: Settings,
    generator: np.random.Generator,
    *,
    schedule: ExplorationSchedule | None = None,
    assess: Assess = outcome_of,
    journal: Journal | None = None,
    decide_seconds: float = DECIDE_SECONDS,
    record_seconds: float = RECORD_SECONDS,
    is_strict: bool = False,
    look_every_seconds: float = EVERY_SECONDS,
) -> AsyncIterator[QEAgent]:
    """Yield an agent that learns and explores as the monitor asks, from its first task to its last.

    While its verdicts say that it diverges, it takes smaller steps and explores more; see
    `qe_core.learning.divergence_response`. Deciding and recording are as quick as without.

    Args:
        store: where adjustments are.
        live: the process's hot path on the same database.
        agent: the name of a registered agent, or its contract.
        strategies: as for `QEAgent`, like ``assess`` to ``is_strict``.
        settings: how to learn, explore and look up.
        generator: source of chance.
        schedule: as for `Learner.open`.
        assess: see `QEAgent`.
        journal: see `QEAgent`.
        decide_seconds: see `QEAgent`.
        record_seconds: see `QEAgent`.
        is_strict: see `QEAgent`.
        look_every_seconds: how often to look for another adjustment.

    Raises: as `Learner.open` and `QEAgent`.
    """
    learner = await Learner.open(live, agent, settings, generator, schedule=schedule)
    working = QEAgent(
        learner,
        strategies,
        assess=assess,
        journal=journal,
        decide_seconds=decide_seconds,
        record_seconds=record_seconds,
        is_strict=is_strict,
    )
    async with adjustments_followed(store, learner, look_every_seconds):
        yield working
