"""What the fleet knows, one line for each agent and each shared table.

What belongs here: joining the registry with what the store counts. What does not: how it is printed
(`qe_core.cli`).
"""

from dataclasses import dataclass
from typing import Any

from qe_core.fleet.registry import Registry
from qe_core.store import AgentStatus, Store, TableSummary

NOTHING_YET = "insufficient data"


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent of the fleet.

    Attributes:
        agent: its name.
        category: its category's name.
        experiences: stored transitions.
        episodes: distinct episodes.
        updates: sum of visits in its Q-table.
        states_visited: states its Q-table holds something for.
        convergence: the verdict of its newest statistics window.
    """

    agent: str
    category: str
    experiences: int
    episodes: int
    updates: int
    states_visited: int
    convergence: str

    def as_json(self) -> dict[str, Any]:
        """Return the line as `qe status --json` prints it."""
        return {
            "agent": self.agent,
            "category": self.category,
            "experiences": self.experiences,
            "episodes": self.episodes,
            "updates": self.updates,
            "states_visited": self.states_visited,
            "convergence": self.convergence,
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole fleet at one time.

    Attributes:
        agents: one line for each registered agent, in the registry's order.
        shared_tables: category tables, then the fleet's.
    """

    agents: tuple[AgentLine, ...]
    shared_tables: tuple[TableSummary, ...]


async def fleet_overview(store: Store, fleet: Registry) -> Overview:
    """Return one line for each registered agent, with zeros where nothing is stored yet."""
    known = {status.agent: status for status in await store.status()}
    tables = [table for table in await store.q_tables.list_tables() if table.level != "individual"]
    lines = []
    for contract in fleet:
        status = known.get(contract.name) or AgentStatus(contract.name, 0, 0, 0, 0, NOTHING_YET, None)
        lines.append(
            AgentLine(
                agent=contract.name,
                category=str(contract.category),
                experiences=status.experiences,
                episodes=status.episodes,
                updates=status.updates,
                states_visited=status.states_visited,
                convergence=status.convergence,
            )
        )
    return Overview(
        tuple(lines), tuple(sorted(tables, key=lambda table: (table.level == "fleet", table.name)))
    )
