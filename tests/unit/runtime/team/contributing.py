"""Contributors of every kind, for builds on a real server.

What belongs here: what an honest one and a hostile one send about one agent. What does not: tests.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import count
from uuid import uuid4

import numpy as np

from qe_core.fleet.registry import registry
from qe_core.learning.arrays import Int64Array
from qe_core.privacy.mechanism import noised, plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.wire import ReleaseHeader, encode
from qe_core.store.central import TeamCuration, TeamServer

SPACE = PublicSpace.of(registry().get("quality-analyzer"))
BOUND = ContributionBound(ProtectedUnit.TASK, 5, 100.0)
PLAN = plan_release(BOUND, 1, 4.0, 1e-6)
TASKS = 4_000
DRAWS = 8
BUSY_STATES = 20
"""States 0 to 19 are where everybody works; nobody is ever anywhere else."""

_numbers = count()


@dataclass(frozen=True, slots=True)
class Sent:
    """A release on its way.

    Attributes:
        header: of it.
        part: the counts of the one agent.
    """

    header: ReleaseHeader
    part: bytes


def header(**changes: object) -> ReleaseHeader:
    """Return the header of a sound release, with changes."""
    sound = ReleaseHeader(
        release_id=uuid4(),
        origin="0123456789abcdef" * 2,
        made_on=datetime.now(UTC).date(),
        protected_unit=BOUND.unit,
        pairs=BOUND.pairs,
        clip_bound=BOUND.clip_bound,
        privacy_epsilon=PLAN.privacy_epsilon,
        privacy_delta=PLAN.privacy_delta,
        nano_rho=PLAN.nano_rho,
        agents=((SPACE.agent, SPACE.fingerprint),),
    )
    return sound.model_copy(update=changes)


def exact(points: float = 20.0) -> AgentStatistics:
    """Return the counts of many tasks of one step: each busy pair half as often as there are tasks.

    Args:
        points: reward of the first action; each further one earns 5 less.
    """
    empty = AgentStatistics.zeros(SPACE)
    visits = empty.visits.copy()
    visits[:BUSY_STATES] = TASKS // 2
    reward = points - 5.0 * np.arange(SPACE.action_count)
    transitions = empty.transitions.copy()
    transitions[:, -1] = TASKS
    return AgentStatistics(TASKS, visits, np.rint(100 * visits * reward).astype(np.int64), transitions)


@cache
def noise(number: int) -> AgentStatistics:
    """Return one of a few draws of noise: a draw takes a third of a second."""
    assert number < DRAWS
    return noised(AgentStatistics.zeros(SPACE), PLAN.scales)


def noisy(points: float = 20.0) -> AgentStatistics:
    """Return exact counts with the next noise."""
    return exact(points) + noise(next(_numbers) % DRAWS)


def honest(points: float = 20.0) -> Sent:
    """Return a sound release; up to ``DRAWS`` in a row are different."""
    return Sent(header(), encode(noisy(points)))


def changed(**arrays: Int64Array | int) -> Sent:
    """Return a sound release with other numbers in it."""
    return Sent(header(), encode(replace(noisy(), **arrays)))


async def joined(curation: TeamCuration, name: str, *sent: Sent) -> str:
    """Invite somebody, hand in what they send, and return their address."""
    url = await curation.invite(name)
    await hand_in(url, *sent)
    return url


async def hand_in(url: str, *sent: Sent) -> None:
    """Hand releases in."""
    async with TeamServer.connect(url) as server:
        for one in sent:
            await server.submit(one.header, {SPACE.agent: one.part})
