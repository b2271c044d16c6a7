"""Partitions: which agents and categories the graph is cut into, read from the registry.

What belongs here: partition definitions, asset keys that follow from the registry, and going through the
agents of a run. What does not: any list of agents.
"""

import logging
import re
from collections.abc import Iterator, Sequence

import dagster as dg

from qe_core.errors import UnknownAgentError, nearest
from qe_core.fleet import AgentContract, Category, registry

AGENTS = dg.StaticPartitionsDefinition(list(registry().names()))
"""One partition for each registered agent; an agent registered by an entry point appears by itself."""

PROGRESS = logging.getLogger("qe_pipelines.progress")
"""Where assets tell which agent they are at."""

ALL_AT_ONCE = dg.BackfillPolicy.single_run()
"""However many agents are asked for, they share one run: starting a run costs more than most agents' work."""


def selected_contracts(context: dg.AssetExecutionContext) -> Iterator[AgentContract]:
    """Yield the contract of each agent this run covers, telling `PROGRESS` how far it has come.

    That is an ordinary logger: through Dagster's own every line would be a row in its database.
    """
    names = context.partition_keys
    for position, name in enumerate(names, start=1):
        PROGRESS.info("%s: %s, %d of %d", context.asset_key.to_user_string(), name, position, len(names))
        yield registry().get(name)


def category_key(category: Category) -> dg.AssetKey:
    """Return the key of the asset that holds this category's table."""
    return dg.AssetKey(["category_q_table", category.value.replace("-", "_")])


def transfer_key(group: str) -> dg.AssetKey:
    """Return the key of the asset that holds what the agents of one similarity group told each other."""
    return dg.AssetKey(["transferred_priors", re.sub(r"[^A-Za-z0-9_]", "_", group)])


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the run tags that select all agents from ``first`` to ``last``, both included."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def agent_ranges(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the fewest (first, last) ranges of the roster that hold exactly these agents.

    Raises:
        UnknownAgentError: a name is not registered.
    """
    roster = AGENTS.get_partition_keys()
    for name in names:
        if name not in roster:
            raise UnknownAgentError(f"no agent is called {name!r}: {nearest(name, roster)}")
    ranges: list[tuple[str, str]] = []
    previous = -2
    for position, name in enumerate(roster):
        if name not in names:
            continue
        first = ranges.pop()[0] if position == previous + 1 else name
        ranges.append((first, name))
        previous = position
    return ranges
