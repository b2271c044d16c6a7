"""Worlds drawn once for all tests of simulated environments."""

from collections.abc import Callable
from functools import cache

import pytest

from qe_core.environments.catalogue import world_of
from qe_core.environments.world import World
from qe_core.fleet.registry import built_registry


@cache
def _drawn(agent: str, world_seed: int) -> World:
    return world_of(built_registry().get(agent), world_seed)


@pytest.fixture(scope="session")
def drawn() -> Callable[[str, int], World]:
    """Gives a built-in agent's world by name and world seed; do not change its arrays."""
    return _drawn
