"""An agent's own table and its team's, merged by how precise each of them is.

What belongs here: the merge and its report. What does not: what the team's table is made of
(`qe_core.privacy`), and when tables are pulled and kept (`qe_core.runtime.team`).
"""

from dataclasses import dataclass, replace

import numpy as np

from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    require_finite,
    require_positive,
    require_shape,
)
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, QTable, noise_variance
from qe_core.learning.team_evidence import TeamEvidence


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """How far a team's value is trusted beside an own one.

    Attributes:
        conflict_standard_errors: standard errors of the difference from which both contradict each other.
    """

    conflict_standard_errors: float = 3.0

    def __post_init__(self) -> None:
        require_positive("conflict_standard_errors", self.conflict_standard_errors)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A pair about which an agent and its team contradict each other; the more precise side stands alone.

    Attributes:
        state: code.
        action: index.
        own_q: own value, points.
        own_visits: visits behind it.
        own_confidence: weight of the own evidence against a prior, in [0, 1).
        team_q: the team's value, points.
        team_visits: effective visits of others behind it.
        team_confidence: weight of the others' evidence against a prior, in [0, 1).
        is_own_kept: whether the own value stands.
    """

    state: int
    action: int
    own_q: float
    own_visits: int
    own_confidence: float
    team_q: float
    team_visits: float
    team_confidence: float
    is_own_kept: bool


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of an agent's table.

    Attributes:
        table: own evidence unchanged bit for bit; values merged.
        conflicts: ordered by state and action.
        taken: pairs without own visits that hold the team's value now.
        merged: pairs whose value is a mean of both.
        kept: pairs with own visits that the team has nothing to add to.
    """

    table: QTable
    conflicts: tuple[Conflict, ...]
    taken: int
    merged: int
    kept: int


def others_visits(team: TeamEvidence, own_reported: Float64Array) -> Float64Array:
    """Return the effective visits that are not the agent's own, float64[S, A].

    The agent's share of what was reported is taken off, so that no visit counts twice. A share that is
    overstated, by releases sent since the table was built, errs on that side too.

    Args:
        team: the team's table.
        own_reported: what this agent's database itself reported, float64[S, A]; may be negative by noise.
    """
    require_shape("own_reported", own_reported, team.q.shape)
    require_finite("own_reported", own_reported)
    share = np.divide(own_reported, team.reported, out=np.zeros_like(team.reported), where=team.reported > 0)
    return np.asarray(team.visits * (1.0 - np.clip(share, 0.0, 1.0)))


def merged(
    own: QTable,
    team: TeamEvidence,
    own_reported: Float64Array,
    settings: MergeSettings | None = None,
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
) -> Merged:
    """Return the own table with values that count what others saw.

    The precision of an own value is visits over the variance of its targets, that of the team's value the
    others' effective visits over the assumed variance; the merged value is their mean by precision. Where
    both contradict each other, the more precise one stands alone, the own one if they are equal. Pairs
    without own visits take the team's value as a prior. Visits and target statistics stay as they are, so
    without team evidence, and wherever the team knows nothing, the table is the own one.

    Args:
        own: as the agent's log determines it.
        team: the team's table.
        own_reported: what this agent's database itself reported to the team, float64[S, A].
        settings: from when both contradict each other.
        confidence: what is assumed about noise before it is measured.

    Raises:
        LearningError: shapes differ or a number is not finite.
    """
    chosen = MergeSettings() if settings is None else settings
    require_shape("team table", team.q, own.q.shape)
    visits = others_visits(team, own_reported)
    own_precision = own.visits / noise_variance(own.statistics, confidence)
    team_precision = visits / confidence.noise_variance
    is_own = own.visits > 0
    is_taken = ~is_own & (team.visits > 0)
    is_both = is_own & (team_precision > 0)
    gap2 = (own.q - team.q) ** 2 * own_precision * team_precision
    limit2 = chosen.conflict_standard_errors**2 * (own_precision + team_precision)
    is_conflict = is_both & (gap2 > limit2)
    total = np.where(is_both, own_precision + team_precision, 1.0)
    mean = own.q + (team.q - own.q) * (team_precision / total)
    is_team_kept = is_conflict & (team_precision > own_precision)
    q = np.where(is_both & ~is_conflict, mean, own.q)
    q = np.where(is_taken | is_team_kept, team.q, q)
    trust = [precision / (precision + 1.0 / confidence.prior_variance)
             for precision in (own_precision, team_precision)]  # fmt: skip
    return Merged(
        table=replace(own, q=q),
        conflicts=_conflicts(own, team, visits, trust[0], trust[1], is_conflict, is_team_kept),
        taken=int(is_taken.sum()),
        merged=int((is_both & ~is_conflict).sum()),
        kept=int((is_own & ~is_both).sum()),
    )


def _conflicts(
    own: QTable,
    team: TeamEvidence,
    visits: Float64Array,
    own_trust: Float64Array,
    team_trust: Float64Array,
    is_conflict: BoolArray,
    is_team_kept: BoolArray,
) -> tuple[Conflict, ...]:
    """Return both sides' figures of each conflict."""
    return tuple(
        Conflict(
            state=state,
            action=action,
            own_q=float(own.q[state, action]),
            own_visits=int(own.visits[state, action]),
            own_confidence=float(own_trust[state, action]),
            team_q=float(team.q[state, action]),
            team_visits=float(visits[state, action]),
            team_confidence=float(team_trust[state, action]),
            is_own_kept=not is_team_kept[state, action],
        )
        for state, action in np.argwhere(is_conflict).tolist()
    )
