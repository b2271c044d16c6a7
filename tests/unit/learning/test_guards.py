"""Each guard of the verdict catches a trap that fools the verdict without it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from qe_core.learning import convergence
from qe_core.learning.convergence import Verdict, WindowStatistics, judge
from qe_core.learning.criteria import ALL, ORDERED, CriterionName, criteria
from qe_core.learning.experience import Transitions
from qe_core.learning.updates import LearningRate
from qe_core.learning.windows import convergence_windows

STATES, ACTIONS, EPISODES = 4, 2, 600
JUDGED = 10


def steady(state: int, action: int, _episode: int) -> float:
    """Action ``state % 2`` pays 40 points, the other one costs 10, for ever."""
    return 40.0 if action == state % 2 else -10.0


def swapping(state: int, action: int, episode: int) -> float:
    """The better action is another one in every window: following it is always too late."""
    return 25.0 if (action + state + episode // 25) % 2 == 0 else 5.0


def drifting(points: float) -> Callable[[int, int, int], float]:
    """Rewards of a steady world that move by so many points until the end."""
    return lambda state, action, episode: steady(state, action, episode) + points * episode / EPISODES


def drifting_apart(state: int, action: int, episode: int) -> float:
    """Rewards rise in half of the states and fall in the other half: the mean return shows nothing."""
    return steady(state, action, episode) + (-1) ** (state // 2) * 40.0 * (episode / EPISODES) ** 2


def parting_late(state: int, action: int, episode: int) -> float:
    """The same all at once, before the newest ten windows began."""
    return steady(state, action, episode) + (-1) ** (state // 2) * 30.0 * (episode >= 350)


@dataclass(frozen=True, slots=True)
class Trap:
    """A log that must not look converged.

    Attributes:
        reward: of (state, action, episode), points, before noise.
        guards: the criteria that see through it; it fools whoever asks all the others.
        rate: what is learned with.
        random_share: how often the worse action is taken.
    """

    reward: Callable[[int, int, int], float]
    guards: frozenset[CriterionName]
    rate: LearningRate = LearningRate()  # noqa: RUF009 a frozen value
    random_share: float = 0.3

    def windows(self) -> list[WindowStatistics]:
        """Return the windows of 600 episodes through states 0 → 1 → 2 → 3, noise of 3 points, seed 0."""
        generator = np.random.default_rng(0)
        rows = []
        for episode in range(EPISODES):
            for state in range(STATES):
                action = state % 2 if generator.random() >= self.random_share else 1 - state % 2
                reward = self.reward(state, action, episode) + generator.normal(0, 3.0)
                rows.append((state, action, reward, (state + 1) % STATES, state == STATES - 1))
        log = Transitions.from_columns(*zip(*rows, strict=True))
        ends = log.episode_ends()
        return convergence_windows(
            log, STATES, ACTIONS, episode_ends=ends, success=np.ones(len(ends)),
            exploration_rate=np.full(len(ends), 0.02), discount=0.9, learning_rate=self.rate,
        )  # fmt: skip


NAME = CriterionName
TRAPS = {
    "values frozen by a decaying rate": Trap(
        steady,
        frozenset({NAME.BELLMAN_RESIDUAL, NAME.RECENT_BIAS}),
        LearningRate(initial=0.02, exponent=1.0),
    ),
    "pairs never visited": Trap(steady, frozenset({NAME.PAIR_COVERAGE}), random_share=0.0),
    "a policy that oscillates": Trap(swapping, frozenset({NAME.GREEDY_CHURN}), random_share=0.5),
    "a reward that drifts": Trap(drifting(40.0), frozenset({NAME.RETURN_SPREAD})),
    "rewards that drift apart": Trap(drifting_apart, frozenset({NAME.BELLMAN_RESIDUAL})),
    "rewards that parted while averages remember": Trap(
        parting_late, frozenset({NAME.RECENT_BIAS}), LearningRate(exponent=1.0)
    ),
    "a rate that never settles": Trap(steady, frozenset({NAME.STEP_SIZES}), LearningRate.constant(0.1)),
}
ORDERED_TRAPS = set(TRAPS) - {"a reward that drifts"}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_does_not_look_converged(trap: str) -> None:
    windows = TRAPS[trap].windows()
    assert judge(windows)[0] is Verdict.LEARNING
    unmet = {one.name for one in criteria(windows[-JUDGED:]) if not one.is_met}
    assert unmet == TRAPS[trap].guards


@pytest.mark.parametrize("trap", TRAPS)
def test_without_its_guards_a_trap_fools_the_verdict(trap: str) -> None:
    assert judge(TRAPS[trap].windows(), considered=ALL - TRAPS[trap].guards)[0] is Verdict.CONVERGED


@pytest.mark.parametrize(
    "guard", [name for name in NAME if name not in (NAME.Q_CHANGE, NAME.SUCCESS_RATE, NAME.EXPLORATION_RATE)]
)
def test_no_other_guard_stands_in_for_one_that_is_switched_off(guard: CriterionName) -> None:
    [trap] = [trap for trap in TRAPS.values() if trap.guards == {guard}]
    windows = trap.windows()
    assert judge(windows)[0] is not Verdict.CONVERGED
    assert judge(windows, considered=ALL - {guard})[0] is Verdict.CONVERGED


@pytest.mark.parametrize("trap", sorted(ORDERED_TRAPS))
def test_the_ordered_four_alone_are_fooled(trap: str) -> None:
    assert judge(TRAPS[trap].windows(), considered=ORDERED)[0] is Verdict.CONVERGED


def test_a_reward_that_falls_has_two_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Trap(drifting(-30.0), frozenset()).windows()
    assert judge(windows)[0] is Verdict.DIVERGING
    monkeypatch.setattr(convergence, "STANDARD_ERRORS", np.inf)
    assert judge(windows)[0] is Verdict.LEARNING
    assert judge(windows, considered=ALL - {NAME.RETURN_SPREAD})[0] is Verdict.CONVERGED


def test_a_steady_world_well_explored_passes_every_guard() -> None:
    windows = Trap(steady, frozenset()).windows()
    assert judge(windows)[0] is Verdict.CONVERGED
    assert all(one.is_met for one in criteria(windows[-JUDGED:]))


def test_the_two_sets_of_criteria_are_four_and_five() -> None:
    asked = criteria(Trap(steady, frozenset()).windows()[-JUDGED:])
    assert [one.name for one in asked] == list(CriterionName)
    assert sum(one.is_ordered for one in asked) == 4
    assert sum(not one.is_ordered for one in asked) == 5
