"""The exact solution of a log against a thousand compiled epochs of replay over the same log.

What belongs here: both, and the exact optimum by an independent road, from which both are measured. What does
not: replay by itself (`learning_replay`).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_least,
    below,
    timed,
)
from benchmarks.learning_replay import RATE
from benchmarks.learning_world import DISCOUNT, World
from benchmarks.place import Place
from qe_core.learning.empirical_mdp import EmpiricalMdp, q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.finite_mdp import Solution
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import SequentialTraining

EPOCHS = 1_000
STATES, ACTIONS = 1_500, 8
EXACT_POINTS = 1e-6
"""Allowed distance of our solution from the optimum by another road; residual over 1 − γ, and room."""

LEARNED_SHARE = 0.9
"""Epochs must come nearer to the optimum than this share of where they began, or they did not learn."""

FloatArray = npt.NDArray[np.float64]


def optimum(log: Transitions) -> FloatArray:
    """Return the optimal values of what a log shows, by counting and policy iteration with a dense solver.

    Shares no code with what is measured: numpy counts, LAPACK solves. Unvisited pairs hold −∞.
    """
    pair = log.state * ACTIONS + log.action
    visits = np.bincount(pair, minlength=STATES * ACTIONS)
    reward = np.bincount(pair, weights=log.reward, minlength=STATES * ACTIONS) / np.maximum(visits, 1)
    goes_on = ~log.terminated
    probability = np.zeros((STATES * ACTIONS, STATES))
    np.add.at(probability, (pair[goes_on], log.next_state[goes_on]), 1.0)
    probability /= np.maximum(visits, 1)[:, np.newaxis]
    is_visited = (visits > 0).reshape(STATES, ACTIONS)
    reward[visits == 0] = -math.inf
    has_choice = is_visited.any(axis=1)
    policy = np.where(is_visited, reward.reshape(STATES, ACTIONS), -math.inf).argmax(axis=1)
    while True:
        rows = np.arange(STATES) * ACTIONS + policy
        gain = np.where(has_choice, reward[rows], 0.0)
        onward = probability[rows] * has_choice[:, np.newaxis]
        value = np.linalg.solve(np.eye(STATES) - DISCOUNT * onward, gain)
        q = (reward + DISCOUNT * probability @ value).reshape(STATES, ACTIONS)
        improved = q.argmax(axis=1)
        is_better = q[np.arange(STATES), improved] > q[np.arange(STATES), policy] + 1e-11
        if not is_better[has_choice].any():
            return q
        policy = np.where(is_better & has_choice, improved, policy)


@contextmanager
def prepare(place: Place) -> Iterator[Running]:
    """Yield the exact solution and the epochs, each from the log to a table."""
    epochs = place.size(full=EPOCHS, quick=50)
    log = World(STATES, ACTIONS).log(place.size(full=200_000, quick=40_000))
    truth = optimum(log)
    is_visited = np.isfinite(truth)
    start = float(np.abs(truth[is_visited]).mean())
    empty = QTable.zeros(STATES, ACTIONS)

    def distances(q: FloatArray) -> dict[str, float]:
        """Return mean and largest distance from the optimum, and the share of states with another action."""
        off = np.abs(q - truth)[is_visited]
        chosen = np.where(is_visited, q, -math.inf).argmax(axis=1)
        regret = truth.max(axis=1) - truth[np.arange(STATES), chosen]
        return {
            "mean_distance_points": float(off.mean()),
            "largest_distance_points": float(off.max()),
            "wrong_states_percent": 100.0 * float((regret > EXACT_POINTS).mean()),
        }

    def exact() -> tuple[QTable, Solution]:
        """Count, solve, tabulate."""
        mdp = EmpiricalMdp.from_transitions(log, STATES, ACTIONS)
        solution = solve_empirical_mdp(mdp, DISCOUNT)
        return q_table_from_mdp(mdp, solution, DISCOUNT), solution

    def ours() -> Measurement:
        """Time the solution, then say how good it is."""
        taken = timed(exact)
        table, solution = taken.result
        figures = {**taken.values, "residual_points": solution.residual, **distances(table.q)}
        return Measurement(figures, figures)

    def replay() -> QTable:
        """Replay the log again and again; only the first time counts as evidence."""
        training = SequentialTraining(empty, DISCOUNT, RATE)
        training.add(log)
        first = training.trained(np.empty(0))
        again = SequentialTraining(
            first.table, DISCOUNT, RATE, is_evidence=False, update_counts=first.update_counts
        )
        for _ in range(epochs - 1):
            again.add(log)
        return again.trained(np.empty(0)).table

    def replayed() -> Measurement:
        """Time the epochs and scale to a thousand, then say how good they are."""
        taken = timed(replay)
        figures = {"seconds": taken.values["seconds"] * EPOCHS / epochs, **distances(taken.result.q)}
        return Measurement(figures, figures)

    def check(found: Mapping[str, Any]) -> None:
        """Hold both against the optimum: ours must be it, the epochs must have learned."""
        if not found["ours"]["largest_distance_points"] < EXACT_POINTS:
            raise ResultsDifferError(f"the exact solution is not the optimum: {found['ours']}")
        if not found["epochs"]["mean_distance_points"] < LEARNED_SHARE * start:
            raise ResultsDifferError(f"replay came from {start:.1f} points off to: {found['epochs']}")

    yield Running({"ours": ours, "epochs": replayed}, check)


def _shown(name: str, title: str, contestant: str, value: str, unit: str) -> Row:
    """Return a row that is not owed."""
    return Row(name, title, Of(contestant, value), unit=unit)


_EPOCHS = partial(_shown, contestant="epochs")

BENCHMARKS = (
    Benchmark(
        name="solve",
        contestants=(
            Contestant(
                "ours", "count, solve by modified policy iteration, tabulate, from the log to the table"
            ),
            Contestant("epochs", f"{EPOCHS:,} compiled epochs of sequential Q-learning over the same log"),
        ),
        rows=(
            Row(
                "solve",
                f"exact solve ÷ {EPOCHS:,} compiled epochs (seconds of the epochs ÷ of the solve)",
                Of("epochs", "seconds"),
                Of("ours", "seconds"),
                at_least(30.0),
            ),
            Row(
                "solve-residual",
                "Bellman residual of the exact solve",
                Of("ours", "residual_points"),
                bound=below(1e-8),
                unit="points",
            ),
            _shown(
                "solve-distance",
                "largest distance of the exact solve from the optimum by another road",
                "ours",
                "largest_distance_points",
                "points",
            ),
            _EPOCHS(
                "epochs-distance",
                f"mean distance of {EPOCHS:,} epochs from that optimum",
                value="mean_distance_points",
                unit="points",
            ),
            _EPOCHS(
                "epochs-wrong",
                f"states where {EPOCHS:,} epochs choose another action than an optimal one",
                value="wrong_states_percent",
                unit="%",
            ),
        ),
        prepare=prepare,
    ),
)
