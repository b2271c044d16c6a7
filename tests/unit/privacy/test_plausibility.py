"""What cannot be exact counts with the promised noise is recognised; what can be is let pass."""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.privacy.mechanism import ReleasePlan, noised, plan_release
from qe_core.privacy.plausibility import MOST_UNITS, SURENESS, implausibility
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit

SPACE = PublicSpace.of(registry().get("quality-analyzer"))
TASK = plan_release(ContributionBound(ProtectedUnit.TASK, 5, 100.0), 17, 1.0, 1e-6)
DEVELOPER = plan_release(ContributionBound(ProtectedUnit.DEVELOPER, 50, 100.0), 17, 1.0, 1e-6)
UNITS = 1_000


def counts(**changes: object) -> AgentStatistics:
    """Return exact counts of tasks that all did the same, with changes."""
    zeros = AgentStatistics.zeros(SPACE)
    visits, rewards, transitions = zeros.visits, zeros.rewards, zeros.transitions
    visits[0, 0] = UNITS
    rewards[0, 0] = -100 * 100 * UNITS
    transitions[0, -1] = UNITS
    return replace(AgentStatistics(UNITS, visits, rewards, transitions), **changes)


@pytest.mark.parametrize("plan", [TASK, DEVELOPER], ids=["task", "developer"])
@pytest.mark.parametrize("exact", [counts(), AgentStatistics.zeros(SPACE)], ids=["busy", "idle"])
def test_sound_counts_pass_with_their_noise_and_without(exact: AgentStatistics, plan: ReleasePlan) -> None:
    assert implausibility(exact, plan) is None
    assert implausibility(noised(exact, plan.scales), plan) is None


def test_each_bound_holds_to_the_last_count() -> None:
    scales = TASK.scales
    visits = counts().visits.copy()
    visits[3, 3] = -np.floor(SURENESS * scales.visits)
    assert implausibility(counts(visits=visits), TASK) is None
    visits[3, 3] -= 1
    assert implausibility(counts(visits=visits), TASK) == "its visits have more noise than it promises"
    assert implausibility(counts(units=MOST_UNITS), TASK) is None
    assert "more than 1,000,000,000" in str(implausibility(counts(units=MOST_UNITS + 1), TASK))


def test_a_developers_rows_may_be_counted_where_none_of_its_pairs_are() -> None:
    elsewhere = counts().transitions.copy()
    elsewhere[5, 2] = 100 * UNITS
    assert implausibility(counts(transitions=elsewhere), DEVELOPER) is None
    assert "row of successors" in str(implausibility(counts(transitions=elsewhere), TASK))
