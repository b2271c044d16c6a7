"""Finding the simulated world of an agent: built-in declarations and those that users register.

What belongs here: looking up declarations and drawing worlds by an agent's name. What does not: the
declarations (`declared`) and Gymnasium (`simulated`).
"""

from functools import cache, lru_cache
from importlib.metadata import entry_points

from qe_core.environments.building import draw_world
from qe_core.environments.declarations import WorldDeclaration
from qe_core.environments.declared import WORLDS
from qe_core.environments.world import World
from qe_core.errors import ContractError, QEError
from qe_core.fleet.contract import AgentContract

ENTRY_POINT_GROUP = "qe_fleet.worlds"


class NoWorldError(QEError):
    """The agent has no simulated world."""


def external_declarations() -> tuple[WorldDeclaration, ...]:
    """Return the worlds that installed packages register, ordered by entry point name.

    Raises:
        ContractError: an entry point does not load or is not a `WorldDeclaration`; the message names it.
    """
    found = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda item: item.name):
        try:
            declaration = entry.load()
        except Exception as error:
            raise ContractError(
                f"entry point {entry.name!r} ({entry.value}) does not load: {error}; "
                "fix or uninstall its package"
            ) from error
        if not isinstance(declaration, WorldDeclaration):
            raise ContractError(
                f"entry point {entry.name!r} ({entry.value}) is a {type(declaration).__name__}, "
                "not a WorldDeclaration; point it at the declaration itself"
            )
        found.append(declaration)
    return tuple(found)


@cache
def declarations() -> dict[str, WorldDeclaration]:
    """Return every declared world by its agent's name, the built-in ones first, in roster order.

    Raises:
        ContractError: two declarations are for the same agent.
    """
    found: dict[str, WorldDeclaration] = {}
    for declaration in (*WORLDS, *external_declarations()):
        name = declaration.contract.name
        if name in found:
            raise ContractError(f"two worlds are declared for agent {name!r}; keep one of them")
        found[name] = declaration
    return found


def world_of(contract: AgentContract, world_seed: int = 0) -> World:
    """Return one world of an agent's family; the same seed gives the same bits.

    Args:
        contract: whose world.
        world_seed: which member of the family, 0 or more.

    Raises:
        NoWorldError: nobody declared a world for this agent; the message says how to.
        ContractError: the seed is negative.
    """
    if world_seed < 0:
        raise ContractError(f"a world seed is a whole number of 0 or more, not {world_seed}")
    declaration = declarations().get(contract.name)
    if declaration is None:
        raise NoWorldError(
            f"agent {contract.name!r} has no simulated world: declare one as a "
            f"qe_core.environments.declarations.WorldDeclaration and register it under the entry point "
            f"group {ENTRY_POINT_GROUP!r}, or learn from recorded or imported experiences"
        )
    return _drawn(declaration, world_seed)


@lru_cache(maxsize=64)
def _drawn(declaration: WorldDeclaration, world_seed: int) -> World:
    """Return a world, drawn once: its arrays cannot be changed, so it may be shared."""
    return draw_world(declaration, world_seed)
