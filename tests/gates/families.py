"""Eighteen agents tested at once, better, worse or no better, in one drifting fleet.

What belongs here: playing a family of rollouts side by side through the decision code. What does not: a
single rollout (`playing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.rollout.discoveries import hold_to_family
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from tests.gates.playing import Rollout
from tests.gates.worlds import Noise, World

MIXED = (0.0,) * 10 + (-0.2, -0.2, 0.2, 0.3, 0.3, 0.3, 0.5, 0.5)
NONE_BETTER = (0.0,) * 18
"""The hardest case: one false ship makes all that is shipped false."""

RATES = (50.0, 100.0, 200.0, 400.0)
DRIFT = 0.5


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a family shipped.

    Attributes:
        false: candidates that are no better.
        true: candidates that are better, by their effect.
    """

    false: int
    true: tuple[float, ...]

    @property
    def false_share(self) -> float:
        """Share of the shipped that is no better; 0 where nothing is shipped."""
        count = self.false + len(self.true)
        return self.false / count if count else 0.0


def play_family(
    effects: Sequence[float],
    random: np.random.Generator,
    settings: ABTestSettings = DEFAULT_SETTINGS,
    *,
    is_held: bool = True,
) -> Shipped:
    """Return what rollouts shipped that ran at once.

    Args:
        effects: true standardised effect of each candidate.
        random: source of chance.
        settings: of the tests.
        is_held: whether the family's false discovery rate is controlled; else each test stands alone.
    """
    noises = tuple(Noise)
    running = {
        f"agent-{index}": Rollout(
            World(effect, noises[index % len(noises)], DRIFT, tasks_per_day=RATES[index % len(RATES)]),
            random,
            settings,
        )
        for index, effect in enumerate(effects)
    }
    shipped: list[float] = []
    decided: dict[str, float] = {}
    while running:
        judgements = {name: rollout.look() for name, rollout in running.items()}
        if is_held:
            judgements = hold_to_family(judgements, decided, settings)
        for name, judgement in judgements.items():
            rollout = running[name]
            rollout.follow(judgement)
            if rollout.is_shipped:
                shipped.append(rollout.world.effect)
            if rollout.is_shipped or rollout.end is not None:
                decided[name] = judgement.e_benefit
                del running[name]
    return Shipped(
        sum(effect <= 0.0 for effect in shipped), tuple(effect for effect in shipped if effect > 0.0)
    )
