"""Whether what waits can be released now, and in words why not.

What belongs here: the decision, by numbers that are public anyway: how many tasks and developers, how large
the team is, what was spent. What does not: making the release (`privacy_manager`). How tasks are spread over
agents, states or developers is protected, so nothing here may look at it.
"""

from dataclasses import dataclass
from typing import assert_never

from qe_core.config.team import TeamSettings
from qe_core.errors import PrivacyError
from qe_core.privacy.accounting import epsilon_of
from qe_core.privacy.aggregation import CombineSettings
from qe_core.privacy.mechanism import ReleasePlan
from qe_core.privacy.units import ProtectedUnit
from qe_core.privacy.worth import check_worth
from qe_core.runtime.team.reports import Preparation, Prepared
from qe_core.store.team import UnreleasedTasks


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a release is made.

    Attributes:
        rules: of this contributor.
        combining: what the team asks of contributions.
        plan: noise and loss of one release.
        agent_count: agents that each release is about.
        lifetime_nano_rho: what all releases may cost together.
    """

    rules: TeamSettings
    combining: CombineSettings
    plan: ReleasePlan
    agent_count: int
    lifetime_nano_rho: int


def reason_to_wait(
    tasks: UnreleasedTasks, terms: Terms, spent_nano_rho: int, contributors: int | None
) -> Prepared | None:
    """Return why nothing is released now; None where it can be.

    Args:
        tasks: that wait.
        terms: of a release.
        spent_nano_rho: what all releases cost so far.
        contributors: of the team; None where that is not known, then as many as are asked for at least.
    """
    count, least, cohort = tasks.task_count, terms.rules.minimum_tasks, terms.combining.minimum_cohort
    if count == 0:
        return Prepared(Preparation.NOTHING_NEW, "nothing new: no task has ended since the last release")
    if count < least:
        words = (
            f"{count:,} finished tasks wait for {least - count:,} more: a release of fewer than {least:,} "
            "(team.minimum_tasks) would drown in its own noise"
        )
        return Prepared(Preparation.WAITING, words, count)
    if contributors is not None and contributors < cohort:
        words = (
            f"the team has {contributors} contributor{'s' * (contributors != 1)}, and at least {cohort} are "
            "needed (team.minimum_cohort): among fewer, what is known together says too much about each; "
            "nothing was spent, push again when the team has grown"
        )
        return Prepared(Preparation.REFUSED, words, count)
    units = _unit_count(tasks, terms.plan.bound.unit)
    try:
        check_worth(units, contributors or cohort, terms.plan, terms.agent_count, terms.combining)
    except PrivacyError as error:
        return Prepared(Preparation.REFUSED, str(error), count)
    if spent_nano_rho + terms.plan.nano_rho > terms.lifetime_nano_rho:
        spent = epsilon_of(spent_nano_rho, terms.rules.privacy_delta)
        words = (
            f"all releases together have cost ε = {spent:.2f} of {terms.rules.privacy_epsilon_lifetime:g}, "
            "and one more does not fit; nothing leaves any more. What the team knows can still be pulled. "
            "Raising team.privacy_epsilon_lifetime weakens the promise made to everybody whose tasks were "
            "released: ask them first"
        )
        return Prepared(Preparation.REFUSED, words, count)
    return None


def _unit_count(tasks: UnreleasedTasks, unit: ProtectedUnit) -> int:
    """Return how many protected units wait, of all agents together."""
    match unit:
        case ProtectedUnit.TASK:
            return tasks.task_count
        case ProtectedUnit.DEVELOPER:
            return tasks.developer_count
        case _ as never:
            assert_never(never)
