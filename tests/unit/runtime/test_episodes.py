"""Outcomes that contradict themselves are refused; episodes number their steps."""

from typing import Any

import pytest

from qe_core.errors import RewardError
from qe_core.fleet import registry
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.errors import DecisionError

MODEL = registry().get("test-executor").reward


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"terminated": True}, "either measurements or points"),
        ({"points": 1.0, "measurements": {}, "terminated": True}, "either measurements or points"),
        ({"points": 1.0, "terminated": True, "truncated": True}, "not both"),
        ({"points": 1.0}, "give next_context"),
        ({"points": 1.0, "truncated": True}, "give next_context"),
        ({"points": 1.0, "next_context": 3, "success": True}, "only the last step"),
    ],
)
def test_an_outcome_that_contradicts_itself_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(DecisionError, match=problem):
        Outcome(**given)


def test_a_reward_follows_from_measurements_or_is_given() -> None:
    name = MODEL.terms[0].name
    assert Outcome({name: 0.25}, terminated=True).reward(MODEL) == MODEL.reward({name: 0.25})
    assert Outcome({name: 0.25}, terminated=True, failed=True).reward(MODEL) == 0.0
    assert Outcome(points=-7, terminated=True).reward(MODEL) == -7.0


@pytest.mark.parametrize("points", [float("nan"), float("inf"), 100.5, -101.0])
def test_points_out_of_range_are_refused(points: float) -> None:
    with pytest.raises(RewardError, match="a reward lies in"):
        Outcome(points=points, terminated=True).reward(MODEL)


def test_an_episode_numbers_its_steps_and_ends() -> None:
    episode = Episode("e")
    assert [episode.take_step() for _ in range(3)] == [0, 1, 2]
    episode.rewards.update({0: 0.1, 1: 0.2, 2: -0.3})
    assert episode.total_reward == pytest.approx(0.0, abs=1e-16)
    episode.is_finished = True
    with pytest.raises(DecisionError, match="the episode e is over"):
        episode.take_step()
