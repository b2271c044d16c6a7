"""What a learner hands out, and what it counts.

What belongs here: plain values. What does not: deciding (`learner`).
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

from qe_core.hierarchy.lookup import Source
from qe_core.rollout.assignment import Arm


class Decision(NamedTuple):
    """A chosen action, and everything needed to learn from what comes of it.

    Attributes:
        decision_id: unique.
        agent: whose.
        episode: the name of the episode it belongs to.
        step: its position in the episode, from 0.
        state: code of the state it was taken in.
        action: index of the chosen action.
        name: the chosen action's name.
        propensity: the probability with which exactly this action was chosen, in (0, 1].
        exploration_rate: of this decision, in [0, 1].
        is_explored: whether it was taken to explore.
        values: what each action was believed to be worth, points.
        source: the level that decided the chosen action's value.
        policy_version: the frozen version followed; None where it was the live table or the baseline.
        variant: the arm of the A/B test its episode is in, control or treatment; None outside of tests.
    """

    decision_id: str
    agent: str
    episode: str
    step: int
    state: int
    action: int
    name: str
    propensity: float
    exploration_rate: float
    is_explored: bool
    values: tuple[float, ...]
    source: Source
    policy_version: int | None = None
    variant: Arm | None = None


@dataclass(slots=True)
class LearnerCounters:
    """What a learner has met.

    Attributes:
        decisions: taken.
        recorded: outcomes acknowledged.
        refused: outcomes refused because the table had been restored or replaced since the decision.
        forgotten: decisions forgotten because they expired, or because too many outcomes were awaited.
        episodes: finished.
        renewals: times the tables were taken anew.
        degraded: episodes begun without a policy version they should have followed.
    """

    decisions: int = 0
    recorded: int = 0
    refused: int = 0
    forgotten: int = 0
    episodes: int = 0
    renewals: int = 0
    degraded: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counts now, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
