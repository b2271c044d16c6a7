"""What a learned table is worth in a simulated world, beside the exact optimum and what is easy.

What belongs here: exact values. What does not: which table and which world (`figures`, `pilot`).
"""

from dataclasses import dataclass
from typing import Self

from qe_core.environments.world import World
from qe_core.learning.q_table import QTable


@dataclass(frozen=True, slots=True)
class ValueReached:
    """What a table's greedy policy is worth in a simulated world, exactly, from its start distribution.

    Attributes:
        value: of the greedy policy, points.
        optimum: of the best policy there is.
        random: of choosing at random.
        best_fixed: of the best single action.
        best_fixed_action: which one.
    """

    value: float
    optimum: float
    random: float
    best_fixed: float
    best_fixed_action: str

    @classmethod
    def of(cls, world: World, table: QTable, discount: float) -> Self:
        """Return what the greedy policy of a table is worth in a world.

        Args:
            world: whose values.
            table: of the same agent; states it does not know are met with the agent's baseline action.
            discount: γ in [0, 1).
        """
        fixed = world.fixed_values(discount)
        return cls(
            value=world.value_of(table.greedy(), discount),
            optimum=world.optimal_value(discount),
            random=world.random_value(discount),
            best_fixed=float(fixed.max()),
            best_fixed_action=world.contract.action_names[int(fixed.argmax())],
        )

    def percent(self, value: float) -> float:
        """Return a value in percent of the optimum."""
        return 100.0 * value / self.optimum

    @property
    def percent_of_optimum(self) -> float:
        """The reached value in percent of the optimum."""
        return self.percent(self.value)
