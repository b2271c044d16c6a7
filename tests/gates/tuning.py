"""Which always-valid bound needs the fewest units where tests are a few hundred units long?

What belongs here: the reward's bound by itself, ours at several tunings beside the asymptotic confidence
sequence of the ``ville`` package. What does not: the whole decision (`playing`).
"""

from collections.abc import Sequence

import numpy as np
import ville

from qe_core.rollout.assignment import Stage
from qe_core.rollout.differences import stratified_difference
from qe_core.rollout.evidence import ArmSample, StageEvidence
from qe_core.rollout.sequential import e_value

SIGNIFICANCE = 0.05
PRIOR_SCALES = (0.1, 0.2, 0.3, 0.4, 0.6)
UNITS_A_LOOK = 20
MOST_UNITS = 3_000
PEER = "ville, tuned for 500"


def first_shown(effect: float, random: np.random.Generator) -> dict[str, int | None]:
    """Return the units an arm at which each bound first lies above zero, in one stream with equal arms.

    None stands for a bound that never does.

    Args:
        effect: true standardised effect.
        random: source of chance.
    """
    is_treated = random.random(MOST_UNITS) < 0.5
    rewards = random.standard_normal(MOST_UNITS) + effect * is_treated
    units: dict[str, int | None] = {
        f"scale {scale}": _ours(is_treated, rewards, scale) for scale in PRIOR_SCALES
    }
    peer = ville.AsymptoticABTest(alpha=2.0 * SIGNIFICANCE, t_opt=500, min_samples=20)
    peer.fit(rewards, is_treated.astype(float))
    units[PEER] = _first(peer.lower_[UNITS_A_LOOK - 1 :: UNITS_A_LOOK] > 0.0)
    return units


def _ours(is_treated: np.ndarray, rewards: np.ndarray, scale: float) -> int | None:
    evidence = StageEvidence(Stage.HALF)
    for look, start in enumerate(range(0, MOST_UNITS, UNITS_A_LOOK), start=1):
        part = slice(start, start + UNITS_A_LOOK)
        evidence += StageEvidence(
            Stage.HALF,
            ArmSample.of(rewards[part][~is_treated[part]].tolist()),
            ArmSample.of(rewards[part][is_treated[part]].tolist()),
        )
        if e_value(stratified_difference([evidence]), scale) >= 1.0 / SIGNIFICANCE:
            return look * UNITS_A_LOOK // 2
    return None


def _first(is_shown: np.ndarray) -> int | None:
    """Return the units of an arm at the first look that shows it."""
    looks = np.flatnonzero(is_shown)
    return int(looks[0] + 1) * UNITS_A_LOOK // 2 if looks.size else None


def median_units(found: Sequence[int | None]) -> float | None:
    """Return the median over all runs, those that never show it counted as longest; None if that is it."""
    middle = float(np.median([np.inf if units is None else units for units in found]))
    return middle if np.isfinite(middle) else None
