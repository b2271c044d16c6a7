"""What the demo of team learning left in its databases, as figures.

What belongs here: reading. What does not: any step of the demo (`run`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.registry import Registry
from qe_core.privacy.wire import decode
from qe_core.runtime.parameters import contribution_bound
from qe_core.runtime.table_declarations import individual_table
from qe_core.runtime.team.privacy_manager import PrivacyManager
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.runtime.team_demo.cast import CENTRAL_DATABASE, KEEPS_TO_ITSELF, NEWCOMER, TEAM, Member
from qe_core.runtime.team_demo.figures import (
    AgentKnowledge,
    Excerpt,
    ExcerptRow,
    MemberFigures,
    Refusal,
    TeamDemoFigures,
    Terms,
)
from qe_core.runtime.team_demo.learning import WORLD_SEED
from qe_core.runtime.team_demo.newcomers import NewcomerCurves, known_best
from qe_core.store import Store
from qe_core.store.central import StoredContribution, TeamCuration
from qe_core.store.server import database_url
from qe_core.store.team import OptOutKind

EXCERPT_ROWS = 6
"""Pairs shown of a release: those tried most, some in the middle, and some never tried."""


async def gathered(
    fleet: Registry,
    settings: Settings,
    curves: tuple[NewcomerCurves, ...],
    refusals: tuple[Refusal, ...],
) -> TeamDemoFigures:
    """Return the figures of the demo.

    Args:
        fleet: its agents.
        settings: the project's.
        curves: how newcomers learned, one for each agent.
        refusals: what was refused.
    """
    async with TeamCuration.connect(database_url(CENTRAL_DATABASE)) as curation:
        received = {contract.name: await _received(curation, contract.name) for contract in fleet}
        contributors = {one.agent: one.contributors for one in reversed(await curation.publications())}
    shown, kept = fleet.contracts[0], fleet.contracts[-1]
    return TeamDemoFigures(
        terms=_terms(settings),
        members=tuple([await _member(member, fleet, settings, received) for member in TEAM]),
        excerpts=(
            await _excerpt(TEAM[0], shown, received[shown.name]),
            await _excerpt(KEEPS_TO_ITSELF, kept, received[kept.name]),
        ),
        refusals=refusals,
        knowledge=await _knowledge(fleet, curves, contributors),
        curves=curves,
        newcomer_database=NEWCOMER.database,
        newcomer_episodes=NEWCOMER.episodes,
        newcomer_share=await _newcomer_share(fleet, settings),
    )


Received = dict[str, list[tuple[str, StoredContribution]]]
"""What the team's server has about each agent, with the sender's name, the oldest first."""


async def _received(curation: TeamCuration, agent: str) -> list[tuple[str, StoredContribution]]:
    names = {member.member_id: member.name for member in await curation.members()}
    return [(names[one.member], one) async for one in curation.contributions(agent)]


def _terms(settings: Settings) -> Terms:
    bound, team = contribution_bound(settings), settings.team
    return Terms(
        protected_unit=bound.unit.value,
        pairs=bound.pairs,
        clip_bound=bound.clip_bound,
        privacy_epsilon=team.privacy_epsilon_per_release,
        privacy_epsilon_lifetime=team.privacy_epsilon_lifetime,
        privacy_delta=team.privacy_delta,
    )


async def _member(member: Member, fleet: Registry, settings: Settings, received: Received) -> MemberFigures:
    own = member.settings(settings)
    async with Store.connect(member.url()) as store:
        counts = [line for line in await store.experiences.counts() if line.agent in fleet.names()]
        status = await PrivacyManager(store, own, member.pseudonyms(), fleet=fleet).status()
    parts = [one.part for lines in received.values() for name, one in lines if name == member.name]
    return MemberFigures(
        name=member.name,
        kind=member.kind,
        database=member.database,
        tasks=sum(line.episodes for line in counts),
        experiences=sum(line.experiences for line in counts),
        releases=len(status.sent),
        cells=sum(1 + space.cell_count for space in shareable_spaces(fleet).values()),
        payload_bytes=sum(map(len, parts)),
        epsilon_spent=status.spent_epsilon,
        releases_left=status.releases_left,
        opted_out=tuple(one.subject for one in status.opt_outs if one.kind is OptOutKind.AGENT),
    )


async def _excerpt(
    member: Member, contract: AgentContract, received: list[tuple[str, StoredContribution]]
) -> Excerpt:
    """Return some pairs of a member's newest release about an agent, beside its own log."""
    space = shareable_spaces(Registry((contract,)))[contract.name]
    newest = [one for name, one in received if name == member.name][-1]
    shared = decode(newest.part, space)
    async with Store.connect(member.url()) as store:
        observed = await store.experiences.load_mdp(
            contract.name, contract.fingerprint, contract.state_count, contract.action_count
        )
    logged = np.zeros(space.pair_count, dtype=np.int64)
    np.add.at(logged, observed.state * contract.action_count + observed.action, observed.count)
    rows = [
        ExcerptRow(
            state=_words(contract, pair // contract.action_count),
            action=contract.action_names[pair % contract.action_count],
            logged=int(logged[pair]),
            shared=int(shared.visits.ravel()[pair]),
        )
        for pair in _shown_pairs(logged)
    ]
    noise = newest.read_header().plan().scales.visits
    return Excerpt(member.name, contract.name, noise, shared.units, tuple(rows))


def _shown_pairs(logged: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Return pairs tried most often, some tried less, and some never tried, by what the log counts."""
    order = np.argsort(-logged, kind="stable")
    tried = int((logged > 0).sum())
    third = EXCERPT_ROWS // 3
    middle = max(third, tried // 2)
    never = order[tried:]
    spread = never[:: max(1, len(never) // third)][:third]
    return [int(pair) for pair in (*order[:third], *order[middle : middle + third], *spread)]


def _words(contract: AgentContract, state: int) -> str:
    """Return a state's features in words."""
    values = contract.state_model.decode(int(state)).model_dump()
    return ", ".join(f"{name} {value}" for name, value in values.items())


async def _knowledge(
    fleet: Registry, curves: Sequence[NewcomerCurves], contributors: Mapping[str, int]
) -> tuple[AgentKnowledge, ...]:
    found = []
    async with Store.connect(NEWCOMER.url()) as store:
        for contract, curve in zip(fleet, curves, strict=True):
            table = await store.team_tables.current(contract.name, contract.fingerprint)
            found.append(
                AgentKnowledge(
                    agent=contract.name,
                    contributors=contributors.get(contract.name, 0),
                    known=0 if table is None else table.evidence.known_count,
                    pairs=contract.state_count * contract.action_count,
                    zero_shot=float(curve.with_team[:, 0].mean()),
                )
            )
    return tuple(found)


async def _newcomer_share(fleet: Registry, settings: Settings) -> float:
    """Return the mean share of the optimum of the tables the newcomer's database holds."""
    shares = []
    async with Store.connect(NEWCOMER.url()) as store:
        for contract in fleet:
            world = world_of(contract, WORLD_SEED)
            discount = contract.discount_or(settings.learning.discount)
            stored = await individual_table(contract).load(store)
            shares.append(world.value_of(known_best(stored.table), discount) / world.optimal_value(discount))
    return float(np.mean(shares))
