"""Whether noisy counts can be what their header says they are.

What belongs here: what is true of exact counts, allowing for the noise that was promised. What does not: the
form of what was sent (`wire`), bounding what plausible lies can do (`aggregation`).

Nobody can check from outside that noise was added. But counts are not negative, and a unit counts a pair
once: a contributor that promises less noise than it added, or sends numbers out of the air, gives itself
away. The discrete Gaussian is subgaussian (Canonne, Kamath & Steinke 2020), so a cell of a sound release lies
beyond ``SURENESS`` scales with probability exp(−SURENESS²/2) = 1.3·10⁻¹⁴ at most: one sound release in more
than a million is set aside, with up to 10⁵ cells for each agent.
"""

import math

from qe_core.privacy.mechanism import ReleasePlan
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ProtectedUnit

SURENESS = 8.0
"""Scales of noise beyond which a count is not what it is said to be."""

MOST_UNITS = 10**9
"""Tasks or developers in one release that nobody has; sums over thousands of releases stay exact below."""


def implausibility(noisy: AgentStatistics, plan: ReleasePlan) -> str | None:
    """Return why these counts cannot come from exact ones and the promised noise, None where they can.

    Args:
        noisy: of one agent in one release.
        plan: what the release promises.
    """
    scales, units = plan.scales, noisy.units
    if abs(units) > MOST_UNITS:
        return f"it counts {units:,} units, more than {MOST_UNITS:,}"
    for name, values, scale in (
        ("units", units, scales.units),
        ("visits", noisy.visits.min(), scales.visits),
        ("successors", noisy.transitions.min(), scales.transitions),
    ):
        if values < -SURENESS * scale:
            return f"its {name} have more noise than it promises"
    if noisy.visits.max() > units + SURENESS * math.hypot(scales.visits, scales.units):
        return "a pair has more visits than the release has units"
    rows = noisy.transitions.sum(axis=1)
    of_row = math.hypot(scales.transitions * math.sqrt(noisy.transitions.shape[1]), scales.units)
    # A developer's rows may be counted where none of its pairs are, a task's never.
    if plan.bound.unit is ProtectedUnit.TASK and rows.max() > units + SURENESS * of_row:
        return "a row of successors has more visits than the release has units"
    clip = plan.bound.clip_hundredths
    excess = abs(noisy.rewards) - clip * noisy.visits
    if excess.max() > SURENESS * math.hypot(scales.rewards, clip * scales.visits):
        return "the rewards of a pair are larger than its visits and the clip bound allow"
    return None
