"""The compiled replay does what the Python it was compiled from does, bit for bit."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qe_core.environments.recorded import replay
from qe_core.environments.recorded.project import Project, compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.session import (
    AREA,
    MEASUREMENTS,
    MUTANT_AREA,
    SLICE_SECONDS,
    STEPS,
    SessionArrays,
    open_session,
)
from qe_core.environments.recorded.training import reward_scales
from qe_core.fleet.test_generation import TEST_GENERATOR

COMPILED = {name: value for name, value in vars(replay).items() if hasattr(value, "py_func")}
VALUES = np.random.default_rng(0).random((TEST_GENERATOR.state_count, TEST_GENERATOR.action_count)) - 0.2
FOUND = np.zeros(len(MEASUREMENTS))
PLAN = np.asarray([[-1, 0, 1], [0, 3, 2], [1, 5, 3], [-1, 2, 100]])


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The replay as plain Python: the module once more, under another name and with nothing compiled.

    The module itself stays as it is: numba looks up what a function calls when that is first compiled.
    """
    assert replay.__file__ is not None
    spec = spec_from_file_location("replay_in_python", replay.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setattr("qe_core.learning.compiled.compiled", lambda function: function)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project(record: Callable[..., Recordings]) -> Project:
    return compile_project(record(seed=11, packages=3, modules=3), "package0", 0)


def follow(functions: Any, project: Project, session: SessionArrays) -> None:
    functions.follow_plan(project.arrays, session, PLAN, False, 2, SLICE_SECONDS, FOUND)


def follow_deeply(functions: Any, project: Project, session: SessionArrays) -> None:
    functions.follow_plan(project.arrays, session, PLAN, True, 0, SLICE_SECONDS, FOUND)


def at_random(functions: Any, project: Project, session: SessionArrays) -> None:
    functions.play_random(project.arrays, session, np.random.default_rng(4), SLICE_SECONDS, FOUND)


def knowing_all(functions: Any, project: Project, session: SessionArrays) -> None:
    functions.play_clairvoyant(project.arrays, session, 5, SLICE_SECONDS, FOUND)


def by_table(functions: Any, project: Project, session: SessionArrays) -> None:
    functions.play_table(project.arrays, session, VALUES, SLICE_SECONDS, FOUND)


def exploring(functions: Any, project: Project, session: SessionArrays) -> None:
    rng, scales = np.random.default_rng(9), reward_scales()
    integers, numbers = np.zeros((60, 4), dtype=np.int64), np.zeros((60, 2))
    steps = functions.explore(
        project.arrays, session, VALUES, 0.5, rng, SLICE_SECONDS, *scales, integers, numbers
    )
    session.place[STEPS] += 1_000 * steps + integers.sum()
    session.clock[MUTANT_AREA] += numbers.sum()


def peeking(functions: Any, project: Project, session: SessionArrays) -> None:
    found = [
        functions.peek_gain(project.arrays, session, size, strategy, 4, SLICE_SECONDS)
        for size in range(3)
        for strategy in range(7)
    ]
    session.clock[AREA] = np.sum(found)


@pytest.mark.parametrize(
    "play",
    [follow, follow_deeply, at_random, knowing_all, by_table, exploring, peeking],
    ids=lambda play: play.__name__,
)
def test_python_and_machine_code_agree(
    play: Callable[[Any, Project, SessionArrays], None], project: Project, python: ModuleType
) -> None:
    for budget in (0.4, 6.0):
        compiled, interpreted = (open_session(project.arrays, budget) for _ in range(2))
        play(SimpleNamespace(**COMPILED), project, compiled)
        play(python, project, interpreted)
        for one, other in zip(compiled, interpreted, strict=True):
            assert np.array_equal(one, other)


def test_every_function_of_the_replay_is_compiled() -> None:
    functions = {
        name
        for name, value in vars(replay).items()
        if callable(value) and getattr(value, "__module__", "") == replay.__name__
    }
    assert functions - set(COMPILED) == set()
