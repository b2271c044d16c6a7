"""Neighbouring data sets, as bad as the bound allows: what a release must not tell apart.

What belongs here: who did what in either data set, and what the product claims for the pair. What does not:
releasing (`runs`).

Public spaces are small so that a release takes a millisecond; the code that counts, adds noise and encodes is
the product's. Rewards of the one unit lie far beyond the clip bound.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from qe_core.privacy.accounting import epsilon_of
from qe_core.privacy.mechanism import ReleasePlan, plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.units import AgentSteps, ContributionBound, ProtectedUnit

DELTA = 1e-6
CLIP = 100.0
OUTLIER = 10_000.0
"""Points: a hundred times the clip bound."""

Step = tuple[int, int, int, float, int, bool]


@dataclass(frozen=True, slots=True)
class Case:
    """A pair of neighbours.

    Attributes:
        name: what differs, in words.
        bound: under which it is released.
        spaces: of all agents of the release.
        present: the steps with the unit.
        absent: the steps without it.
        privacy_epsilon: promised by one release.
        releases: how often both data sets are released.
        hops: how many units at most have to be zeroed out one after the other to get from one data set to the
            other; losses of a group of k units grow with k² (Bun & Steinke 2016, proposition 27).
    """

    name: str
    bound: ContributionBound
    spaces: Mapping[str, PublicSpace]
    present: Mapping[str, AgentSteps]
    absent: Mapping[str, AgentSteps]
    privacy_epsilon: float = 1.0
    releases: int = 1
    hops: int = 1

    @property
    def plan(self) -> ReleasePlan:
        """Return the promise and the noise of one release."""
        return plan_release(self.bound, len(self.spaces), self.privacy_epsilon, DELTA)

    @property
    def cell_count(self) -> int:
        """Return the cells of all releases."""
        return self.releases * sum(1 + one.cell_count for one in self.spaces.values())

    @property
    def nano_rho(self) -> int:
        """Return what all releases together lose about the difference, at most."""
        return self.releases * self.hops**2 * self.plan.nano_rho

    @property
    def claim(self) -> float:
        """Return the ε that is claimed for the pair."""
        return epsilon_of(self.nano_rho, DELTA)


def space(agent: str, states: int, actions: int) -> PublicSpace:
    """Return a space whose states are all parts: any state can follow any other."""
    numbers = np.arange(states, dtype=np.int64)
    return PublicSpace(agent, "0" * 16, states, actions, states, numbers, np.zeros_like(numbers))


def steps_of(rows: Iterable[Step]) -> AgentSteps:
    """Return the steps (unit, state, action, reward, next state, terminated)."""
    unit, state, action, reward, next_state, terminated = zip(*rows, strict=True)
    return AgentSteps(
        np.array(unit, dtype=np.int64), np.array(state, dtype=np.int64), np.array(action, dtype=np.int64),
        np.array(reward, dtype=np.float64), np.array(next_state, dtype=np.int64),
        np.array(terminated, dtype=np.bool_),
    )  # fmt: skip


def visits(
    unit: int, pairs: Iterable[tuple[int, int]], reward: float, *, times: int = 1, is_end: bool = False
) -> list[Step]:
    """Return visits of ``pairs`` by one unit, which all end the task, or else stay where they are."""
    return [(unit, state, action, reward, state, is_end) for state, action in pairs for _ in range(times)]


SMALL = space("small", 2, 3)
OTHER = space("other", 2, 3)
FIFTY = space("fifty", 2, 25)
SIX_KEYS = [(state, action) for state in range(2) for action in range(3)]
FIFTY_KEYS = [(state, action) for state in range(2) for action in range(25)]
ONE, OTHERS = 0, (1, 2, 3)


def crowd(keys: list[tuple[int, int]]) -> list[Step]:
    """Return what three other units did, the same in both data sets."""
    return [step for unit in OTHERS for step in visits(unit, keys, 10.0 * unit)]


def task_removed(privacy_epsilon: float = 1.0) -> Case:
    """Return a task that uses all of its bound, or is not there."""
    others = crowd(SIX_KEYS[:4])
    return Case(
        "a task removed",
        ContributionBound(ProtectedUnit.TASK, 5, CLIP),
        {"small": SMALL},
        {"small": steps_of([*others, *visits(ONE, SIX_KEYS[:5], OUTLIER)])},
        {"small": steps_of(others)},
        privacy_epsilon,
    )


def key_appearing() -> Case:
    """Return a task that is the only one ever to visit its pair, or is not there."""
    others = crowd(SIX_KEYS[:3])
    return Case(
        "a key appearing",
        ContributionBound(ProtectedUnit.TASK, 5, CLIP),
        {"small": SMALL},
        {"small": steps_of([*others, *visits(ONE, [(1, 2)], OUTLIER)])},
        {"small": steps_of(others)},
    )


def developer_removed() -> Case:
    """Return a developer of two agents and 120 steps, of which 6 pairs count, or nobody."""
    others = crowd(SIX_KEYS[:3])
    theirs = visits(ONE, SIX_KEYS, OUTLIER, times=10)
    return Case(
        "a developer removed",
        ContributionBound(ProtectedUnit.DEVELOPER, 6, CLIP),
        {"small": SMALL, "other": OTHER},
        {agent: steps_of([*others, *theirs]) for agent in ("small", "other")},
        {agent: steps_of(others) for agent in ("small", "other")},
    )


def fifty_keys(counted: int = 50, privacy_epsilon: float = 1.0) -> Case:
    """Return a developer who touches 50 pairs of which ``counted`` count, or nobody."""
    others = crowd(FIFTY_KEYS[:7])
    return Case(
        f"a developer touching 50 keys, {counted} count",
        ContributionBound(ProtectedUnit.DEVELOPER, counted, CLIP),
        {"fifty": FIFTY},
        {"fifty": steps_of([*others, *visits(ONE, FIFTY_KEYS, OUTLIER, times=2)])},
        {"fifty": steps_of(others)},
        privacy_epsilon,
    )


def comes_back(releases: int = 4) -> Case:
    """Return a developer who is in every release of a lifetime, or in none."""
    others = crowd(SIX_KEYS)
    return Case(
        f"a developer in {releases} releases",
        ContributionBound(ProtectedUnit.DEVELOPER, 6, CLIP),
        {"small": SMALL},
        {"small": steps_of([*others, *visits(ONE, SIX_KEYS, OUTLIER)])},
        {"small": steps_of(others)},
        releases=releases,
    )


def task_of_a_developer() -> Case:
    """Return one task more of a protected developer, which can change all that counts of the developer.

    Without the task the developer has one bad visit of each pair, with it a hundred good ones besides that
    lead elsewhere: about as far apart as one developer and another.
    """
    others = crowd(SIX_KEYS)
    before = visits(ONE, SIX_KEYS, -OUTLIER)
    more = visits(ONE, SIX_KEYS, OUTLIER, times=100, is_end=True)
    return Case(
        "one task of a protected developer",
        ContributionBound(ProtectedUnit.DEVELOPER, 6, CLIP),
        {"small": SMALL},
        {"small": steps_of([*others, *before, *more])},
        {"small": steps_of([*others, *before])},
        hops=2,
    )


def tasks_of_a_developer(tasks: int = 3) -> Case:
    """Return all tasks of a developer where only single tasks are protected."""
    others = crowd(SIX_KEYS)
    theirs = [step for task in range(tasks) for step in visits(100 + task, SIX_KEYS[:5], OUTLIER)]
    return Case(
        f"{tasks} protected tasks of one developer",
        ContributionBound(ProtectedUnit.TASK, 5, CLIP),
        {"small": SMALL},
        {"small": steps_of([*others, *theirs])},
        {"small": steps_of(others)},
        hops=tasks,
    )


def all_cases() -> list[Case]:
    """Return every pair of neighbours that is audited."""
    return [
        task_removed(),
        task_removed(4.0),
        task_removed(8.0),
        developer_removed(),
        key_appearing(),
        fifty_keys(),
        fifty_keys(5),
        comes_back(),
        task_of_a_developer(),
        tasks_of_a_developer(),
    ]
