"""The pilot's tasks: modules and projects to generate tests for, each with the environment that answers.

What belongs here: drawing tasks from a seed, and one session of a task. What does not: deciding and learning
(`live`), the environments themselves (`qe_core.environments`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np

from qe_core.environments.catalogue import world_of
from qe_core.environments.recorded import RecordedSessionEnv, Recordings, TrainingSettings
from qe_core.environments.recorded.training import training_projects
from qe_core.environments.simulated import SimulatedEnv
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.fleet.state import StateModel
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.episodes import Outcome

Environment = gymnasium.Env[np.int64, np.int64]


@dataclass(frozen=True, slots=True)
class PilotTask:
    """One test generation task.

    Attributes:
        name: unique among the pilot's tasks.
        first_state: code of the situation it begins in.
        environment: answers the task's steps; nobody else's.
        options: how a session of it is opened.
    """

    name: str
    first_state: int
    environment: Environment = field(compare=False)
    options: Mapping[str, Any]

    @property
    def context(self) -> StateModel:
        """What the agent measures before it begins."""
        return TEST_GENERATOR.state_model.decode(self.first_state)

    def open(self, seed: int) -> "TaskSession":
        """Return a session at its beginning.

        Args:
            seed: of everything random in it.
        """
        return TaskSession(self, seed)


class TaskSession:
    """One task being done, step by step.

    Args:
        task: which.
        seed: of everything random in it.

    Attributes:
        state: code of the present situation.
        points: collected so far.
        steps: taken so far.
    """

    def __init__(self, task: PilotTask, seed: int) -> None:
        self._environment = task.environment
        state, _ = self._environment.reset(seed=seed, options=dict(task.options))
        self.state = int(state)
        self.points = 0.0
        self.steps = 0

    def take(self, column: int) -> Outcome:
        """Spend a slice as an action says and return what came of it."""
        state, reward, terminated, _, _ = self._environment.step(np.int64(column))
        self.state = int(state)
        self.points += float(reward)
        self.steps += 1
        is_cut_off = not terminated and self.steps >= TEST_GENERATOR.horizon
        return Outcome(
            points=float(reward),
            next_context=None if terminated else self.state,
            terminated=terminated,
            truncated=is_cut_off,
        )


def synthetic_tasks(count: int, seed: int, world_seed: int) -> list[PilotTask]:
    """Return tasks in situations drawn evenly from all that a simulated world can get into.

    Args:
        count: how many, at least 1.
        seed: of the drawing.
        world_seed: which world of the test generator's family.

    Raises:
        LearningError: the count is below 1.
    """
    situations = np.flatnonzero(world_of(TEST_GENERATOR, world_seed).is_reachable)
    drawn = _generator(count, seed).choice(situations, count).tolist()
    return [
        PilotTask(
            name=f"synthetic-{number:03d}",
            first_state=state,
            environment=SimulatedEnv(TEST_GENERATOR.name, world_seed),
            options={"state": state},
        )
        for number, state in enumerate(drawn)
    ]


def recorded_tasks(count: int, seed: int, recordings: Recordings) -> list[PilotTask]:
    """Return project sessions over what real generators reached on the training packages.

    Each is a random part of a package's modules in random order under a random budget, as in training
    (`qe_core.environments.recorded.training`); held-out packages and repetitions are left alone.

    Args:
        count: how many, at least 1.
        seed: of the drawing.
        recordings: what is replayed.

    Raises:
        LearningError: the count is below 1.
        RecordingError: there is nothing to train on.
    """
    rng, settings = _generator(count, seed), TrainingSettings()
    projects = training_projects(recordings)
    tasks = []
    for number in range(count):
        project = projects[int(rng.integers(len(projects)))]
        fewest = min(settings.fewest_modules, project.module_count)
        order = rng.permutation(project.module_count)[: rng.integers(fewest, project.module_count + 1)]
        environment = RecordedSessionEnv(
            recordings,
            seconds_per_module=float(settings.budgets[rng.integers(len(settings.budgets))]),
            repetitions=(project.repetition,),
            package=project.package,
        )
        options = {"order": order.tolist()}
        state, _ = environment.reset(seed=0, options=options)
        tasks.append(PilotTask(f"{project.package}-{number:03d}", int(state), environment, options))
    return tasks


def world_of_tasks(tasks: list[PilotTask], world_seed: int) -> World:
    """Return the simulated world with tasks that begin as these do, each as often as the others."""
    world = world_of(TEST_GENERATOR, world_seed)
    first = np.bincount([task.first_state for task in tasks], minlength=world.state_count)
    return replace(world, start=first / len(tasks))


def _generator(count: int, seed: int) -> np.random.Generator:
    if count < 1:
        raise LearningError(f"a pilot has at least one task, not {count}")
    return np.random.default_rng([seed, count])
