"""Making the team's tables of what contributors sent.

What belongs here: reading contributions strictly, setting aside what cannot be one, publishing what follows
from the others. What does not: how contributions are pooled and solved (`qe_core.privacy`), who may
contribute (`qe_core.store.central`).
"""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, fields
from uuid import UUID

from pydantic import ValidationError

from qe_core.config import Settings
from qe_core.errors import ContributionError, PrivacyError, QEError
from qe_core.fleet import registry
from qe_core.privacy.aggregation import Contribution, combine
from qe_core.privacy.mechanism import NoiseScales, ReleasePlan
from qe_core.privacy.plausibility import implausibility
from qe_core.privacy.shared_knowledge import solve_shared
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.wire import ReleaseHeader, decode
from qe_core.runtime.parameters import combine_settings, confidence_settings
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store.central import StoredContribution, TeamCuration
from qe_core.store.central.curation import CURATOR

_KINDS = tuple(one.name for one in fields(NoiseScales))


@dataclass(frozen=True, slots=True)
class AgentBuild:
    """What became of one agent's contributions.

    Attributes:
        agent: whose.
        version: of the table that was published; None where nothing changed or too little was reported.
        known_pairs: pairs the team knows about.
        contributors: how many the table rests on.
        left_out: contributors that reported nothing but noise.
        set_aside: what this build set aside, and why.
        refusal: why there is no table, in words; None where there is one.
    """

    agent: str
    version: int | None = None
    known_pairs: int = 0
    contributors: int = 0
    left_out: int = 0
    set_aside: tuple[tuple[UUID, str], ...] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        agents: one for each agent that can be shared, by name.
    """

    agents: tuple[AgentBuild, ...]

    @property
    def published(self) -> dict[str, int]:
        """The new versions, by agent."""
        return {one.agent: one.version for one in self.agents if one.version is not None}


@dataclass(slots=True)
class _Sum:
    """What one member released about one agent, added up."""

    statistics: AgentStatistics
    variances: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_KINDS, 0.0))
    releases: list[UUID] = field(default_factory=list)

    def add(self, release_id: UUID, statistics: AgentStatistics, scales: NoiseScales) -> None:
        """Add one release."""
        self.statistics = self.statistics + statistics
        for kind in _KINDS:
            self.variances[kind] += getattr(scales, kind) ** 2
        self.releases.append(release_id)

    def contribution(self, member: int) -> Contribution:
        """Return the sum, with the scale that as many releases of equal noise would have had."""
        count = len(self.releases)
        scales = NoiseScales(**{kind: math.sqrt(self.variances[kind] / count) for kind in _KINDS})
        return Contribution(_name(member), self.statistics, scales, count)


async def build(
    curation: TeamCuration,
    settings: Settings,
    *,
    progress: Callable[[str, int, int | None], None] = lambda _what, _done, _total: None,
    by: str = CURATOR,
) -> BuildReport:
    """Publish a table of each agent for which enough was contributed, and return what became of all.

    Contributions that cannot be what they are said to be are set aside with the reason and never read again.
    The same contributions under the same settings give the same table, which is not published twice. Builds
    wait for each other; one that is killed leaves every agent with its old table or its new one.

    Args:
        curation: a founded team's.
        settings: of the central server; those of contributors do not matter here.
        progress: told what is done, how many agents are, and of how many.
        by: who builds.

    Raises:
        TeamError: no team was founded there.
        DatabaseUnavailableError: the connection was lost.
    """
    spaces = shareable_spaces()
    reader = _Reader()
    built = []
    async with curation.building():
        await curation.register(spaces.values(), by)
        for done, space in enumerate(spaces.values()):
            progress(f"building {space.agent}", done, len(spaces))
            built.append(await _built(curation, settings, space, reader, by))
        progress("building", len(spaces), len(spaces))
    return BuildReport(tuple(built))


async def _built(
    curation: TeamCuration, settings: Settings, space: PublicSpace, reader: "_Reader", by: str
) -> AgentBuild:
    sums, faults = await _read(curation, space, reader)
    for release_id, why in faults:
        await curation.set_aside(release_id, space.agent, why, by)
    chosen = combine_settings(settings)
    try:
        mdp = combine(space, [one.contribution(member) for member, one in sums.items()], chosen)
    except PrivacyError as error:
        return AgentBuild(space.agent, set_aside=faults, refusal=str(error))
    discount = registry().get(space.agent).discount_or(settings.learning.discount)
    table = solve_shared(space, mdp, discount, confidence_settings(settings))
    counted = [one for member, one in sums.items() if _name(member) in mdp.contributors]
    lineage = {
        "releases": sorted(str(release_id) for one in counted for release_id in one.releases),
        "settings": {**asdict(chosen), "discount": discount},
    }
    version = await curation.publish(space, table, len(mdp.contributors), lineage, by)
    return AgentBuild(
        space.agent, version, table.known_count, len(mdp.contributors), len(mdp.left_out), faults
    )


async def _read(
    curation: TeamCuration, space: PublicSpace, reader: "_Reader"
) -> tuple[Mapping[int, _Sum], tuple[tuple[UUID, str], ...]]:
    """Return each member's sum, and the contributions that are none."""
    sums: dict[int, _Sum] = {}
    faults = []
    async with aclosing(curation.contributions(space.agent)) as contributions:
        async for stored in contributions:
            if not reader.knows_all_agents(stored):
                continue
            try:
                statistics, scales = reader.read(stored, space)
            except QEError as error:
                faults.append((stored.release_id, str(error)))
                continue
            if stored.member not in sums:
                sums[stored.member] = _Sum(AgentStatistics.zeros(space))
            sums[stored.member].add(stored.release_id, statistics, scales)
    return sums, tuple(faults)


class _Reader:
    """Reads contributions; what a header promises is worked out once for all that promise the same."""

    def __init__(self) -> None:
        self._plans: dict[tuple[object, ...], ReleasePlan] = {}
        self._names = set(registry().names())

    def knows_all_agents(self, stored: StoredContribution) -> bool:
        """Return whether every agent of the release is registered here, and not only where it comes from.

        A release about others as well cannot be judged here, which is no fault of its contributor.
        """
        return {name for name, _ in json.loads(stored.header)["agents"]} <= self._names

    def read(self, stored: StoredContribution, space: PublicSpace) -> tuple[AgentStatistics, NoiseScales]:
        """Return what a contribution counts and the scale of its noise.

        Raises:
            ContributionError: it cannot be what it is said to be.
            PrivacyError: its header promises what no noise keeps.
        """
        try:
            header = stored.read_header()
        except ValidationError as error:
            raise ContributionError(f"its header is none: {error.errors()[0]['msg']}") from error
        plan = self._plan(header)
        statistics = decode(stored.part, space)
        fault = implausibility(statistics, plan)
        if fault is not None:
            raise ContributionError(fault)
        return statistics, plan.scales

    def _plan(self, header: ReleaseHeader) -> ReleasePlan:
        key = (
            *(header.protected_unit, header.pairs, header.clip_bound, header.privacy_epsilon),
            *(header.privacy_delta, header.nano_rho, len(header.agents)),
        )
        if key not in self._plans:
            self._plans[key] = header.plan()
        return self._plans[key]


def _name(member: int) -> str:
    """Return a member's number as a name, so that names sort as numbers do."""
    return f"member {member:010d}"
