"""Which environment an agent trains in: recorded outcomes of real tools where there are any, else simulated.

What belongs here: the choice. What does not: playing (`qe_core.environments`) and storing (`training`).
"""

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet.contract import AgentContract
from qe_core.runtime.training import RECORDED, SIMULATED, Play, simulated_play

PILOT = "test-generator"
"""The agent whose environment are recordings of real tools."""


def source_of(contract: AgentContract) -> str:
    """Return what the agent's training experiences carry as source."""
    return RECORDED if contract.name == PILOT else SIMULATED


def play_of(contract: AgentContract, world_seed: int, settings: Settings) -> Play:
    """Return what plays the agent's sessions.

    Args:
        contract: the agent's.
        world_seed: which simulated world; recordings have only one.
        settings: how it explores and learns.

    Raises:
        NoWorldError: the agent has no environment here; its experiences can be imported.
    """
    return simulated_play(world_of(contract, world_seed), settings)
