"""Which environment an agent trains in."""

from dataclasses import replace

import pytest

from qe_core.config import load_settings
from qe_core.environments.catalogue import NoWorldError
from qe_core.fleet import registry
from qe_core.runtime.parameters import exploration_schedule, learning_rate
from qe_core.runtime.sessions import has_environment, play_of, source_of
from qe_core.runtime.training import TrainingPlan

SETTINGS = load_settings().values


def test_the_pilot_plays_recordings_and_the_others_simulations():
    sources = {contract.name: source_of(contract) for contract in registry()}
    assert [name for name, source in sources.items() if source == "recorded"] == ["test-generator"]
    assert all(has_environment(contract) for contract in registry())


def test_a_users_agent_without_a_world_is_left_out_and_says_what_to_do():
    stranger = replace(registry().get("quality-gate"), name="stranger")
    assert not has_environment(stranger)
    with pytest.raises(NoWorldError, match="imported experiences"):
        play_of(stranger, 0, SETTINGS)(TrainingPlan("stranger", 1), None)


def test_the_same_plan_plays_the_same_episodes():
    play = play_of(registry().get("quality-gate"), 3, SETTINGS)
    first, second = (play(TrainingPlan("quality-gate", 5, world_seed=3), None) for _ in range(2))
    assert first.transitions.reward.tolist() == second.transitions.reward.tolist()


@pytest.mark.parametrize("kind", ["exponential", "step", "reward_based"])
def test_every_schedule_begins_at_the_rate_of_the_settings(kind):
    chosen = SETTINGS.model_copy(
        update={
            "exploration": SETTINGS.exploration.model_copy(update={"schedule": kind, "rate_initial": 0.35})
        }
    )
    assert exploration_schedule(chosen).exploration_rate == 0.35


def test_a_constant_learning_rate_stays_what_it_is():
    learning = SETTINGS.learning.model_copy(
        update={"learning_rate_schedule": "constant", "learning_rate_constant": 0.25}
    )
    rate = learning_rate(SETTINGS.model_copy(update={"learning": learning}))
    assert rate.at([0, 10, 1000]).tolist() == [0.25, 0.25, 0.25]
    assert learning_rate(SETTINGS).at(0) == SETTINGS.learning.learning_rate_initial
