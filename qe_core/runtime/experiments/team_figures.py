"""What a team's table is worth to somebody who starts with it, by ε, team size and protected unit.

What belongs here: databases that learned alone, what they would release, and the value of the table that
follows. What does not: how a newcomer learns on (`qe_core.runtime.team_demo.newcomers`), showing it
(`team_report`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import declarations, world_of
from qe_core.environments.rollouts import EpisodeLog
from qe_core.environments.world import World
from qe_core.errors import PrivacyError
from qe_core.learning.arrays import BoolArray, Int64Array
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.aggregation import Contribution, combine
from qe_core.privacy.mechanism import NoiseScales, plan_release, with_noise
from qe_core.privacy.shared_knowledge import solve_shared
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics, exact_statistics
from qe_core.privacy.units import AgentSteps, ContributionBound, ProtectedUnit
from qe_core.runtime.experiments.convergence import Progress
from qe_core.runtime.experiments.team_crowd import Crowd
from qe_core.runtime.parameters import combine_settings, confidence_settings, contribution_bound
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.runtime.team_demo.newcomers import NewcomerCurves, newcomer_curves
from qe_core.runtime.training import TrainingPlan, simulated_play

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0, inf)
TEAM_SIZES = (3, 4, 8, 16, 32)
"""Databases that contribute, one developer or CI runner each."""

DEVELOPER_COUNTS = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
SHARED_DATABASES = 3
"""Databases that developers share where one developer is protected: the smallest cohort, the least noise."""

TASKS_PER_AGENT = 1_000
NEWCOMER_TEAMS = (4, 16)
NEWCOMER_EPSILON = 1.0
NEWCOMERS, NEWCOMER_SEED = 2, 5_000
TASKS_OF_A_DEVELOPER = 100
NO_NOISE = NoiseScales(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one table is worth in one world.

    Attributes:
        agent: whose.
        world: seed.
        unit: what is protected.
        privacy_epsilon: per release; infinite without noise.
        size: databases for tasks, developers for developers.
        value: of its policy over the exact optimum; None where combining was refused.
        known: pairs it knows.
    """

    agent: str
    world: int
    unit: ProtectedUnit
    privacy_epsilon: float
    size: int
    value: float | None
    known: int


class Team:
    """Databases of one agent in one world that learned alone, and what they would release.

    Args:
        agent: name.
        seed: of the world.
        count: databases.
        settings: how they explore and learn, and what protects them.
    """

    def __init__(self, agent: str, seed: int, count: int, settings: Settings) -> None:
        contract = declarations()[agent].contract
        self.world: World = world_of(contract, seed)
        self.space = PublicSpace.of(contract)
        self.settings = settings
        self.discount = contract.discount_or(settings.learning.discount)
        play = simulated_play(self.world, settings)
        self.logs = [
            play(TrainingPlan(agent, TASKS_PER_AGENT, seed, 1_000 + member), None) for member in range(count)
        ]
        self._matters = cells_of(self.space, self.world.is_reachable)

    def scales(self, unit: ProtectedUnit, privacy_epsilon: float) -> NoiseScales:
        """Return the noise of one release."""
        if isinf(privacy_epsilon):
            return NO_NOISE
        delta = self.settings.team.privacy_delta
        return plan_release(
            contribution_bound(protecting(unit, self.settings)),
            len(shareable_spaces()),
            privacy_epsilon,
            delta,
        ).scales

    def releases(self, privacy_epsilon: float) -> list[Contribution]:
        """Return what each database releases where one task is protected."""
        bound, scales = (
            contribution_bound(protecting(ProtectedUnit.TASK, self.settings)),
            self.scales(ProtectedUnit.TASK, privacy_epsilon),
        )
        return [
            Contribution(
                f"database {member:03}",
                self._with_noise(_counted(self.space, log, bound, member), scales),
                scales,
            )
            for member, log in enumerate(self.logs)
        ]

    def crowd_releases(self, developers: int, privacy_epsilon: float) -> list[Contribution]:
        """Return what databases release that many developers share, where one developer is protected."""
        bound, scales = (
            contribution_bound(protecting(ProtectedUnit.DEVELOPER, self.settings)),
            self.scales(ProtectedUnit.DEVELOPER, privacy_epsilon),
        )
        crowd = Crowd.of(self.space, self.logs, TASKS_OF_A_DEVELOPER, bound, len(shareable_spaces()))
        found = []
        for member in range(SHARED_DATABASES):
            exact = crowd.statistics(
                developers // SHARED_DATABASES, np.random.default_rng([developers, member])
            )
            found.append(Contribution(f"database {member}", self._with_noise(exact, scales), scales))
        return found

    def evidence(self, contributions: Sequence[Contribution]) -> TeamEvidence:
        """Return the table that follows.

        Raises:
            PrivacyError: too few of them report more than noise.
        """
        mdp = combine(self.space, contributions, combine_settings(self.settings))
        return solve_shared(
            self.space, mdp, self.discount, confidence_settings(self.settings), tolerance=1e-6
        )

    def value(self, team: TeamEvidence | None) -> float:
        """Return the exact value of acting by a table over the optimum; baseline where it knows nothing."""
        policy = np.full(self.space.state_count, -1) if team is None else greedy(team)
        return self.world.value_of(policy, self.discount) / self.world.optimal_value(self.discount)

    def _with_noise(self, exact: AgentStatistics, scales: NoiseScales) -> AgentStatistics:
        return exact if scales == NO_NOISE else noised_cells(exact, scales, *self._matters)


def protecting(unit: ProtectedUnit, settings: Settings) -> Settings:
    """Return the settings with another protected unit."""
    return settings.model_copy(
        update={"team": settings.team.model_copy(update={"protected_unit": unit.value})}
    )


def greedy(team: TeamEvidence) -> Int64Array:
    """Return the best known action of each state, int64[S]; −1 where none is known."""
    is_known = team.visits > 0
    best = np.where(is_known, team.q, -np.inf).argmax(axis=1)
    return np.where(is_known.any(axis=1), best, -1)


def cells_of(space: PublicSpace, is_reachable: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which pairs and which rows belong to these states, bool[S, A] and bool[M · A]."""
    is_part = np.bincount(space.part[is_reachable], minlength=space.part_count) > 0
    pairs = np.repeat(is_reachable[:, None], space.action_count, axis=1)
    return pairs, np.repeat(is_part, space.action_count)


def noised_cells(
    exact: AgentStatistics, scales: NoiseScales, pairs: BoolArray, rows: BoolArray
) -> AgentStatistics:
    """Return statistics with the release's own noise on some cells; the others hold 0.

    A release has noise on every cell. Those that no task reaches cannot change what a policy is worth, and
    OpenDP draws some 40,000 numbers a second, so an experiment leaves them out.

    Args:
        exact: without noise.
        scales: of the noise.
        pairs: which pairs get noise, bool[S, A].
        rows: which rows of successors get noise, bool[M · A].
    """
    visits, rewards, transitions = (
        np.zeros_like(array) for array in (exact.visits, exact.rewards, exact.transitions)
    )
    visits[pairs] = with_noise(exact.visits[pairs], scales.visits)
    rewards[pairs] = with_noise(exact.rewards[pairs], scales.rewards)
    transitions[rows] = with_noise(exact.transitions[rows], scales.transitions)
    units = int(with_noise(np.array([exact.units]), scales.units)[0])
    return AgentStatistics(units, visits, rewards, transitions)


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """What one agent's teams are worth in one world.

    Attributes:
        cells: by ε, team size and protected unit.
        baseline: value over the exact optimum of the baseline action everywhere, where nothing is known.
        newcomers: how a newcomer learns alone and with the table of a team, by team size, at
            ``NEWCOMER_EPSILON`` with tasks protected.
    """

    cells: tuple[Cell, ...]
    baseline: float
    newcomers: Mapping[int, NewcomerCurves]


def team_figures(
    agents: Sequence[str],
    worlds: Sequence[int],
    settings: Settings,
    progress: Progress = lambda _what, _done, _total: None,
) -> Iterator[TeamFigures]:
    """Yield what tables are worth, for each agent and world.

    Args:
        agents: names.
        worlds: seeds.
        settings: how databases learn, and what protects them.
        progress: told how far it is.
    """
    total = len(agents) * len(worlds)
    for done, (agent, seed) in enumerate((agent, seed) for agent in agents for seed in worlds):
        progress(f"{agent}, world {seed}", done, total)
        team = Team(agent, seed, TEAM_SIZES[-1], settings)
        yield TeamFigures(tuple(_cells(team)), team.value(None), _newcomers(team))
    progress("done", total, total)


def _cells(team: Team) -> Iterator[Cell]:
    for epsilon in EPSILONS:
        releases = team.releases(epsilon)
        for size in TEAM_SIZES:
            yield _cell(team, ProtectedUnit.TASK, epsilon, size, releases[:size])
        for developers in DEVELOPER_COUNTS:
            crowd = team.crowd_releases(developers, epsilon)
            yield _cell(team, ProtectedUnit.DEVELOPER, epsilon, developers, crowd)


def _newcomers(team: Team) -> dict[int, NewcomerCurves]:
    releases = team.releases(NEWCOMER_EPSILON)
    seeds = range(NEWCOMER_SEED, NEWCOMER_SEED + NEWCOMERS)
    return {
        size: newcomer_curves(team.world, team.evidence(releases[:size]), team.settings, seeds)
        for size in NEWCOMER_TEAMS
    }


def _cell(
    team: Team,
    unit: ProtectedUnit,
    epsilon: float,
    size: int,
    contributions: Sequence[Contribution],
) -> Cell:
    agent, seed = team.space.agent, team.world.world_seed
    try:
        evidence = team.evidence(contributions)
    except PrivacyError:
        return Cell(agent, seed, unit, epsilon, size, None, 0)
    return Cell(agent, seed, unit, epsilon, size, team.value(evidence), evidence.known_count)


def steps_of(log: EpisodeLog) -> AgentSteps:
    """Return a log's steps with each task as its own unit."""
    seen = log.transitions
    action = seen.action.astype(np.int64)
    return AgentSteps(log.episode, seen.state, action, seen.reward, seen.next_state, seen.terminated)


def _counted(space: PublicSpace, log: EpisodeLog, bound: ContributionBound, member: int) -> AgentStatistics:
    steps: Mapping[str, AgentSteps] = {space.agent: steps_of(log)}
    generator = np.random.default_rng(member)
    return exact_statistics(steps, {space.agent: space}, bound, generator)[space.agent]
