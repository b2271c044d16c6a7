"""What sharing would be worth by one's own log: the team's policy against the own, by ε and team size.

What belongs here: playing releases through on a log, on this machine alone. What does not: simulated worlds
(`team_figures`), and releasing (`qe_core.runtime.team`). Nothing leaves and no budget is spent: noise is
drawn, used and forgotten.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.config import Settings
from qe_core.errors import PrivacyError
from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.finite_mdp import evaluate_policy
from qe_core.learning.q_table import greedy_actions
from qe_core.privacy.aggregation import Contribution, combine
from qe_core.privacy.mechanism import NoiseScales, plan_release
from qe_core.privacy.shared_knowledge import solve_shared
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics, exact_statistics
from qe_core.privacy.units import AgentSteps
from qe_core.runtime.experiments.convergence import Progress
from qe_core.runtime.experiments.team_figures import noised_cells
from qe_core.runtime.parameters import combine_settings, confidence_settings, contribution_bound

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
TEAM_SIZES = (3, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class OwnLogPoint:
    """What a team of databases like this one would know, over all agents of the log by steps.

    Attributes:
        privacy_epsilon: of each database's release.
        databases: that contribute.
        known: share of the log's steps whose pair would be known.
        agreement: share of the log's steps in whose state both policies choose the same action.
        kept: of what the own exact policy gains on how the log acted, the share the team's policy gains too.
        refused: agents about which nothing could be combined.
    """

    privacy_epsilon: float
    databases: int
    known: float
    agreement: float
    kept: float
    refused: int


def own_log_points(
    steps: Mapping[str, AgentSteps],
    spaces: Mapping[str, PublicSpace],
    discounts: Mapping[str, float],
    settings: Settings,
    progress: Progress = lambda _what, _done, _total: None,
) -> list[OwnLogPoint]:
    """Return what teams of databases with just this log would know, by ε and size.

    Values are exact in the MDP that the log itself shows, averaged over the states it was in; where the team
    knows nothing, its policy acts as the log did.

    Args:
        steps: of finished tasks, by agent.
        spaces: of all agents of a release.
        discounts: by agent, γ in [0, 1).
        settings: what protects, and what is asked of contributions.
        progress: told how far it is.

    Raises:
        PrivacyError: there are no steps.
    """
    active = [agent for agent in spaces if len(steps.get(agent, ()))]
    if not active:
        raise PrivacyError(
            "no task has ended since the last release, so there is nothing to play through; let agents work, "
            "or import experiences"
        )
    bound = contribution_bound(settings)
    exact = exact_statistics(steps, spaces, bound, np.random.default_rng(0))
    plans = [plan_release(bound, len(spaces), epsilon, settings.team.privacy_delta) for epsilon in EPSILONS]
    found: dict[tuple[float, int], list[_Judged | None]] = {}
    sizes: list[int] = []
    for done, agent in enumerate(active):
        progress("playing releases through", done, len(active))
        log = _Log.of(steps[agent], spaces[agent], discounts[agent])
        sizes.append(log.step_count)
        for plan in plans:
            copies = list(_copies(exact[agent], plan.scales))
            for size in TEAM_SIZES:
                judged = log.judged(copies[:size], settings)
                found.setdefault((plan.privacy_epsilon, size), []).append(judged)
    return [_together(*key, judged, sizes) for key, judged in found.items()]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One agent's figures: as in `OwnLogPoint`, and gains in points."""

    known: float
    agreement: float
    own_gain: float
    gain: float


@dataclass(frozen=True, slots=True)
class _Log:
    """One agent's log as an MDP, with what its own exact policy is worth there."""

    space: PublicSpace
    discount: float
    seen: EmpiricalMdp
    best: Int64Array

    @classmethod
    def of(cls, steps: AgentSteps, space: PublicSpace, discount: float) -> "_Log":
        going_on = np.zeros(len(steps), dtype=np.bool_)
        transitions = Transitions.from_columns(
            steps.state, steps.action, steps.reward, steps.next_state, steps.terminated, going_on
        )
        seen = EmpiricalMdp.from_transitions(transitions, space.state_count, space.action_count)
        return cls(space, discount, seen, solve_empirical_mdp(seen, discount).policy)

    @property
    def step_count(self) -> int:
        return int(self.seen.count.sum())

    def judged(self, contributions: Sequence[Contribution], settings: Settings) -> _Judged | None:
        """Return what the table of these contributions is worth here; None where it is refused."""
        try:
            mdp = combine(self.space, contributions, combine_settings(settings))
        except PrivacyError:
            return None
        team = solve_shared(self.space, mdp, self.discount, confidence_settings(settings), tolerance=1e-6)
        visits = self.seen.visits
        share = visits.sum(axis=1) / visits.sum()
        acted = visits / np.maximum(visits.sum(axis=1, keepdims=True), 1)
        chosen = greedy_actions(team.q, (team.visits > 0) & (visits > 0))
        log, own, shared = (
            self._value(policy, share) for policy in (acted, self.best, self._following(chosen, acted))
        )
        return _Judged(
            known=float(visits[team.visits > 0].sum() / visits.sum()),
            agreement=float(share[(chosen == self.best) & (chosen >= 0)].sum()),
            own_gain=own - log,
            gain=shared - log,
        )

    def _following(self, chosen: Int64Array, acted: Float64Array) -> Float64Array:
        policy = np.where((chosen >= 0)[:, None], 0.0, acted)
        known = np.flatnonzero(chosen >= 0)
        policy[known, chosen[known]] = 1.0
        return np.asarray(policy)

    def _value(self, policy: Float64Array | Int64Array, share: Float64Array) -> float:
        return float(share @ evaluate_policy(self.seen.to_finite_mdp(), policy, self.discount, 1e-6))


def _copies(exact: AgentStatistics, scales: NoiseScales) -> Iterator[Contribution]:
    """Yield the releases of databases that counted the same, each with noise of its own."""
    pairs, rows = exact.visits > 0, np.asarray(exact.transitions.any(axis=1))
    for member in range(TEAM_SIZES[-1]):
        yield Contribution(f"database {member:03}", noised_cells(exact, scales, pairs, rows), scales)


def _together(
    epsilon: float, size: int, judged: Sequence[_Judged | None], steps: Sequence[int]
) -> OwnLogPoint:
    """Return the mean over agents by steps; about agents that were refused nothing is known."""
    total = sum(steps)
    pairs = [(one, count) for one, count in zip(judged, steps, strict=True) if one is not None]
    gained = sum(one.gain * count for one, count in pairs)
    possible = sum(one.own_gain * count for one, count in pairs)
    return OwnLogPoint(
        privacy_epsilon=epsilon,
        databases=size,
        known=sum(one.known * count for one, count in pairs) / total,
        agreement=sum(one.agreement * count for one, count in pairs) / total,
        kept=gained / possible if possible > 0 else 0.0,
        refused=len(judged) - len(pairs),
    )
