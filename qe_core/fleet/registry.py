"""Who learns: the built-in agents and those that users register.

What belongs here: finding contracts. A user's package adds an agent with an entry point in the group
``qe_fleet.agents`` whose object is an `AgentContract`; partitions, tables, checks and reports follow
from the registry. What does not: the contracts themselves.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from qe_core.errors import ContractError, UnknownAgentError, nearest
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.vocabulary import Category

ENTRY_POINT_GROUP = "qe_fleet.agents"


@dataclass(frozen=True, slots=True)
class Registry:
    """The agents of a fleet, in a fixed order.

    Attributes:
        contracts: one per agent; names are unique.
    """

    contracts: tuple[AgentContract, ...]

    def __post_init__(self) -> None:
        names = [contract.name for contract in self.contracts]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ContractError(
                f"registered more than once: {', '.join(doubled)}; give each agent a name of its own"
            )

    def __iter__(self) -> Iterator[AgentContract]:
        return iter(self.contracts)

    def __len__(self) -> int:
        return len(self.contracts)

    def names(self) -> tuple[str, ...]:
        """Return the agents' names in roster order, a user's own last."""
        return tuple(contract.name for contract in self.contracts)

    def get(self, name: str) -> AgentContract:
        """Return the contract of an agent.

        Raises:
            UnknownAgentError: no such agent; the message names the nearest ones.
        """
        for contract in self.contracts:
            if contract.name == name:
                return contract
        raise UnknownAgentError(f"no agent is called {name!r}: {nearest(name, self.names())}")

    def by_category(self, category: Category) -> tuple[AgentContract, ...]:
        """Return the contracts of one category in roster order."""
        return tuple(contract for contract in self.contracts if contract.category is category)

    def similarity_groups(self) -> dict[str, tuple[AgentContract, ...]]:
        """Return the agents of each similarity group with at least two members."""
        groups: dict[str, list[AgentContract]] = {}
        for contract in self.contracts:
            if contract.similarity_group is not None:
                groups.setdefault(contract.similarity_group, []).append(contract)
        return {name: tuple(members) for name, members in groups.items() if len(members) > 1}


def external_contracts() -> tuple[AgentContract, ...]:
    """Return the contracts that installed packages register, ordered by name.

    Raises:
        ContractError: an entry point does not load or is not an `AgentContract`; the message names it.
    """
    found = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda item: item.name):
        try:
            contract = entry.load()
        except Exception as error:
            raise ContractError(
                f"entry point {entry.name!r} ({entry.value}) does not load: {error}; "
                "fix or uninstall its package"
            ) from error
        if not isinstance(contract, AgentContract):
            raise ContractError(
                f"entry point {entry.name!r} ({entry.value}) is a {type(contract).__name__}, "
                "not an AgentContract; point it at the contract itself"
            )
        found.append(contract)
    return tuple(found)


def built_registry(external: Iterable[AgentContract] = ()) -> Registry:
    """Return the 18 built-in agents followed by ``external`` ones."""
    from qe_core.fleet import roster  # the roster imports every category; contracts do not need it

    return Registry((*roster.AGENTS, *external))


@cache
def registry() -> Registry:
    """Return the fleet of this installation: the built-in agents and all registered by entry points."""
    return built_registry(external_contracts())
