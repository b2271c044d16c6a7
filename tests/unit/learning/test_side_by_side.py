"""Training many agents at once gives the bits of training them one by one."""

import threading
from functools import partial

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.buffer import BufferSettings, ReplayBuffer, SamplingStrategy
from qe_core.learning.replay.training import train_from_buffer, train_on_log
from qe_core.learning.side_by_side import train_side_by_side
from qe_core.learning.updates import LearningRate

STATES, ACTIONS, RATE = 30, 4, LearningRate()


def a_log(seed: int) -> Transitions:
    generator = np.random.default_rng(seed)
    count = 2_000 + 100 * seed
    return Transitions.from_columns(
        generator.integers(0, STATES, count), generator.integers(0, ACTIONS, count),
        generator.normal(0, 5, count), generator.integers(0, STATES, count), generator.random(count) < 0.1,
    )  # fmt: skip


def from_log(seed: int) -> QTable:
    return train_on_log(QTable.zeros(STATES, ACTIONS), a_log(seed), 0.9, RATE).table


def from_buffer(seed: int, strategy: SamplingStrategy) -> QTable:
    buffer = ReplayBuffer(BufferSettings(1_500, strategy), STATES, ACTIONS)
    buffer.add(a_log(seed))
    generator = np.random.default_rng(seed)
    return train_from_buffer(QTable.zeros(STATES, ACTIONS), buffer, 200, generator, 0.9, RATE).table


def solved(seed: int) -> QTable:
    return q_table_from_transitions(a_log(seed), STATES, ACTIONS, 0.9)


@pytest.mark.parametrize(
    "train",
    [
        from_log,
        partial(from_buffer, strategy=SamplingStrategy.PRIORITIZED),
        partial(from_buffer, strategy=SamplingStrategy.UNIFORM),
        solved,
    ],
)
def test_agents_trained_side_by_side_equal_agents_trained_one_by_one(train: object) -> None:
    names = [f"agent-{number}" for number in range(18)]
    found = train_side_by_side(
        {name: partial(train, seed) for seed, name in enumerate(names)}, worker_count=4
    )
    assert list(found) == names
    for seed, table in enumerate(found.values()):
        alone = train(seed)
        for column in ("q", "visits", "target_mean", "target_m2"):
            assert getattr(table, column).tobytes() == getattr(alone, column).tobytes()


def test_trainings_really_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=30)
    found = train_side_by_side(dict.fromkeys("abc", meeting.wait), worker_count=3)
    assert sorted(found.values()) == [0, 1, 2]


def test_no_more_run_at_a_time_than_asked_for() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def one() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        from_log(0)
        with lock:
            running[0] -= 1

    train_side_by_side({str(number): one for number in range(12)}, worker_count=2)
    assert most[0] <= 2


def test_a_failed_training_is_named_after_the_others_have_ended() -> None:
    ended = []

    def fails() -> None:
        raise LearningError("the discount is wrong; correct it")

    trainings = {"first": fails, "second": lambda: ended.append("second")}
    with pytest.raises(LearningError, match="training of first: the discount is wrong; correct it"):
        train_side_by_side(trainings, worker_count=1)
    assert ended == ["second"]


def test_no_agents_train_nothing_and_no_workers_are_refused() -> None:
    assert train_side_by_side({}, worker_count=2) == {}
    with pytest.raises(LearningError, match="worker_count must be at least 1, got 0"):
        train_side_by_side({}, worker_count=0)
