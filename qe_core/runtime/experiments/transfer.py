"""How fast a newcomer learns when the others of its fleet have learned already.

What belongs here: many newcomers in many worlds, and the episodes they need. What does not: what one of them
believes and does (`newcomer`), learning alone for its own sake (`convergence`), regret of lookups
(`hierarchy`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qe_core.config import Settings
from qe_core.errors import LearningError
from qe_core.fleet.registry import registry
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.learning.arrays import Float64Array
from qe_core.runtime.experiments.convergence import Progress
from qe_core.runtime.experiments.fleets import SOURCE_EPISODES, learned_fleet
from qe_core.runtime.experiments.newcomer import QUICK_WAYS, Newcomer, Way

CHECKPOINTS = (
    *(10, 20, 30, 40, 50, 60, 80, 100, 120, 140, 160, 180, 200),
    *(230, 260, 300, 340, 380, 430, 480, 540, 600),
)  # fmt: skip
"""Episodes after which a newcomer is judged."""

TARGETS = (0.80, 0.95)
"""Shares of the optimum to be reached and kept."""

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class NewcomerCurve:
    """How one agent learns as a newcomer.

    Attributes:
        agent: whose.
        group: its similarity group, empty without one.
        shares: exact value of its policy over the optimum by way, float64[seeds, checkpoints] each.
        explained: mean share of what its actions differ by that effects of features explain.
        explained_by_shared: the same by effects of features that others have too.
    """

    agent: str
    group: str
    shares: dict[Way, Float64Array]
    explained: float
    explained_by_shared: float

    def episodes(self, way: Way, target: float) -> Float64Array:
        """Return episodes until the share stays at or above a target, float64[seeds]; infinite if never."""
        return np.array([episodes_until(curve, target) for curve in self.shares[way]])

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values; null for never."""
        return {
            "agent": self.agent,
            "group": self.group,
            "explained": self.explained,
            "explained_by_shared": self.explained_by_shared,
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


def newcomers(
    agents: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    ways: Sequence[Way] = QUICK_WAYS,
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
    shares: dict[str, list[dict[Way, Float64Array]]] = {name: [] for name in agents}
    explained: dict[str, list[tuple[float, float]]] = {name: [] for name in agents}
    total = len(seeds) * len(agents)
    for done, seed in enumerate(seeds):
        progress(f"fleet {seed}", done * len(agents), total)
        fleet = learned_fleet(seed, settings, (SOURCE_EPISODES,))
        for place, name in enumerate(agents):
            progress(f"{name}, world {seed}", done * len(agents) + place, total)
            others = [one for other, one in fleet.items() if other != name]
            newcomer = Newcomer(fleet[name], others, settings)
            shares[name].append({way: newcomer.shares(way, seed, CHECKPOINTS) for way in ways})
            explained[name].append(newcomer.explained_shares())
    progress("done", total, total)
    groups = TransferLearningManager.of(registry(), settings)
    for name in agents:
        by_effects, by_shared = np.mean(explained[name], axis=0).tolist()
        yield NewcomerCurve(
            agent=name,
            group=", ".join(groups.groups_of(name)),
            shares={way: np.array([of_seed[way] for of_seed in shares[name]]) for way in ways},
            explained=by_effects,
            explained_by_shared=by_shared,
        )
