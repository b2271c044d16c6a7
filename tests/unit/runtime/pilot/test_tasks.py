"""Tasks are drawn from a seed, and answer as their environments do."""

import numpy as np
import pytest

from qe_core.environments.catalogue import world_of
from qe_core.environments.recorded import Recordings
from qe_core.errors import LearningError
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.pilot.tasks import PilotTask, recorded_tasks, synthetic_tasks, world_of_tasks

WORLD = world_of(TEST_GENERATOR, 0)


def test_a_hundred_synthetic_tasks_follow_from_their_seed_and_cover_many_situations() -> None:
    tasks = synthetic_tasks(100, 0, 0)
    assert tasks == synthetic_tasks(100, 0, 0)
    assert tasks != synthetic_tasks(100, 1, 0)
    assert len({task.name for task in tasks}) == 100
    assert len({task.first_state for task in tasks}) > 50
    assert WORLD.is_reachable[[task.first_state for task in tasks]].all()
    assert all(task.context.encode() == task.first_state for task in tasks)


def test_a_session_begins_in_its_situation_and_pays_what_the_world_pays() -> None:
    task = synthetic_tasks(1, 3, 0)[0]
    means = WORLD.reward_mean[task.first_state]
    column = int(means.argmax())
    session = task.open(seed=5)
    assert session.state == task.first_state
    outcome = session.take(column)
    assert outcome.points == pytest.approx(means[column], abs=6**0.5 * WORLD.reward_sd.max())
    assert (session.steps, session.points) == (1, outcome.points)
    again = task.open(seed=5)
    assert again.take(column) == outcome


def test_a_session_ends_when_its_task_is_over() -> None:
    session = synthetic_tasks(1, 3, 0)[0].open(seed=5)
    rng = np.random.default_rng(0)
    outcome = session.take(0)
    while not outcome.is_end:
        assert outcome.next_context == session.state
        outcome = session.take(int(rng.integers(TEST_GENERATOR.action_count)))
    assert outcome.terminated
    assert outcome.next_context is None


def test_recorded_tasks_see_training_packages_only() -> None:
    recordings = Recordings.load()
    tasks = recorded_tasks(20, 0, recordings)
    assert tasks == recorded_tasks(20, 0, recordings)
    packages = {task.name.rpartition("-")[0] for task in tasks}
    assert packages <= set(recordings.packages("training"))
    assert len(packages) > 3
    session = tasks[0].open(seed=1)
    assert session.state == tasks[0].first_state
    while not session.take(session.steps % TEST_GENERATOR.action_count).is_end:
        assert session.steps < TEST_GENERATOR.horizon


def test_the_world_of_tasks_weighs_every_task_alike() -> None:
    tasks = synthetic_tasks(100, 0, 0)
    world = world_of_tasks(tasks, 0)
    best = WORLD.reward_mean.max(axis=1)
    # The agent's own discount is 0: a task is worth what its first slice brings.
    assert world.optimal_value(0.0) == pytest.approx(np.mean([best[task.first_state] for task in tasks]))


def test_a_pilot_without_tasks_is_refused() -> None:
    with pytest.raises(LearningError, match="at least one task"):
        synthetic_tasks(0, 0, 0)


def test_a_session_that_never_ends_is_cut_off_at_the_horizon() -> None:
    class Endless:
        """An environment without an end."""

        def reset(self, **_: object) -> tuple[np.int64, dict[str, object]]:
            return np.int64(0), {}

        def step(self, _: object) -> tuple[np.int64, float, bool, bool, dict[str, object]]:
            return np.int64(0), 1.0, False, False, {}

    session = PilotTask("endless", 0, Endless(), {}).open(0)  # type: ignore[arg-type]
    outcomes = [session.take(0) for _ in range(TEST_GENERATOR.horizon)]
    assert [outcome.truncated for outcome in outcomes] == [False] * (TEST_GENERATOR.horizon - 1) + [True]
