"""The guard stops what uses CPU time, however stubborn, and leaves other code alone."""

import pytest

from qe_core.workbench.inside.guard import CallTimeoutError, cpu_guard


def test_endless_loop_is_stopped() -> None:
    with pytest.raises(CallTimeoutError), cpu_guard(0.05):
        while True:
            pass


def test_code_that_swallows_the_first_time_is_stopped_by_the_next() -> None:
    swallowed = 0
    with pytest.raises(CallTimeoutError), cpu_guard(0.05):
        while True:
            try:
                while True:
                    pass
            except CallTimeoutError:
                swallowed += 1
                if swallowed == 3:
                    raise
    assert swallowed == 3


def test_quick_code_is_left_alone() -> None:
    with cpu_guard(0.05):
        total = sum(range(10))
    while total < 2_000_000:  # longer than the guard, after it
        total += 1
