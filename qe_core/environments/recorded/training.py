"""Learning the pilot: ε-greedy sessions on the training packages, as a log of experiences.

What belongs here: drawing training projects, playing them with exploration and learning between rounds. What
does not: anything about held-out packages, and building tables from stored logs (the pipelines).

Few packages are the danger, so every session is another project: a random part of a package's modules in
random order, under a random budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.environments.recorded.policy import policy_from
from qe_core.environments.recorded.project import Float64Array, Int64Array, Project, compile_project
from qe_core.environments.recorded.recordings import TRAINING, Recordings
from qe_core.environments.recorded.replay import explore
from qe_core.environments.recorded.session import MEASUREMENTS, SLICE_SECONDS, open_session
from qe_core.environments.recorded.sessions import Session
from qe_core.environments.rollouts import EpisodeLog
from qe_core.errors import LearningError, RecordingError
from qe_core.fleet.rewards import Gain
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.experience import Transitions
from qe_core.learning.exploration import StepSchedule
from qe_core.learning.q_table import QTable


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How the pilot is trained; chosen by cross-validation over the training packages (ADR 0051).

    Attributes:
        rounds: how often the table is solved anew; the first round explores only.
        episodes: sessions in each round.
        exploration_rate: ε of every round but the first.
        budgets: CPU seconds a module that a session may have.
        fewest_modules: the smallest part of a package that makes a project.
        discount: γ of the table solved between rounds.
    """

    rounds: int = 5
    episodes: int = 150
    exploration_rate: float = 0.3
    budgets: tuple[float, ...] = (1.0, 3.0, 8.0)
    fewest_modules: int = 2
    discount: float = TEST_GENERATOR.discount_or(0.95)

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.episodes < 1 or self.fewest_modules < 1:
            raise LearningError(
                "train for at least one round of one episode on projects of at least one module"
            )
        if not 0.0 <= self.exploration_rate <= 1.0:
            raise LearningError(f"an exploration rate lies in [0, 1], not {self.exploration_rate}")


def training_projects(recordings: Recordings) -> list[Project]:
    """Return all that training may see: the training packages under the training repetitions.

    Raises:
        RecordingError: nothing of the kind was recorded.
    """
    found = [
        compile_project(recordings, package, repetition)
        for package in recordings.packages(TRAINING)
        for repetition in recordings.training_repetitions()
        if repetition in recordings.repetitions_of(package)
    ]
    if not found:
        raise RecordingError("there is nothing to train on: record at least one training package")
    return found


def train_pilot(
    recordings: Recordings, rng: np.random.Generator, settings: TrainingSettings | None = None
) -> EpisodeLog:
    """Return the log of training, as the store takes it; the same generator state gives the same bits.

    Args:
        recordings: only training packages and training repetitions of it are used.
        rng: the only source of chance.
        settings: how to train; what cross-validation chose where left out.

    Raises:
        RecordingError: there is nothing to train on.
    """
    return train_on(training_projects(recordings), rng, TrainingSettings() if settings is None else settings)


def train_on(projects: Sequence[Project], rng: np.random.Generator, settings: TrainingSettings) -> EpisodeLog:
    """Return the log of training on parts of these projects; see `train_pilot`."""
    contract = TEST_GENERATOR
    table = QTable.zeros(contract.state_count, contract.action_count)
    schedule = StepSchedule(
        1.0, settings.exploration_rate, max(settings.exploration_rate, 1e-9), settings.episodes
    )
    played: list[_Episode] = []
    for _ in range(settings.rounds):
        values = policy_from(table).values
        for _ in range(settings.episodes):
            episode = _play(_draw(projects, rng, settings), values, schedule.exploration_rate, rng)
            played.append(episode)
            schedule = schedule.advance(float(episode.numbers[:, 0].sum()))
        table = q_table_from_transitions(
            _transitions(played), contract.state_count, contract.action_count, settings.discount
        )
    lengths = np.asarray([len(episode.integers) for episode in played])
    returns = np.asarray([episode.numbers[:, 0].sum() for episode in played])
    return EpisodeLog(
        transitions=_transitions(played),
        episode=np.repeat(np.arange(len(played)), lengths),
        step=np.concatenate([np.arange(length) for length in lengths]),
        propensity=np.concatenate([episode.numbers[:, 1] for episode in played]),
        exploration_rate=np.repeat([episode.exploration_rate for episode in played], lengths),
        episode_return=returns,
        is_success=np.asarray([contract.success.is_success(total) for total in returns.tolist()]),
        q=table.q,
        visits=table.visits,
        schedule=schedule,
    )


@dataclass(frozen=True, slots=True)
class _Episode:
    """One played session: rows as `explore` writes them, and how much it explored."""

    integers: Int64Array
    numbers: Float64Array
    exploration_rate: float


def _draw(projects: Sequence[Project], rng: np.random.Generator, settings: TrainingSettings) -> Session:
    """Return a session on a random part of a random project, in random order, under a random budget."""
    project = projects[int(rng.integers(len(projects)))]
    fewest = min(settings.fewest_modules, project.module_count)
    count = rng.integers(fewest, project.module_count + 1)
    part = project.in_order(rng.permutation(project.module_count)[:count])
    return Session(part, float(settings.budgets[rng.integers(len(settings.budgets))]))


def _play(
    session: Session, values: Float64Array, exploration_rate: float, rng: np.random.Generator
) -> _Episode:
    project = session.project.arrays
    integers = np.empty((TEST_GENERATOR.horizon, 4), dtype=np.int64)
    numbers = np.empty((TEST_GENERATOR.horizon, 2))
    steps = explore(
        project,
        open_session(project, session.budget_seconds),
        values,
        exploration_rate,
        rng,
        SLICE_SECONDS,
        *reward_scales(),
        integers,
        numbers,
    )
    return _Episode(integers[:steps].copy(), numbers[:steps].copy(), exploration_rate)


def reward_scales() -> tuple[Float64Array, Float64Array]:
    """Return weight and full scale of the contract's reward terms, as `replay.points_of` takes them.

    Raises:
        LearningError: the contract measures something else than the replay does.
    """
    terms = TEST_GENERATOR.reward.terms
    if tuple(term.name for term in terms) != MEASUREMENTS:
        raise LearningError(
            f"the replay measures {', '.join(MEASUREMENTS)}; keep the contract's reward terms to these"
        )
    scales = [term.scale.full_scale if isinstance(term.scale, Gain) else 0.0 for term in terms]
    return np.asarray([term.weight for term in terms]), np.asarray(scales)


def _transitions(played: Sequence[_Episode]) -> Transitions:
    integers = np.concatenate([episode.integers for episode in played])
    numbers = np.concatenate([episode.numbers for episode in played])
    return Transitions.from_columns(
        integers[:, 0],
        integers[:, 1],
        numbers[:, 0],
        integers[:, 2],
        integers[:, 3] == 1,
        integers[:, 3] == 2,
    )
