"""When a release is worth its price: the noise on a count against what a cohort can add up to.

What belongs here: the rule by which a release is refused that nobody could learn from. What does not: the
noise (`mechanism`), and the pairs that do become known (`aggregation`).

The rule looks at how many units there are in all, never at what they did or how they spread over agents, so
refusing gives nothing away that is not open anyway. It is lenient for that: what it refuses is hopeless, what
it lets through may still teach little.
"""

import math
from dataclasses import dataclass
from typing import assert_never

from qe_core.errors import PrivacyError
from qe_core.privacy.aggregation import CombineSettings
from qe_core.privacy.mechanism import ReleasePlan
from qe_core.privacy.units import ProtectedUnit

BUSY_PAIRS = 40
"""Pairs on which four fifths of an agent's visits fall: 37 on average over the simulated worlds."""

PAIRS_OF_A_DEVELOPER = 140
"""Different pairs of one agent that a developer has met after 100 tasks with it: 137 on average there."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a cohort needs before anything can be learned from it.

    Attributes:
        cohort: the fewest contributors, each with as many units as asked about; None if none are enough.
        unit_count: the fewest units in each database, with as many contributors as asked about.
    """

    cohort: int | None
    unit_count: int


def worth_of(
    unit_count: int, contributor_count: int, plan: ReleasePlan, agent_count: int, settings: CombineSettings
) -> Worth:
    """Return what it takes that busy pairs become known, in the best case.

    For tasks that is when all are of one agent: min(1, pairs / `BUSY_PAIRS`) of them count a busy pair. A
    developer has met it too, and it is drawn among all that were met with all agents: pairs /
    (`PAIRS_OF_A_DEVELOPER` · agents) of the developers count it. It becomes known when n contributors'
    counts, with u units each, reach the minimum group and as many standard deviations of their noise as
    asked: n·u·share ≥ group + z·σ·√n. And each contributor's number of units must stand out from its own
    noise: u > z·σ_units.

    Args:
        unit_count: units in each database, over all agents.
        contributor_count: databases that contribute, 1 or more.
        plan: what a release promises, and its noise.
        agent_count: agents that a release is about.
        settings: what is asked of contributions.
    """
    noise = settings.sureness * plan.scales.visits
    share = _busy_share(plan, agent_count)
    least = settings.minimum_group + noise * math.sqrt(contributor_count)
    standing_out = settings.sureness * plan.scales.units
    smallest_unit_count = max(_rounded_up(least / (contributor_count * share)), math.floor(standing_out) + 1)
    if unit_count <= standing_out:
        return Worth(None, smallest_unit_count)
    each = unit_count * share
    root = (noise + math.sqrt(noise**2 + 4 * each * settings.minimum_group)) / (2 * each)
    return Worth(max(settings.minimum_cohort, _rounded_up(root**2)), smallest_unit_count)


def check_worth(
    unit_count: int, contributor_count: int, plan: ReleasePlan, agent_count: int, settings: CombineSettings
) -> None:
    """Do nothing if a release can be learned from together with as many others; else say what it takes.

    Args:
        unit_count: units that would be released, over all agents.
        contributor_count: databases that contribute, this one included.
        plan: what the release promises, and its noise.
        agent_count: agents that it is about.
        settings: what is asked of contributions.

    Raises:
        PrivacyError: nobody could learn from it.
    """
    found = worth_of(unit_count, contributor_count, plan, agent_count, settings)
    if found.cohort is not None and found.cohort <= contributor_count:
        return
    what = f"{plan.bound.unit}{'s' if unit_count != 1 else ''}"
    if found.cohort is None:
        reason = (
            f"noise of {plan.scales.units:.0f} on the number of {plan.bound.unit}s hides this database, "
            "and any number like it"
        )
    else:
        reason = (
            f"noise of {plan.scales.visits:.0f} on each count is more than {contributor_count} databases "
            f"add up to, and {found.cohort:,} would be needed"
        )
    raise PrivacyError(
        f"a release of {unit_count:,} {what} would spend privacy and teach nobody: "
        f"{reason}; wait until there are {found.unit_count:,} {plan.bound.unit}s here, "
        f"{_way_out(plan.bound.unit)}"
    )


def _busy_share(plan: ReleasePlan, agent_count: int) -> float:
    """Return the share of units that count a busy pair."""
    match plan.bound.unit:
        case ProtectedUnit.TASK:
            spread = BUSY_PAIRS
        case ProtectedUnit.DEVELOPER:
            spread = PAIRS_OF_A_DEVELOPER * agent_count
        case _ as never:
            assert_never(never)
    return min(1.0, plan.bound.pairs / spread)


def _rounded_up(value: float) -> int:
    """Return the next whole number; the one below where only rounding lies between."""
    return math.ceil(value * (1.0 - 1e-12))


def _way_out(unit: ProtectedUnit) -> str:
    match unit:
        case ProtectedUnit.TASK:
            return "or raise team.privacy_epsilon_per_release"
        case ProtectedUnit.DEVELOPER:
            return (
                "by letting developers share one database, or protect tasks instead: team.protected_unit task"
            )
        case _ as never:
            assert_never(never)
