"""What a pilot plays, and the home of its own where it does.

What belongs here: the plan, the home and its database. What does not: playing (`live`, `run`).
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from qe_core.config import project_home
from qe_core.environments.recorded import TrainingSettings
from qe_core.errors import LearningError, QEError
from qe_core.store import migrate
from qe_core.store.server import database_url
from qe_core.store.server.project import project_server

LAST_RATE = 0.02
"""Exploration rate of the last synthetic tasks."""

ROUNDS = 10
"""How often the graph looks at the log while the pilot plays."""


class PilotError(QEError):
    """The pilot cannot be played as asked."""


@dataclass(frozen=True, slots=True)
class PilotPlan:
    """What is played.

    Attributes:
        is_recorded: over recorded outcomes of real tools, not in a simulated world.
        tasks: how many.
        episodes: learning episodes; each does every task once.
        seed: of tasks, of what they answer and of the agent's own chances.
        world_seed: which simulated world.
    """

    is_recorded: bool = False
    tasks: int = 100
    episodes: int = 50
    seed: int = 0
    world_seed: int = 0

    def __post_init__(self) -> None:
        if self.tasks < 1 or self.episodes < 1 or self.seed < 0 or self.world_seed < 0:
            raise LearningError("a pilot has at least one task and one episode, and seeds of 0 or more")

    @property
    def kind(self) -> str:
        """In a word."""
        return "recorded" if self.is_recorded else "synthetic"

    @property
    def last_rate(self) -> float:
        """Exploration rate of the last tasks; over recordings what cross-validation chose (ADR 0051)."""
        return TrainingSettings().exploration_rate if self.is_recorded else LAST_RATE

    @property
    def words(self) -> str:
        """What the pilot's home is for; another plan needs another home."""
        return f"{self.kind} tasks {self.tasks} seed {self.seed} world {self.world_seed}"

    @property
    def rounds_every(self) -> int:
        """Learning episodes from one look of the graph to the next."""
        return -(-self.episodes // ROUNDS)


def pilot_home(plan: PilotPlan) -> Path:
    """Return where a pilot keeps everything: beside what the project has learned, and apart from it."""
    return project_home() / "pilot" / plan.kind


@asynccontextmanager
async def pilot_database() -> AsyncIterator[None]:
    """Run the embedded server of the present home; stop it afterwards."""
    try:
        await migrate(database_url())
        yield
    finally:
        project_server().stop()


def begin_or_go_on(plan: PilotPlan) -> None:
    """Make the present home this plan's, or make sure that it is.

    Raises:
        PilotError: another pilot was played there.
    """
    note = project_home() / "plan.txt"
    if note.exists():
        words = note.read_text(encoding="utf-8")
        if words != plan.words:
            raise PilotError(
                f"{project_home()} holds another pilot: {words}, not {plan.words}; ask for that one, or "
                "begin anew with --fresh"
            )
    else:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(plan.words, encoding="utf-8")


def forget(home: Path) -> None:
    """Remove a pilot's home and its database, which is stopped first."""
    server = project_server(home)
    server.stop()
    shutil.rmtree(server.data_dir, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
