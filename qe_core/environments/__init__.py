"""Worlds to learn in: simulated ones with known optimum, and recorded outcomes of real tools.

Importing this package registers the built-in agents' environments with Gymnasium as ``qe/<agent>-v0``.
The pilot's recorded sessions are ``qe/test-generator-recorded-v0``.
Call `register_environments` to add those of agents that other packages declare.
"""

from collections.abc import Iterable

import gymnasium
from gymnasium.envs.registration import register

from qe_core.fleet.contract import AgentContract
from qe_core.fleet.roster import AGENTS

RECORDED_ID = "qe/test-generator-recorded-v0"
"""The name of the project sessions over recorded outcomes of real test generators."""


def environment_id(agent: str) -> str:
    """Return the name under which Gymnasium knows the environment of an agent."""
    return f"qe/{agent}-v0"


def register_environments() -> tuple[str, ...]:
    """Register every agent that has a declared world, users' agents included; return all their names.

    Registering again changes nothing.

    Raises:
        ContractError: a registered package's agent or world does not load.
    """
    from qe_core.environments.catalogue import (
        declarations,
    )  # loads users' packages, which may import this one

    return _register(declaration.contract for declaration in declarations().values())


def _register(contracts: Iterable[AgentContract]) -> tuple[str, ...]:
    names = []
    for contract in contracts:
        name = environment_id(contract.name)
        names.append(name)
        if name not in gymnasium.registry:
            register(
                id=name,
                entry_point="qe_core.environments.simulated:SimulatedEnv",
                max_episode_steps=contract.horizon,
                kwargs={"agent": contract.name},
            )
    return tuple(names)


_register(AGENTS)

if RECORDED_ID not in gymnasium.registry:
    register(
        id=RECORDED_ID,
        entry_point="qe_core.environments.recorded:RecordedSessionEnv",
        max_episode_steps=1_000,
    )
