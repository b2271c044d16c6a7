"""What the tables that agents share are made of.

What belongs here: loading lower tables as parts of an upper one. What does not: what tables are registered
under (`qe_core.runtime.table_declarations`), aggregating and publishing themselves.
"""

from dataclasses import dataclass

from qe_core.config import Settings
from qe_core.fleet import Category, FleetContext, registry
from qe_core.hierarchy.aggregate import Aggregate, AggregationPart
from qe_core.learning.q_table import quantised_weights
from qe_core.runtime.parameters import confidence_settings
from qe_core.runtime.table_declarations import category_table, individual_table, load_tables
from qe_core.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What an upper table is made of.

    Attributes:
        parts: the lower tables, with weights that follow from the evidence they hold now.
        versions: the version of each when it was read, for lineage.
    """

    parts: list[AggregationPart]
    versions: dict[str, int]

    @property
    def visits(self) -> int:
        """The sum of all visits."""
        return sum(int(part.table.visits.sum()) for part in self.parts)


async def category_parts(store: Store, category: Category, settings: Settings) -> Parts:
    """Return the tables of a category's agents as parts of its table.

    Their stored weights are as of their last publication; live updates come on top of that, so weights are
    taken from the evidence itself.
    """
    found = Parts([], {})
    contracts = registry().by_category(category)
    tables = await load_tables(store, [individual_table(contract) for contract in contracts])
    for contract, stored in zip(contracts, tables, strict=True):
        weights = quantised_weights(stored.table, confidence_settings(settings))
        divisor, approaches = contract.category_divisor, contract.approach_indices
        found.parts.append(AggregationPart(contract.name, stored.table, weights, divisor, approaches))
        found.versions[contract.name] = stored.version
    return found


async def fleet_parts(store: Store) -> Parts:
    """Return the tables of all categories as parts of the fleet's table."""
    found = Parts([], {})
    tables = await load_tables(store, [category_table(category) for category in Category])
    for category, stored in zip(Category, tables, strict=True):
        divisor = category.context.divisor_to(FleetContext)
        found.parts.append(Aggregate(stored.table, stored.weights).as_part(category.value, divisor))
        found.versions[category.value] = stored.version
    return found
