"""Releases for a team's server.

What belongs here: headers and counts that a contributor could send. What does not: fixtures (`conftest`).
"""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np

from qe_core.fleet.registry import registry
from qe_core.privacy.mechanism import plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.wire import ReleaseHeader, encode

SPACE = PublicSpace.of(registry().get("quality-analyzer"))
BOUND = ContributionBound(ProtectedUnit.TASK, 5, 100.0)


def header(release_id: UUID | None = None, *spaces: PublicSpace) -> ReleaseHeader:
    """Return the header of a release about one agent, or about these."""
    about = spaces or (SPACE,)
    plan = plan_release(BOUND, len(about), 1.0, 1e-6)
    return ReleaseHeader(
        release_id=release_id or uuid4(),
        origin="0123456789abcdef" * 2,
        made_on=datetime.now(UTC).date(),
        protected_unit=BOUND.unit,
        pairs=BOUND.pairs,
        clip_bound=BOUND.clip_bound,
        privacy_epsilon=1.0,
        privacy_delta=1e-6,
        nano_rho=plan.nano_rho,
        agents=tuple((space.agent, space.fingerprint) for space in about),
    )


def part(seed: int, space: PublicSpace = SPACE) -> bytes:
    """Return counts that differ with the seed."""
    generator = np.random.default_rng(seed)
    zeros = AgentStatistics.zeros(space)
    return encode(
        AgentStatistics(500, generator.integers(0, 50, zeros.visits.shape), zeros.rewards, zeros.transitions)
    )
