"""How fast a newcomer learns when the others of its fleet have learned already.

What belongs here: one agent that starts while the others know their worlds, by each way of using what they
know. What does not: learning alone for its own sake (`convergence`), regret of lookups (`hierarchy`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import numpy as np

from qe_core.config import Settings
from qe_core.environments.planned_play import Advice, play_planned
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.fleet.registry import registry
from qe_core.hierarchy.aggregate import APPROACH_COUNT
from qe_core.hierarchy.first_tries import in_order_of
from qe_core.hierarchy.lookup import LevelRows, blended_lookup, ordered_lookup
from qe_core.hierarchy.project import project_pairs
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.learning.value_beliefs import ValueBelief
from qe_core.runtime.experiments.convergence import Progress
from qe_core.runtime.experiments.fleets import (
    SOURCE_EPISODES,
    LearnedAgent,
    SharedTables,
    learned_fleet,
    shared_tables,
    table_of,
)
from qe_core.runtime.parameters import confidence_settings, lookup_settings
from qe_core.runtime.training import planning_settings

CHECKPOINTS = (
    *(10, 20, 30, 40, 50, 60, 80, 100, 120, 140, 160, 180, 200),
    *(230, 260, 300, 340, 380, 430, 480, 540, 600),
)  # fmt: skip
"""Episodes after which a newcomer is judged."""

TARGETS = (0.80, 0.95)
"""Shares of the optimum to be reached and kept."""

RESAMPLES = 2_000


class Way(StrEnum):
    """How a newcomer uses what others know."""

    ISOLATED = "isolated"
    TRANSFER = "transfer"
    HIERARCHY = "hierarchy"
    ORDERED = "ordered lookup"
    BLENDED = "blended lookup"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class NewcomerCurve:
    """How one agent learns as a newcomer.

    Attributes:
        agent: whose.
        group: its similarity group, empty without one.
        shares: exact value of its policy over the optimum by way, float64[seeds, checkpoints] each.
        told: mean share of the pairs it can meet about which its group told it anything.
        explained: mean share of what its actions differ by that shared states and approaches can tell apart.
    """

    agent: str
    group: str
    shares: dict[Way, Float64Array]
    told: float
    explained: float

    def episodes(self, way: Way, target: float) -> Float64Array:
        """Return episodes until the share stays at or above a target, float64[seeds]; infinite if never."""
        return np.array([episodes_until(curve, target) for curve in self.shares[way]])

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values; null for never."""
        return {
            "agent": self.agent,
            "group": self.group,
            "told": self.told,
            "explained": self.explained,
            "ways": {
                str(way): {
                    "shares": shares.tolist(),
                    "episodes": {
                        f"{target:g}": [
                            None if np.isinf(count) else count
                            for count in self.episodes(way, target).tolist()
                        ]
                        for target in TARGETS
                    },
                }
                for way, shares in self.shares.items()
            },
        }


def episodes_until(shares: Float64Array, target: float, checkpoints: Sequence[int] = CHECKPOINTS) -> float:
    """Return the first checkpoint from which on the share stays at or above a target; infinite if none is."""
    below = np.flatnonzero(shares < target)
    first = 0 if len(below) == 0 else int(below[-1]) + 1
    return float(checkpoints[first]) if first < len(checkpoints) else float("inf")


def saved(isolated: Float64Array, other: Float64Array, limit: float) -> tuple[float, float, float]:
    """Return the share of episodes saved, with the ends of a 90 % interval.

    1 − Σ other / Σ isolated, over pairs in the same world; what never arrives counts as ``limit``. The
    interval is a paired percentile bootstrap over seeds, itself seeded (Efron & Tibshirani 1993).

    Args:
        isolated: episodes alone, float64[seeds].
        other: episodes by another way in the same worlds, float64[seeds].
        limit: episodes played.
    """
    alone, helped = np.minimum(isolated, limit), np.minimum(other, limit)
    drawn = np.random.default_rng(0).integers(0, len(alone), (RESAMPLES, len(alone)))
    ratios = 1.0 - helped[drawn].sum(axis=1) / alone[drawn].sum(axis=1)
    low, high = np.percentile(ratios, [5, 95])
    return float(1.0 - helped.sum() / alone.sum()), float(low), float(high)


def median_interval(values: Float64Array) -> tuple[float, float, float]:
    """Return the median over seeds, with the ends of a 90 % bootstrap interval; infinite for never."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    medians = np.sort(np.sort(values[drawn], axis=1)[:, (len(values) - 1) // 2])
    middle = float(np.sort(values)[(len(values) - 1) // 2])
    return middle, float(medians[RESAMPLES // 20]), float(medians[-RESAMPLES // 20 - 1])


class Newcomer:
    """One agent that starts now, in the world of one seed, beside others that have learned.

    Args:
        one: the agent; what it learned before is forgotten.
        others: the rest of the fleet.
        settings: how it explores, learns and looks up.
    """

    def __init__(self, one: LearnedAgent, others: Sequence[LearnedAgent], settings: Settings) -> None:
        self.world: World = one.world
        self.contract, self._settings = one.contract, settings
        self._discount = self.contract.discount_or(settings.learning.discount)
        self._reachable = np.flatnonzero(self.world.is_reachable)
        tables = {other.contract: other.tables[SOURCE_EPISODES] for other in others}
        self._shared: SharedTables = shared_tables(tables, settings)
        manager = TransferLearningManager.of(registry(), settings)
        empty = QTable.zeros(self.world.state_count, self.world.action_count)
        known = {contract.name: table for contract, table in tables.items()}
        self.told = manager.transfer(self.contract.name, known | {self.contract.name: empty}).table

    @property
    def told_share(self) -> float:
        """Share of the pairs it can meet about which its group told it anything."""
        return float((self.told.q[self._reachable] != 0).mean())

    @property
    def explained_share(self) -> float:
        """1 − Σ(advantage − ceiling)² / Σ advantage² over the pairs it can meet."""
        advantage = self._advantages()
        left = advantage - self._ceiling()
        return float(1.0 - (left**2).sum() / (advantage**2).sum())

    def advice(self, way: Way) -> Advice | None:
        """Return how this way changes what the agent acts on."""
        match way:
            case Way.ISOLATED:
                return None
            case Way.TRANSFER:
                told = self.told.q[self._reachable]
                return _ordering(told, told != 0)
            case Way.HIERARCHY:
                nothing = QTable.zeros(self.world.state_count, self.world.action_count)
                value, is_known = self._look_up(nothing, is_blended=True)
                return _ordering(value[self._reachable], is_known[self._reachable])
            case Way.CEILING:
                ceiling = self._ceiling()
                return _ordering(ceiling, np.ones(ceiling.shape, dtype=np.bool_))
            case Way.ORDERED | Way.BLENDED:
                return self._acting_on_lookup(is_blended=way is Way.BLENDED)
            case _:
                assert_never(way)

    def shares(self, way: Way, seed: int, checkpoints: Sequence[int] = CHECKPOINTS) -> Float64Array:
        """Return the share of the optimum after each number of episodes, float64[checkpoints].

        Args:
            way: how it uses what others know.
            seed: of its own chances.
            checkpoints: numbers of episodes, ascending.
        """
        settings = planning_settings(self._settings, self._discount)
        rng = np.random.default_rng([seed, 1])
        log = play_planned(self.world, checkpoints[-1], rng, settings, advice=self.advice(way))
        optimum = self.world.optimal_value(self._discount)
        stops = np.searchsorted(log.episode, checkpoints)
        found = []
        for stop in stops.tolist():
            table = table_of(self.world, log.transitions.slice(0, stop), self._settings)
            policy = table.greedy()
            if way in (Way.ORDERED, Way.BLENDED):
                value, is_known = self._look_up(table, is_blended=way is Way.BLENDED)
                policy = np.where(is_known.any(axis=1), np.where(is_known, value, -np.inf).argmax(axis=1), -1)
            found.append(self.world.value_of(policy, self._discount) / optimum)
        return np.array(found)

    def _look_up(self, table: QTable, *, is_blended: bool) -> tuple[Float64Array, BoolArray]:
        """Return looked-up values of all states, and where anybody knows anything."""
        states = np.arange(self.world.state_count)
        weights = quantised_weights(table, confidence_settings(self._settings))
        rows = (LevelRows.of(table, weights, states), *self._shared.rows(self.contract))
        rule = blended_lookup if is_blended else ordered_lookup
        found = rule(*rows, self.contract.approach_indices, lookup_settings(self._settings))
        return found.value, found.is_known

    def _acting_on_lookup(self, *, is_blended: bool) -> Advice:
        """Return advice that puts looked-up values in the place of own ones, never tried pairs included."""
        category, fleet = (rows_at(rows, self._reachable) for rows in self._shared.rows(self.contract))
        prior_variance = confidence_settings(self._settings).prior_variance
        rule = blended_lookup if is_blended else ordered_lookup

        def advise(belief: ValueBelief) -> ValueBelief:
            """Look every reachable state up with what is believed now."""
            trust = np.where(belief.visits > 0, prior_variance / (prior_variance + belief.error**2), 0.0)
            own = LevelRows(belief.q, belief.visits, trust * belief.visits)
            found = rule(
                own, category, fleet, self.contract.approach_indices, lookup_settings(self._settings)
            )
            error = np.where(
                belief.visits > 0, np.sqrt(trust) * belief.error if is_blended else belief.error,
                np.sqrt(prior_variance),
            )  # fmt: skip
            return ValueBelief(found.value, error, found.is_known.astype(np.int64))

        return advise

    def _advantages(self) -> Float64Array:
        """Return exact optimal action values less their state's mean, over the states it can meet."""
        q = solve_finite_mdp(self.world.mdp, self._discount).q[self._reachable]
        return np.asarray(q - q.mean(axis=1, keepdims=True))

    def _ceiling(self) -> Float64Array:
        """Return the agent's own exact advantages, averaged over what shared cells can tell apart.

        Nobody who speaks in the category's states and approaches can know more; the fleet's are coarser.
        """
        advantage = self._advantages()
        cells = project_pairs(
            self.world.state_count, self.contract.category_divisor, self.contract.approach_indices,
            APPROACH_COUNT,
        )[self._reachable]  # fmt: skip
        size = self.contract.category.context.space_size() * APPROACH_COUNT
        total = np.bincount(cells.ravel(), advantage.ravel(), size)
        return np.asarray((total / np.maximum(np.bincount(cells.ravel(), minlength=size), 1))[cells])


def rows_at(rows: LevelRows, states: Int64Array) -> LevelRows:
    """Return the rows of some of the states."""
    return LevelRows(rows.q[states], rows.visits[states], rows.weights[states])


def _ordering(prior: Float64Array, is_known: BoolArray) -> Advice:
    """Return advice that only orders first tries."""

    def advise(belief: ValueBelief) -> ValueBelief:
        """Let untried actions wait for better ones."""
        return in_order_of(belief, prior, is_known)

    return advise


def newcomers(
    agents: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    ways: Sequence[Way] = tuple(Way),
    progress: Progress = lambda _what, _done, _total: None,
) -> Iterator[NewcomerCurve]:
    """Yield how each agent learns as a newcomer in every world.

    Args:
        agents: names.
        seeds: of the worlds, and of the agents' own chances.
        settings: how they explore, learn and look up.
        ways: what to compare; isolated learning is needed to compare with.
        progress: told how far it is.

    Raises:
        LearningError: no seed, or no isolated learning to compare with.
    """
    if not seeds or Way.ISOLATED not in ways:
        raise LearningError(
            f"compare over 1 seed or more, with {Way.ISOLATED}; got {list(seeds)}, {list(ways)}"
        )
    found: dict[str, list[tuple[dict[Way, Float64Array], float, float]]] = {name: [] for name in agents}
    total = len(seeds) * len(agents)
    for done, seed in enumerate(seeds):
        progress(f"fleet {seed}", done * len(agents), total)
        fleet = learned_fleet(seed, settings, (SOURCE_EPISODES,))
        for place, name in enumerate(agents):
            progress(f"{name}, world {seed}", done * len(agents) + place, total)
            others = [one for other, one in fleet.items() if other != name]
            newcomer = Newcomer(fleet[name], others, settings)
            shares = {way: newcomer.shares(way, seed) for way in ways}
            found[name].append((shares, newcomer.told_share, newcomer.explained_share))
    progress("done", total, total)
    groups = TransferLearningManager.of(registry(), settings)
    for name, lines in found.items():
        yield NewcomerCurve(
            agent=name,
            group=", ".join(groups.groups_of(name)),
            shares={way: np.array([shares[way] for shares, _, _ in lines]) for way in ways},
            told=float(np.mean([told for _, told, _ in lines])),
            explained=float(np.mean([explained for _, _, explained in lines])),
        )
