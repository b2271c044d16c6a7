"""The Gymnasium side of the replay."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from qe_core.environments import RECORDED_ID
from qe_core.environments.recorded import RecordedSessionEnv, Recordings
from qe_core.environments.recorded.session import SLICE_SECONDS
from qe_core.errors import RecordingError, StateError
from qe_core.fleet.test_generation import STRATEGIES, TEST_GENERATOR

MOVE_ON = len(STRATEGIES)
LITERALS = 0


def test_gymnasium_makes_and_accepts_it(recordings: Recordings) -> None:
    env = gymnasium.make(RECORDED_ID, recordings=recordings)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None
    assert env.spec.max_episode_steps == TEST_GENERATOR.horizon


def test_a_session_by_hand(by_hand: Recordings) -> None:
    """Literals on a: two branches and a mutant in 0.1 s, then a move to b."""
    env = RecordedSessionEnv(by_hand, seconds_per_module=0.5, repetitions=(0,))
    _, facts = env.reset(seed=0)
    assert facts["module"] == "a"
    assert facts["action_mask"].tolist() == [1] * 8
    state, reward, terminated, truncated, facts = env.step(LITERALS)
    expected = TEST_GENERATOR.reward.reward(
        {
            "coverage_gain": 2 / 4 / SLICE_SECONDS,
            "defects_found": 1 / 2 / SLICE_SECONDS,
            "edge_cases_reached": 0.0,
            "execution_speed": 1.0 + 0.1 / 32.0,
            "suite_size": 0.0,
        }
    )
    assert reward == pytest.approx(expected)
    assert not terminated
    assert not truncated
    assert facts["area"] == pytest.approx(2 * 0.95 / 10)
    assert facts["mutant_area"] == pytest.approx(0.95 / 4)
    assert state == facts["module_states"][0]
    state, reward, _, _, facts = env.step(MOVE_ON)
    assert reward == 0.0
    assert facts["module"] == "b"
    assert state == facts["module_states"][1]
    assert facts["seconds_used"] == pytest.approx(0.1)


def test_an_action_that_makes_no_sense_moves_on(by_hand: Recordings) -> None:
    env = RecordedSessionEnv(by_hand, seconds_per_module=5.0, repetitions=(0,))
    env.reset(seed=0)
    env.step(1)  # edge-values on a end after 0.1 s
    _, reward, _, _, facts = env.step(1)
    assert reward == 0.0
    assert facts["module"] == "b"


def test_random_sessions_end_within_their_budget(recordings: Recordings) -> None:
    env = RecordedSessionEnv(recordings, split="held-out", seconds_per_module=1.0, repetitions=(2,))
    rng = np.random.default_rng(0)
    for episode in range(5):
        _, facts = env.reset(seed=episode)
        assert facts["package"] in recordings.packages("held-out")
        assert facts["repetition"] == 2
        terminated = False
        while not terminated:
            _, _, terminated, _, facts = env.step(rng.choice(np.flatnonzero(facts["action_mask"])))
        assert facts["seconds_used"] <= 4.0 + 1e-9


def test_the_order_of_modules_can_be_given(recordings: Recordings) -> None:
    env = RecordedSessionEnv(recordings, package="package2", repetitions=(0,))
    _, facts = env.reset(seed=0, options={"order": [2, 0]})
    assert facts["module"] == "package2.module2"
    assert len(facts["module_states"]) == 2
    with pytest.raises(RecordingError, match="distinct modules"):
        env.reset(options={"order": [1, 1]})


def test_the_state_is_rendered_in_words(by_hand: Recordings) -> None:
    env = RecordedSessionEnv(by_hand, repetitions=(0,), render_mode="ansi")
    env.reset(seed=0)
    assert env.render().startswith("0.0 of 6.0 s, a: size small, risk low, track_record healthy")  # type: ignore[union-attr]
    assert RecordedSessionEnv(by_hand, repetitions=(0,)).render() is None


def test_steps_out_of_place_are_refused(by_hand: Recordings) -> None:
    env = RecordedSessionEnv(by_hand, seconds_per_module=0.04, repetitions=(0,))
    with pytest.raises(StateError, match="call reset first"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(StateError, match="there is no action 8; the test generator has 0 to 7"):
        env.step(8)
    assert env.step(LITERALS)[2]
    with pytest.raises(StateError, match="call reset first"):
        env.step(0)


def test_what_cannot_be_drawn_is_refused(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no package 'pakage1' was recorded"):
        RecordedSessionEnv(recordings, package="pakage1")
    with pytest.raises(RecordingError, match="has no repetition 9"):
        RecordedSessionEnv(recordings, repetitions=(9,))
    with pytest.raises(RecordingError, match="nothing recorded to draw"):
        RecordedSessionEnv(recordings, repetitions=())
    with pytest.raises(RecordingError, match="a session needs a budget above 0"):
        RecordedSessionEnv(recordings, seconds_per_module=-1.0)
    with pytest.raises(RecordingError, match="there is no recording"):
        RecordedSessionEnv(folder=tmp_path)
