"""What was learned, in words, held against what is best.

What belongs here: which action was learned in which situation, and what it loses to the best. What does not:
the value of the whole policy (`qe_core.runtime.value_reached`).
"""

from dataclasses import dataclass

import numpy as np

from qe_core.environments.world import World
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable


@dataclass(frozen=True, slots=True)
class Pattern:
    """One situation and what was learned for it.

    Attributes:
        situation: the features that tell situations of this world apart, in words.
        met: decisions taken there.
        learned: the action that was learned.
        best: the action that is best.
        loss: by exact values, what the learned one brings less than the best, points, at least 0.
    """

    situation: str
    met: int
    learned: str
    best: str
    loss: float


@dataclass(frozen=True, slots=True)
class Patterns:
    """What was learned in every situation that was met, the most often met first.

    Attributes:
        all: one for each situation.
        tie_points: what is lost at most by an action that counts as good as the best, points.
    """

    all: tuple[Pattern, ...]
    tie_points: float

    @property
    def right(self) -> int:
        """Situations in which the learned action is as good as the best."""
        return sum(self._is_right(one) for one in self.all)

    @property
    def right_share_of_decisions(self) -> float:
        """Share of decisions that were taken in these situations, in [0, 1]; 0 where there were none."""
        met = sum(one.met for one in self.all)
        return sum(one.met for one in self.all if self._is_right(one)) / met if met else 0.0

    @property
    def mean_loss(self) -> float:
        """What the learned actions lose, each situation weighing as often as it was met, points."""
        met = sum(one.met for one in self.all)
        return sum(one.met * one.loss for one in self.all) / met if met else 0.0

    def _is_right(self, one: Pattern) -> bool:
        return one.loss <= self.tie_points


def patterns_of(world: World, table: QTable, discount: float, tie_points: float) -> Patterns:
    """Return what a table learned in every situation of a world that it has met.

    Args:
        world: whose exact values decide what is best.
        table: of the same agent.
        discount: γ in [0, 1).
        tie_points: see `Patterns`.
    """
    exact = solve_finite_mdp(world.mdp, discount)
    greedy, met = table.greedy(), table.visits.sum(axis=1)
    reachable = np.flatnonzero(world.is_reachable)
    names, model = world.contract.action_names, world.contract.state_model
    situations = {int(state): model.decode(int(state)).model_dump() for state in reachable}
    told = [
        feature.name
        for feature in model.features()
        if len({labels[feature.name] for labels in situations.values()}) > 1
    ]
    found = [
        Pattern(
            situation=", ".join(f"{name.replace('_', ' ')} {labels[name]}" for name in told),
            met=int(met[state]),
            learned=names[greedy[state]],
            best=names[exact.policy[state]],
            loss=max(0.0, float(exact.value[state] - exact.q[state, greedy[state]])),
        )
        for state, labels in situations.items()
        if met[state]
    ]
    return Patterns(tuple(sorted(found, key=lambda one: (-one.met, one.situation))), tie_points)
