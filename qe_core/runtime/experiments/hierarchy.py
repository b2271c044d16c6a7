"""What each way of looking values up costs: the evidence behind the default.

What belongs here: regret of the rules of lookup at several ages of a fleet. What does not: how fast agents
learn by them (`transfer`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qe_core.config import Settings
from qe_core.errors import LearningError
from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LevelRows, LookedUp, LookupSettings, blended_lookup, ordered_lookup
from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.experiments.convergence import Progress
from qe_core.runtime.experiments.fleets import AGES, SharedTables, learned_fleet, shared_tables
from qe_core.runtime.parameters import confidence_settings

_RAW, _ADVANTAGE = LookupSettings(kind=ValueKind.RAW), LookupSettings(kind=ValueKind.ADVANTAGE)
Policy = Callable[[LevelRows, LevelRows, LevelRows, Sequence[int]], Int64Array]


def _rule(lookup: Callable[..., LookedUp], settings: LookupSettings) -> Policy:
    """Return the greedy policy of one way of looking up."""

    def choose(
        own: LevelRows, category: LevelRows, fleet: LevelRows, approaches: Sequence[int]
    ) -> Int64Array:
        """Look up and take the best."""
        return lookup(own, category, fleet, approaches, settings).greedy()

    return choose


LOOKUPS: dict[str, Policy] = {
    "ordered, raw": _rule(ordered_lookup, _RAW),
    "ordered, advantage": _rule(ordered_lookup, _ADVANTAGE),
    "blend, raw": _rule(blended_lookup, _RAW),
    "blend, advantage": _rule(blended_lookup, _ADVANTAGE),
}
"""The rules compared, by what a user would set."""

ALONE = "own table alone"


def default_lookup(settings: Settings) -> str:
    """Return the name of the rule the settings ask for."""
    rule = settings.hierarchy
    return f"{rule.lookup}, {rule.shared_values}"


@dataclass(frozen=True, slots=True)
class LookupRegret:
    """What the rules cost.

    Attributes:
        rules: names, the agent's own table alone first.
        ages: episodes learned.
        agents: names.
        regret: 1 − exact value of the greedy policy over the optimum, float64[rules, ages, agents, seeds].
    """

    rules: tuple[str, ...]
    ages: tuple[int, ...]
    agents: tuple[str, ...]
    regret: Float64Array

    @property
    def mean(self) -> Float64Array:
        """Over agents and seeds, float64[rules, ages]."""
        return np.asarray(self.regret.mean(axis=(2, 3)))

    @property
    def error(self) -> Float64Array:
        """Standard error of the mean over seeds, which are independent, float64[rules, ages]."""
        of_seed = self.regret.mean(axis=2)
        return np.asarray(of_seed.std(axis=2, ddof=1) / np.sqrt(of_seed.shape[2]))

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "rules": list(self.rules),
            "ages_episodes": list(self.ages),
            "agents": list(self.agents),
            "mean_regret": self.mean.tolist(),
            "standard_error": self.error.tolist(),
            "regret": self.regret.tolist(),
        }

    def markdown(self) -> str:
        """Return the means with twice their standard errors, in Markdown."""
        lines = [
            "| rule | " + " | ".join(f"{age:,}" for age in self.ages) + " |",
            "|---|" + "---|" * len(self.ages),
        ]
        for name, means, errors in zip(self.rules, self.mean, self.error, strict=True):
            cells = [f"{mean:.3f} ± {2 * error:.3f}" for mean, error in zip(means, errors, strict=True)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def policies_of(
    contract: AgentContract, table: QTable, shared: SharedTables, settings: Settings
) -> dict[str, Int64Array]:
    """Return the greedy policy of an agent under each rule, int64[S], -1 where nobody knows anything."""
    states = np.arange(contract.state_count)
    own = LevelRows.of(table, quantised_weights(table, confidence_settings(settings)), states)
    rows = (own, *shared.rows(contract), contract.approach_indices)
    return {ALONE: table.greedy()} | {name: choose(*rows) for name, choose in LOOKUPS.items()}


def lookup_regret(
    seeds: Sequence[int],
    settings: Settings,
    ages: Sequence[int] = AGES,
    progress: Progress = lambda _what, _done, _total: None,
) -> LookupRegret:
    """Return the regret of every rule for every agent at every age, in every world.

    All agents learn alone for as long; their tables are aggregated; then each acts greedily by what the rule
    tells it, and the exact value of that policy is compared with the optimum.

    Args:
        seeds: of the worlds, and of the agents' own chances; at least two.
        settings: how they learn.
        ages: numbers of episodes, ascending.
        progress: told how far it is.

    Raises:
        LearningError: there are fewer than two seeds, so nothing to compare chances with.
    """
    if len(seeds) < 2:
        raise LearningError(f"compare over two seeds or more, not {len(seeds)}; 20 is usual")
    names = (ALONE, *LOOKUPS)
    found: list[Float64Array] = []
    agents: tuple[str, ...] = ()
    for done, seed in enumerate(seeds):
        progress(f"fleet {seed}", done, len(seeds))
        fleet = learned_fleet(seed, settings, ages)
        agents = tuple(fleet)
        regret = np.empty((len(names), len(ages), len(agents)))
        for place, age in enumerate(ages):
            shared = shared_tables({one.contract: one.tables[age] for one in fleet.values()}, settings)
            for column, one in enumerate(fleet.values()):
                discount = one.contract.discount_or(settings.learning.discount)
                policies = policies_of(one.contract, one.tables[age], shared, settings)
                optimum = one.world.optimal_value(discount)
                regret[:, place, column] = [
                    1.0 - one.world.value_of(policies[name], discount) / optimum for name in names
                ]
        found.append(regret)
    progress("done", len(seeds), len(seeds))
    return LookupRegret(names, tuple(ages), agents, np.stack(found, axis=-1))
