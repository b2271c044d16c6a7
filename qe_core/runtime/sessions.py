"""Which environment an agent trains in: recorded outcomes of real tools where there are any, else simulated.

What belongs here: the choice, and fitting the pilot's training to a plan. What does not: playing
(`qe_core.environments`) and storing (`training`).
"""

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import declarations, world_of
from qe_core.environments.recorded import Recordings, TrainingSettings, train_pilot
from qe_core.environments.rollouts import EpisodeLog
from qe_core.fleet.contract import AgentContract
from qe_core.runtime.training import RECORDED, SIMULATED, KnownSoFar, Play, TrainingPlan, simulated_play

PILOT = "test-generator"
"""The agent whose environment are recordings of real tools."""


def source_of(contract: AgentContract) -> str:
    """Return what the agent's training experiences carry as source."""
    return RECORDED if contract.name == PILOT else SIMULATED


def has_environment(contract: AgentContract) -> bool:
    """Whether the agent can play here; one that cannot learns from imported experiences."""
    return contract.name == PILOT or contract.name in declarations()


def play_of(contract: AgentContract, world_seed: int, settings: Settings) -> Play:
    """Return what plays the agent's sessions; its environment is made when the first one is played.

    Playing raises `NoWorldError` where the agent has no environment here (its experiences can be imported),
    and `RecordingError` where the shipped recordings are missing or were changed.

    Args:
        contract: the agent's.
        world_seed: which simulated world; recordings have only one.
        settings: how it explores and learns.
    """

    def play_plan(plan: TrainingPlan, start: KnownSoFar | None) -> EpisodeLog:
        if contract.name == PILOT:
            return recorded_play(Recordings.load(), contract, settings)(plan, start)
        return simulated_play(world_of(contract, world_seed), settings)(plan, start)

    return play_plan


def recorded_play(recordings: Recordings, contract: AgentContract, settings: Settings) -> Play:
    """Return what plays the pilot's plans on the recordings' training packages.

    The pilot learns in rounds and always from nothing, so that no plan depends on what was stored before.
    Answers to divergence would change nothing: the table is solved and not approached in steps, and the pilot
    explores as much as the monitor ever asks for.
    """
    rounds = TrainingSettings().rounds
    discount = contract.discount_or(settings.learning.discount)

    def play_plan(plan: TrainingPlan, _start: KnownSoFar | None) -> EpisodeLog:
        divisor = next(count for count in range(rounds, 0, -1) if plan.episodes % count == 0)
        chosen = TrainingSettings(rounds=divisor, episodes=plan.episodes // divisor, discount=discount)
        return train_pilot(recordings, np.random.default_rng([plan.seed]), chosen)

    return play_plan
