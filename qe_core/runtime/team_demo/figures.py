"""What the demo of team learning shows: who gave what, at what price, and what a newcomer has of it.

What belongs here: the figures as values. What does not: how they come about (`sharing`, `newcomers`) and how
they are shown (`qe_core.runtime.report.team_demo`, `qe_core.cli`).
"""

from dataclasses import dataclass

from qe_core.runtime.team_demo.newcomers import NewcomerCurves


@dataclass(frozen=True, slots=True)
class Terms:
    """The guarantee every member gives its people.

    Attributes:
        protected_unit: what it protects: a task or a developer.
        pairs: different (state, action) pairs of a unit that count at most.
        clip_bound: rewards further from 0 count as this much, points.
        privacy_epsilon: of one release, at most.
        privacy_epsilon_lifetime: of all releases together, at most.
        privacy_delta: chance outside of which both hold.
    """

    protected_unit: str
    pairs: int
    clip_bound: float
    privacy_epsilon: float
    privacy_epsilon_lifetime: float
    privacy_delta: float


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """What one member did and gave.

    Attributes:
        name: whose database it is.
        kind: what it stands for.
        database: the database's name.
        tasks: finished, over all agents.
        experiences: steps in its log.
        releases: sent to the team.
        cells: numbers in a release, each with noise.
        payload_bytes: of all its releases.
        epsilon_spent: over its lifetime so far, all releases composed.
        releases_left: how many more like the last one its lifetime budget holds.
        opted_out: agents whose experiences it keeps to itself.
    """

    name: str
    kind: str
    database: str
    tasks: int
    experiences: int
    releases: int
    cells: int
    payload_bytes: int
    epsilon_spent: float
    releases_left: int
    opted_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExcerptRow:
    """One pair, before and after.

    Attributes:
        state: in words.
        action: its name.
        logged: visits in the member's own log.
        shared: the count that left its machine.
    """

    state: str
    action: str
    logged: int
    shared: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a member's release says about one agent, beside what it knows itself.

    Attributes:
        member: whose.
        agent: about whom.
        noise: standard deviation of the noise on each count.
        units: tasks of that agent, as released.
        rows: some pairs.
    """

    member: str
    agent: str
    noise: float
    units: int
    rows: tuple[ExcerptRow, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was tried and refused.

    Attributes:
        tried: in words.
        answer: what the product said.
    """

    tried: str
    answer: str


@dataclass(frozen=True, slots=True)
class AgentKnowledge:
    """What the team knows about one agent.

    Attributes:
        agent: whose.
        contributors: how many members' figures it is made of.
        known: pairs the team's table knows.
        pairs: of the agent's space.
        zero_shot: share of the exact optimum that a newcomer reaches with it before its first episode.
    """

    agent: str
    contributors: int
    known: int
    pairs: int
    zero_shot: float


@dataclass(frozen=True, slots=True)
class TeamDemoFigures:
    """Everything that is shown.

    Attributes:
        terms: the guarantee.
        members: who contributed.
        excerpts: what left, beside what stayed.
        refusals: what was refused.
        knowledge: one for each agent that is shared.
        curves: one for each agent that is shared.
        newcomer_database: the database of the newcomer that pulled.
        newcomer_episodes: episodes of each agent it then played there.
        newcomer_share: mean share of the exact optimum of its stored tables after them.
    """

    terms: Terms
    members: tuple[MemberFigures, ...]
    excerpts: tuple[Excerpt, ...]
    refusals: tuple[Refusal, ...]
    knowledge: tuple[AgentKnowledge, ...]
    curves: tuple[NewcomerCurves, ...]
    newcomer_database: str
    newcomer_episodes: int
    newcomer_share: float
