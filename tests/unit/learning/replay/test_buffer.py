"""The ring keeps the newest rows, samples as told and resumes exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.experience import Transitions
from qe_core.learning.replay.buffer import BufferSettings, ReplayBuffer, SamplingStrategy, tree_levels

STATES, ACTIONS = 100, 2


def numbered(first: int, stop: int) -> Transitions:
    count = stop - first
    return Transitions.from_columns(
        np.arange(first, stop) % STATES, np.zeros(count), np.arange(first, stop, dtype=float),
        np.zeros(count), np.zeros(count, dtype=bool),
    )  # fmt: skip


def a_buffer(capacity: int = 8, strategy: SamplingStrategy = SamplingStrategy.PRIORITIZED) -> ReplayBuffer:
    return ReplayBuffer(BufferSettings(capacity, strategy), STATES, ACTIONS)


@settings(deadline=None)
@given(st.integers(1, 10), st.lists(st.integers(0, 25), max_size=8))
def test_the_ring_holds_the_newest_rows(capacity: int, sizes: list[int]) -> None:
    buffer, added = a_buffer(capacity), 0
    for size in sizes:
        buffer.add(numbered(added, added + size))
        added += size
    kept = buffer.ring["reward"][: len(buffer)].tolist()
    assert sorted(kept) == list(range(max(0, added - capacity), added))
    assert len(buffer) == min(capacity, added)
    assert buffer.position == added % capacity


def test_new_transitions_get_the_highest_priority_so_far() -> None:
    buffer = a_buffer()
    buffer.add(numbered(0, 2))
    buffer.update_priorities(np.array([0, 1]), np.array([99.999, 0.0]))
    buffer.add(numbered(2, 3))
    assert buffer.priorities.tolist() == pytest.approx([100**0.6, 0.001**0.6, 100**0.6])


def test_a_sample_is_the_rows_it_names() -> None:
    for strategy in SamplingStrategy:
        buffer = a_buffer(8, strategy)
        buffer.add(numbered(0, 5))
        sample = buffer.sample(16, np.random.default_rng(0))
        assert sample.transitions.reward.tolist() == buffer.ring["reward"][sample.rows].tolist()
        assert sample.rows.max() < 5
        assert sample.importance.tolist() == [1.0] * 16


def test_surprising_rows_are_drawn_more_often_and_weighed_less() -> None:
    buffer = a_buffer(4)
    buffer.add(numbered(0, 2))
    buffer.update_priorities(np.array([0, 1]), np.array([0.999, 31.999]))
    sample = buffer.sample(900, np.random.default_rng(0))
    share = (sample.rows == 1).mean()
    assert share == pytest.approx(8 / 9, abs=0.002)  # 32^0.6 = 8 against 1
    assert sample.importance[sample.rows == 0].max() == 1.0
    assert sample.importance[sample.rows == 1].max() == pytest.approx((1 / 8) ** 0.4)


def test_the_correction_rises_with_each_batch_to_one() -> None:
    buffer = ReplayBuffer(BufferSettings(4, importance_sampling_exponent=0.998), STATES, ACTIONS)
    buffer.add(numbered(0, 2))
    exponents = []
    for _ in range(4):
        exponents.append(buffer.importance_exponent)
        buffer.sample(2, np.random.default_rng(0))
    assert exponents == pytest.approx([0.998, 0.999, 1.0, 1.0])


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
@pytest.mark.parametrize("rows", [0, 3, 20])
def test_a_resumed_buffer_goes_on_exactly_where_the_saved_one_stopped(
    strategy: SamplingStrategy, rows: int
) -> None:
    buffer = a_buffer(8, strategy)
    buffer.add(numbered(0, rows))
    if rows:
        sample = buffer.sample(4, np.random.default_rng(0))
        buffer.update_priorities(sample.rows, np.arange(4.0))
    resumed = ReplayBuffer.from_state(buffer.settings, STATES, ACTIONS, buffer.state())
    for one in (buffer, resumed):
        one.add(numbered(100, 103))
    first, second = (one.sample(32, np.random.default_rng(1)) for one in (buffer, resumed))
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.transitions.reward, second.transitions.reward)
    assert np.array_equal(first.importance, second.importance)
    assert buffer.position == resumed.position
    assert buffer.importance_exponent == resumed.importance_exponent
    assert buffer.highest_priority == resumed.highest_priority


def test_a_saved_state_does_not_follow_later_changes() -> None:
    buffer = a_buffer()
    buffer.add(numbered(0, 3))
    state = buffer.state()
    buffer.add(numbered(50, 58))
    assert state["reward"].tolist() == [0, 1, 2]


def test_a_bad_row_is_refused_and_nothing_is_added() -> None:
    buffer = a_buffer()
    with pytest.raises(LearningError, match=r"state must lie in 0 … 99, but row 1 \(100\)"):
        buffer.add(Transitions.from_columns([0, 100], [0, 0], [1.0, 1.0], [0, 0], [True, True]))
    assert len(buffer) == 0


def test_impossible_samples_and_priorities_are_refused() -> None:
    buffer = a_buffer()
    with pytest.raises(LearningError, match="buffer is empty; add transitions"):
        buffer.sample(1, np.random.default_rng(0))
    buffer.add(numbered(0, 2))
    with pytest.raises(LearningError, match="batch size must be at least 1, got 0"):
        buffer.sample(0, np.random.default_rng(0))
    with pytest.raises(LearningError, match=r"row must lie in 0 … 1, but row 0 \(2\)"):
        buffer.update_priorities(np.array([2]), np.array([1.0]))
    with pytest.raises(LearningError, match="td_error must be finite"):
        buffer.update_priorities(np.array([0]), np.array([np.nan]))
    with pytest.raises(LearningError, match="2 rows but 1 TD errors"):
        buffer.update_priorities(np.array([0, 1]), np.array([1.0]))
    with pytest.raises(LearningError, match=r"row must lie in 0 … 1, but row 1 \(-1\)"):
        buffer.update_priorities(np.array([0, -1]), np.array([1.0, 1.0]))
    assert buffer.priorities.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [
        (1, [8, 8]),
        (8, [8, 8]),
        (9, [8, 8, 16]),
        (64, [8, 8, 64]),
        (65, [8, 8, 16, 72]),
        (10_000_000, [8, 8, 40, 312, 2448, 19536, 156256, 1250000, 10_000_000]),
    ],
)
def test_a_tree_has_a_parent_for_every_eight_nodes(capacity: int, sizes: list[int]) -> None:
    assert np.diff(tree_levels(capacity)).tolist() == sizes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"capacity": 0}, "capacity must lie in 1 … 10000000, got 0"),
        ({"capacity": 10_000_001}, "capacity must lie in"),
        ({"priority_exponent": 1.5}, "priority_exponent must lie in"),
        ({"importance_sampling_exponent": -0.1}, "importance_sampling_exponent must lie in"),
        ({"importance_sampling_increment": 2.0}, "importance_sampling_increment must lie in"),
    ],
)
def test_impossible_settings_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        BufferSettings(**fields)


def test_a_state_that_does_not_fit_is_refused() -> None:
    buffer = a_buffer(8)
    buffer.add(numbered(0, 5))
    state = buffer.state()
    with pytest.raises(LearningError, match=r"5 rows at position 5 does not fit capacity 4"):
        ReplayBuffer.from_state(BufferSettings(4), STATES, ACTIONS, state)
    with pytest.raises(LearningError, match=r"lacks \['priorities'\]"):
        ReplayBuffer.from_state(
            buffer.settings, STATES, ACTIONS, {k: v for k, v in state.items() if k != "priorities"}
        )
    with pytest.raises(LearningError, match="does not fit capacity 8"):
        ReplayBuffer.from_state(buffer.settings, STATES, ACTIONS, {**state, "priorities": -np.ones(5)})
