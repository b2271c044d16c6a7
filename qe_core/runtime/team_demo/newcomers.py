"""How fast a newcomer learns in a simulated world, with what its team knows and without.

What belongs here: playing, and exact values of what a newcomer would do after each number of episodes. What
does not: where the team's knowledge comes from (`sharing`) and showing what came out (`picture`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qe_core.config import Settings
from qe_core.environments.world import World
from qe_core.hierarchy.merging import merged
from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.q_table import QTable, greedy_actions
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.experiments.fleets import table_of
from qe_core.runtime.experiments.transfer import CHECKPOINTS, TARGETS, episodes_until, median_interval
from qe_core.runtime.parameters import confidence_settings, merge_settings
from qe_core.runtime.rebuilding import team_caution
from qe_core.runtime.training import TrainingPlan, simulated_play

LOOKS = (0, *CHECKPOINTS)
"""Episodes after which a newcomer is judged; at 0 it has experienced nothing."""

LIMIT = 2 * LOOKS[-1]
"""What counts for a target that was never reached, where counts are averaged."""


@dataclass(frozen=True, slots=True)
class NewcomerCurves:
    """How newcomers of one agent learn.

    Attributes:
        agent: whose.
        alone: share of the exact optimum without the team, float64[newcomers, looks].
        with_team: the same with what the team knows, after the same episodes.
    """

    agent: str
    alone: Float64Array
    with_team: Float64Array

    def episodes(self, target: float, *, is_helped: bool) -> Float64Array:
        """Return episodes until each newcomer stays at or above a target; infinite for never."""
        shares = self.with_team if is_helped else self.alone
        return np.array([episodes_until(curve, target, LOOKS) for curve in shares])


@dataclass(frozen=True, slots=True)
class Speed:
    """Episodes until a target, over all agents and newcomers.

    Attributes:
        target: share of the exact optimum.
        alone: median episodes without the team, with the ends of a 90 % interval.
        with_team: the same with it.
        unreached: how many of the newcomers never got there alone and with the team.
        newcomers: how many there are.
    """

    target: float
    alone: tuple[float, float, float]
    with_team: tuple[float, float, float]
    unreached: tuple[int, int]
    newcomers: int


def newcomer_curves(
    world: World, evidence: TeamEvidence | None, settings: Settings, seeds: Sequence[int]
) -> NewcomerCurves:
    """Return how newcomers of one agent learn.

    With and without the team the episodes are the same: what differs is the table alone, which is the exact
    solution of the newcomer's own log, or that solution merged with the team's as every pull merges it. A
    newcomer does the best action it knows anything about, in its own table or by a prior.

    Args:
        world: where it plays.
        evidence: what it pulled; None where the team knows nothing about it.
        settings: how it explores and learns.
        seeds: of its own chances, one newcomer each.
    """
    discount = world.discount_or_own(world.contract.discount_or(settings.learning.discount))
    optimum = world.optimal_value(discount)
    merging = merge_settings(settings)
    nothing_sent = np.zeros((world.state_count, world.action_count))
    alone, helped = (np.empty((len(seeds), len(LOOKS))) for _ in range(2))
    for row, seed in enumerate(seeds):
        plan = TrainingPlan(world.contract.name, LOOKS[-1], world.world_seed, seed)
        log = simulated_play(world, settings)(plan, None)
        for column, stop in enumerate(np.searchsorted(log.episode, LOOKS).tolist()):
            steps = log.transitions.slice(0, stop)
            own = both = table_of(world, steps, settings)
            if evidence is not None:
                wary = q_table_from_transitions(
                    steps, world.state_count, world.action_count, discount, team_caution(settings)
                )
                careful = replace(own, q=wary.q)
                both = merged(careful, evidence, nothing_sent, merging, confidence_settings(settings)).table
            for shares, table in ((alone, own), (helped, both)):
                shares[row, column] = world.value_of(known_best(table), discount) / optimum
    return NewcomerCurves(world.contract.name, alone, helped)


def known_best(table: QTable) -> Int64Array:
    """Return the best action of each state among those tried or told of, int64[S]; -1 where there is none."""
    return greedy_actions(table.q, (table.visits > 0) | (table.q != 0.0))


def speeds(curves: Sequence[NewcomerCurves]) -> tuple[Speed, ...]:
    """Return how soon the targets are reached, over all agents and newcomers."""
    found = []
    for target in TARGETS:
        alone, helped = (
            np.concatenate([one.episodes(target, is_helped=is_helped) for one in curves])
            for is_helped in (False, True)
        )
        found.append(
            Speed(
                target=target,
                alone=median_interval(alone),
                with_team=median_interval(helped),
                unreached=(int(np.isinf(alone).sum()), int(np.isinf(helped).sum())),
                newcomers=len(alone),
            )
        )
    return tuple(found)
