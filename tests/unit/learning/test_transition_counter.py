"""Counting in batches gives the bits of counting at once, and keeps nothing but what is distinct."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning import counting_kernels, transition_counter
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.learning.transition_counter import TransitionCounter

STATES, ACTIONS = 40, 3


def a_log(count: int, seed: int = 0) -> Transitions:
    generator = np.random.default_rng(seed)
    return Transitions.from_columns(
        generator.integers(0, STATES, count), generator.integers(0, ACTIONS, count),
        generator.normal(3, 10, count), generator.integers(0, STATES, count), generator.random(count) < 0.3,
    )  # fmt: skip


def bits(counter: TransitionCounter) -> list[bytes]:
    return [column.tobytes() for column in counter.counts()]


def counted(*batches: Transitions) -> TransitionCounter:
    counter = TransitionCounter(STATES, ACTIONS)
    for batch in batches:
        counter.add(batch)
    return counter


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 400), st.lists(st.integers(0, 400), max_size=8), st.integers(0, 9))
def test_any_cut_into_batches_gives_the_same_bits(count: int, cuts: list[int], seed: int) -> None:
    log = a_log(count, seed)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    assert bits(counted(*(log.slice(*pair) for pair in itertools.pairwise(bounds)))) == bits(counted(log))


@pytest.mark.parametrize("room", [1, 2, 64])
def test_growing_changes_nothing(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bits(counted(a_log(3_000)))
    monkeypatch.setattr(transition_counter, "FIRST_ROOM", room)
    assert bits(counted(a_log(3_000))) == expected


def test_the_plain_loops_count_like_the_compiled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    log = a_log(500)
    summaries = counted(a_log(200, 7)).counts()
    results = []
    for is_plain in (False, True):
        if is_plain:
            for name in ("slot_of", "fold", "entry_for"):
                monkeypatch.setattr(counting_kernels, name, getattr(counting_kernels, name).py_func)
            for name in ("count_transitions", "count_summaries", "fill_slots", "columns_of"):
                monkeypatch.setattr(transition_counter, name, getattr(counting_kernels, name).py_func)
            monkeypatch.setattr(transition_counter, "FIRST_ROOM", 16)
        with np.errstate(over="ignore"):
            counter = counted(log)
            counter.add_counts(summaries)
        results.append(bits(counter))
    assert results[0] == results[1]


def test_what_was_returned_does_not_follow_later_batches() -> None:
    counter = counted(a_log(100))
    mdp, before = EmpiricalMdp.from_counter(counter), bits(counter)
    counter.add(a_log(100, 1))
    assert [column.tobytes() for column in mdp.counts] == before
    assert bits(counter) != before


def test_memory_follows_what_is_distinct_and_not_the_rows() -> None:
    batch = a_log(50_000)
    counter = counted(batch)
    tracemalloc.start()
    try:
        for _ in range(20):
            counter.add(batch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Checks of one batch need a few flags per row; a million rows of 27 bytes would be 27 MB.
    assert peak < 2_000_000
    assert int(counter.counts()[4].sum()) == 21 * 50_000
    assert len(counter) <= STATES * ACTIONS * STATES * 2


def test_codes_near_the_end_of_the_range_are_kept_apart() -> None:
    states, actions = 2_000_000_000, 1
    counter = TransitionCounter(states, actions)
    last = states - 1
    counter.add(
        Transitions.from_columns([last, 0, last], [0, 0, 0], [1.0, 2.0, 3.0], [last, last, 0], [1, 0, 1])
    )
    state, _, next_state, terminated, *_ = counter.counts()
    assert state.tolist() == [0, last, last]
    assert next_state.tolist() == [last, 0, last]
    assert terminated.tolist() == [False, True, True]


def test_a_bad_batch_counts_nothing() -> None:
    counter = counted(a_log(10))
    before = bits(counter)
    with pytest.raises(LearningError, match=r"state must lie in 0 … 39, but row 1 \(40\)"):
        counter.add(Transitions.from_columns([0, 40], [0, 0], [1.0, 1.0], [0, 0], [True, True]))
    assert bits(counter) == before


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (2_200_000_000, 1)])
def test_tables_that_cannot_be_counted_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LearningError, match="cannot be counted"):
        TransitionCounter(*size)
