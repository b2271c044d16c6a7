"""How close agents come to the exact optimum of their simulated worlds, by episodes played.

What belongs here: one agent and world at a time, many training seeds, the shares reached and what they are
to be compared with. What does not: the transfer between agents, verdicts over stored statistics.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.fleet.contract import AgentContract
from qe_core.learning.arrays import Float64Array
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.runtime.parameters import caution
from qe_core.runtime.training import TrainingPlan, simulated_play

TARGET = 0.95
"""The share of the optimum that counts as reached."""

CHECKPOINTS = (10, 30, 100, 300, 1000)
"""Episodes after which the table is judged."""

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What an agent that learns alone reaches in one world.

    Attributes:
        agent: whose.
        fingerprint: of the contract it learned under.
        world_seed: which world.
        optimum: exact value of the best policy from the start distribution, points.
        random: of choosing at random.
        best_fixed: of the best single action.
        best_fixed_action: which one.
        checkpoints: episodes after which the table was judged, ascending.
        shares: exact value of the table's greedy policy over the optimum, float64[seeds, checkpoints].
    """

    agent: str
    fingerprint: str
    world_seed: int
    optimum: float
    random: float
    best_fixed: float
    best_fixed_action: str
    checkpoints: tuple[int, ...]
    shares: Float64Array

    @property
    def seeds_reached(self) -> int:
        """How many seeds had reached the target at the last checkpoint."""
        return int((self.shares[:, -1] >= TARGET).sum())

    def band(self, percentile: float) -> Float64Array:
        """Return a percentile over seeds at each checkpoint, float64[checkpoints]."""
        return np.asarray(np.percentile(self.shares, percentile, axis=0))


def shares_reached(
    world: World, settings: Settings, seed: int, checkpoints: Sequence[int] = CHECKPOINTS
) -> Float64Array:
    """Return the share of the optimum after each number of episodes of one session, float64[checkpoints].

    The session is the one `qe train --fresh` plays, its log is solved as the graph solves it, and the greedy
    policy of that table is evaluated exactly.

    Args:
        world: where.
        settings: how to explore, learn and solve.
        seed: of the agent's own chances.
        checkpoints: numbers of episodes, ascending, the last is how many are played.

    Raises:
        LearningError: there are no checkpoints, or they do not ascend from 1 on.
    """
    wanted = np.asarray(checkpoints, dtype=np.int64)
    if len(wanted) == 0 or wanted[0] < 1 or (np.diff(wanted) <= 0).any():
        raise LearningError(f"checkpoints must ascend from 1 on, got {list(checkpoints)}; sort them")
    contract = world.contract
    discount = contract.discount_or(settings.learning.discount)
    plan = TrainingPlan(contract.name, int(wanted[-1]), world.world_seed, seed)
    log = simulated_play(world, settings)(plan, None)
    optimum = world.optimal_value(discount)
    shares = np.empty(len(wanted))
    for place, episodes in enumerate(wanted):
        steps = log.transitions.slice(0, int(np.searchsorted(log.episode, episodes)))
        table = q_table_from_transitions(
            steps, world.state_count, world.action_count, discount, caution(settings)
        )
        shares[place] = world.value_of(table.greedy(), discount) / optimum
    return shares


def learning_curve(
    world: World, settings: Settings, seeds: int, checkpoints: Sequence[int] = CHECKPOINTS
) -> LearningCurve:
    """Return what sessions with seeds 0 … seeds − 1 reach in one world.

    Raises:
        LearningError: no seed, or see `shares_reached`.
    """
    if seeds < 1:
        raise LearningError(f"play at least one seed, not {seeds}")
    discount = world.contract.discount_or(settings.learning.discount)
    fixed = world.fixed_values(discount)
    return LearningCurve(
        agent=world.contract.name,
        fingerprint=world.contract.fingerprint,
        world_seed=world.world_seed,
        optimum=world.optimal_value(discount),
        random=world.random_value(discount),
        best_fixed=float(fixed.max()),
        best_fixed_action=world.contract.action_names[int(fixed.argmax())],
        checkpoints=tuple(checkpoints),
        shares=np.array([shares_reached(world, settings, seed, checkpoints) for seed in range(seeds)]),
    )


def convergence(
    contracts: Sequence[AgentContract],
    world_seeds: Sequence[int],
    seeds: int,
    settings: Settings,
    checkpoints: Sequence[int] = CHECKPOINTS,
    progress: Progress = lambda _what, _done, _total: None,
) -> Iterator[LearningCurve]:
    """Yield the learning curve of each agent in each world, agent by agent.

    Args:
        contracts: who learns; each alone.
        world_seeds: which worlds.
        seeds: training seeds in each world.
        settings: how to explore, learn and solve.
        checkpoints: numbers of episodes to judge after.
        progress: told how far it is.

    Raises:
        NoWorldError: an agent has no simulated world.
        LearningError: see `learning_curve`.
    """
    total = len(contracts) * len(world_seeds)
    pairs = [(contract, world_seed) for contract in contracts for world_seed in world_seeds]
    for done, (contract, world_seed) in enumerate(pairs):
        progress("learning in worlds", done, total)
        yield learning_curve(world_of(contract, world_seed), settings, seeds, checkpoints)
    progress("learning in worlds", total, total)
