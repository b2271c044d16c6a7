"""The guard stops what uses CPU time, however stubborn, and leaves other code alone."""

from collections.abc import Callable

import pytest

from qe_core.workbench.inside.guard import CallTimeoutError, cpu_guard


def spin() -> None:
    while True:
        pass


def guarded(action: Callable[[], None]) -> None:
    with cpu_guard(0.05):
        action()


def test_endless_loop_is_stopped() -> None:
    with pytest.raises(CallTimeoutError):
        guarded(spin)


def test_code_that_swallows_the_first_time_is_stopped_by_the_next() -> None:
    swallowed = 0

    def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                spin()
            except CallTimeoutError:
                swallowed += 1
        spin()

    with pytest.raises(CallTimeoutError):
        guarded(stubborn)
    assert swallowed == 3


def test_quick_code_is_left_alone() -> None:
    with cpu_guard(0.05):
        total = sum(range(10))
    while total < 2_000_000:  # longer than the guard, after it
        total += 1
