"""One agent that starts now, beside others that have learned: the ways it can use what they know.

What belongs here: what a newcomer believes and does by each way. What does not: playing many of them and what
comes out (`transfer`).
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import assert_never

import numpy as np

from qe_core.config import Settings
from qe_core.environments.planned_play import Beliefs, play_planned
from qe_core.environments.rollouts import EpisodeLog
from qe_core.environments.world import World
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.registry import registry
from qe_core.fleet.vocabulary import FleetContext
from qe_core.hierarchy.effects import EffectDesign, Level
from qe_core.hierarchy.handing_down import handed_down
from qe_core.hierarchy.lookup import LevelRows, blended_lookup, ordered_lookup
from qe_core.hierarchy.pooling import PooledBeliefs
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.learning.value_beliefs import ValueBelief, believed_values
from qe_core.runtime.experiments.fleets import (
    SOURCE_EPISODES,
    LearnedAgent,
    SharedTables,
    shared_tables,
    table_of,
)
from qe_core.runtime.parameters import confidence_settings, lookup_settings
from qe_core.runtime.training import planning_settings


class Way(StrEnum):
    """How a newcomer uses what is known."""

    ISOLATED = "isolated"
    POOLED = "pooled alone"
    TRANSFER = "transfer"
    HIERARCHY = "hierarchy"
    CEILING = "ceiling"
    ORDERED = "ordered lookup"
    BLENDED = "blended lookup"


QUICK_WAYS = (Way.ISOLATED, Way.POOLED, Way.TRANSFER, Way.HIERARCHY, Way.CEILING)
"""Those whose cost does not forbid twenty worlds: a lookup keeps an agent busy trying what it is told."""


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
        self._design = EffectDesign.of(self.contract.state_model, self.contract.category, self._reachable)
        self._tables = {other.contract: other.tables[SOURCE_EPISODES] for other in others}
        self._shared: SharedTables = shared_tables(self._tables, settings)

    def explained_shares(self) -> tuple[float, float]:
        """Return what share of what its actions differ by effects explain: all, and those others have too.

        1 − Σ(advantage − explained)² / Σ advantage², by the exact values of the pairs it can meet.
        """
        advantage = self._exact() - self._exact().mean(axis=1, keepdims=True)
        shares = []
        for is_shared in (False, True):
            effects = self._exact_effects(is_shared=is_shared)
            explained = self._design.values(effects)
            left = advantage - (explained - explained.mean(axis=1, keepdims=True))
            shares.append(float(1.0 - (left**2).sum() / (advantage**2).sum()))
        return shares[0], shares[1]

    def expected(self, way: Way) -> Float64Array:
        """Return what its effects start from by a way, points, float64[1 + A, K]; 0 where nothing is told."""
        match way:
            case Way.TRANSFER:
                found = self._settings.transfer.factor * self._told_by(self._partners())
            case Way.HIERARCHY:
                found = self._told_by(self._shared)
            case Way.CEILING:
                return self._exact_effects(is_shared=True)
            case Way.ISOLATED | Way.POOLED | Way.ORDERED | Way.BLENDED:
                return np.zeros((1 + self.contract.action_count, self._design.column_count))
            case _:
                assert_never(way)
        return found[:, self._design.places]

    def shares(self, way: Way, seed: int, checkpoints: Sequence[int]) -> Float64Array:
        """Return the share of the optimum after each number of episodes, float64[checkpoints].

        Judged is what the newcomer would do by then if it stopped exploring: the best action by what it
        believes, by its table as the graph solves it where it believes nothing but that, or by its lookup.

        Args:
            way: how it uses what is known.
            seed: of its own chances.
            checkpoints: numbers of episodes, ascending.
        """
        remembered = None
        match way:
            case Way.ISOLATED:
                beliefs: Beliefs | None = None
            case Way.POOLED | Way.TRANSFER | Way.HIERARCHY | Way.CEILING:
                beliefs = remembered = _Remembered(self._pooled(way))
            case Way.ORDERED | Way.BLENDED:
                beliefs = self._looking_up(is_blended=way is Way.BLENDED)
            case _:
                assert_never(way)
        settings = planning_settings(self._settings, self._discount)
        rng = np.random.default_rng([seed, 1])
        log = play_planned(self.world, checkpoints[-1], rng, settings, beliefs=beliefs)
        optimum = self.world.optimal_value(self._discount)
        policies = (
            self._policy(way, log, stop) if remembered is None else self._everywhere(remembered.greedy(stop))
            for stop in np.searchsorted(log.episode, checkpoints).tolist()
        )
        return np.array([self.world.value_of(policy, self._discount) / optimum for policy in policies])

    def _pooled(self, way: Way) -> PooledBeliefs:
        return PooledBeliefs(
            self._design, self.contract.action_count, self._discount, self.expected(way),
            confidence_settings(self._settings),
        )  # fmt: skip

    def _partners(self) -> SharedTables:
        """Return category and fleet tables of what the agent's group is confident of."""
        least = self._settings.transfer.minimum_confidence
        manager = TransferLearningManager.of(registry(), self._settings)
        partners = {contract.name for contract in manager.partners(self.contract.name)}
        confident: dict[AgentContract, QTable] = {}
        for contract, table in self._tables.items():
            if contract.name in partners:
                weights = quantised_weights(table, confidence_settings(self._settings))
                is_sure = weights > least * table.visits
                confident[contract] = replace(
                    table, q=np.where(is_sure, table.q, 0.0), visits=np.where(is_sure, table.visits, 0)
                )
        return shared_tables(confident, self._settings)

    def _told_by(self, shared: SharedTables) -> Float64Array:
        category = self.contract.category
        tables: list[tuple[type[FleetContext], QTable]] = [
            (FleetContext, shared.fleet.table),
            (category.context, shared.categories[category].table),
        ]
        return handed_down(self.contract, tables, confidence_settings(self._settings))

    def _exact(self) -> Float64Array:
        """Return the exact optimal action values of the states it can meet, points, float64[R, A]."""
        return solve_finite_mdp(self.world.mdp, self._discount).q[self._reachable]

    def _exact_effects(self, *, is_shared: bool) -> Float64Array:
        """Return the effects that explain its exact values best, in least squares, float64[1 + A, K].

        Shared ones are what others could have told at best: of features they have too, and the same for all
        actions of an approach. They are fitted alone, so that they stand for as much as they can.
        """
        exact = self._exact()
        advantage = exact - exact.mean(axis=1, keepdims=True)
        is_column = self._design.levels < (Level.OWN if is_shared else len(Level))
        columns = np.where(is_column, self._design.columns, 0.0)
        found = np.linalg.lstsq(columns, advantage, rcond=None)[0].T
        if is_shared:
            approaches = np.array(self.contract.approach_indices)
            found = np.stack([found[approaches == approach].mean(axis=0) for approach in approaches])
        return np.concatenate([np.zeros((1, self._design.column_count)), found])

    def _policy(self, way: Way, log: EpisodeLog, stop: int) -> Int64Array:
        """Return the best actions by the table of the log's first steps, looked up or as it is."""
        table = table_of(self.world, log.transitions.slice(0, stop), self._settings)
        if way is Way.ISOLATED:
            return table.greedy()
        states = np.arange(self.world.state_count)
        weights = quantised_weights(table, confidence_settings(self._settings))
        rows = (LevelRows.of(table, weights, states), *self._shared.rows(self.contract))
        rule = blended_lookup if way is Way.BLENDED else ordered_lookup
        return rule(*rows, self.contract.approach_indices, lookup_settings(self._settings)).greedy()

    def _everywhere(self, greedy: Int64Array) -> Int64Array:
        """Return actions of the states it can meet among all states; -1 elsewhere."""
        policy = np.full(self.world.state_count, -1)
        policy[self._reachable] = greedy
        return policy

    def _looking_up(self, *, is_blended: bool) -> Beliefs:
        """Return beliefs that put looked-up values in the place of own ones, never tried pairs included."""
        category, fleet = (_rows_at(rows, self._reachable) for rows in self._shared.rows(self.contract))
        confidence = confidence_settings(self._settings)
        rule = blended_lookup if is_blended else ordered_lookup

        def look_up(mdp: EmpiricalMdp) -> ValueBelief:
            """Look every reachable state up with what was seen so far."""
            own = believed_values(mdp, self._discount, confidence)
            is_tried: BoolArray = own.visits > 0
            trust = np.where(
                is_tried, confidence.prior_variance / (confidence.prior_variance + own.error**2), 0.0
            )
            rows = LevelRows(own.q, own.visits, trust * own.visits)
            found = rule(
                rows, category, fleet, self.contract.approach_indices, lookup_settings(self._settings)
            )
            known_error = np.sqrt(trust) * own.error if is_blended else own.error
            error = np.where(is_tried, known_error, np.sqrt(confidence.prior_variance))
            return ValueBelief(found.value, error, found.is_known.astype(np.int64))

        return look_up


class _Remembered:
    """Beliefs that remember the best actions by each of them; changes in place."""

    def __init__(self, beliefs: Beliefs) -> None:
        self._beliefs = beliefs
        self._steps: list[int] = []
        self._greedy: list[Int64Array] = []

    def __call__(self, mdp: EmpiricalMdp) -> ValueBelief:
        belief = self._beliefs(mdp)
        self._steps.append(int(mdp.count.sum()))
        self._greedy.append(belief.q.argmax(axis=1))
        return belief

    def greedy(self, steps: int) -> Int64Array:
        """Return the best actions by the last belief after at most so many steps."""
        return self._greedy[int(np.searchsorted(self._steps, steps, side="right")) - 1]


def _rows_at(rows: LevelRows, states: Int64Array) -> LevelRows:
    """Return the rows of some of the states."""
    return LevelRows(rows.q[states], rows.visits[states], rows.weights[states])
