"""Every figure the demo and the report show, from the database, the recordings and the shipped experiments.

What belongs here: gathering and computing. What does not: showing (`report`, `qe_core.cli`). Nothing here
depends on the clock, so the same database gives the same figures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qe_core.config import Settings, load_settings
from qe_core.environments.catalogue import NoWorldError, world_of
from qe_core.fleet.contract import AgentContract, shared_fingerprint
from qe_core.fleet.registry import Registry
from qe_core.fleet.vocabulary import Approach, Category, FleetContext
from qe_core.runtime.demo import WORLD_SEED
from qe_core.runtime.experiments.convergence import LearningCurve
from qe_core.runtime.experiments.convergence_file import read_curves
from qe_core.runtime.overview import Overview, fleet_overview
from qe_core.runtime.pilot_figures import PilotFigures, pilot_figures
from qe_core.runtime.rollout_figures import RolloutFigures, rollout_figures
from qe_core.runtime.sessions import PILOT
from qe_core.runtime.team_figures import TeamFigures, team_figures
from qe_core.runtime.value_reached import ValueReached
from qe_core.store import Level, StatsWindow, Store, StoredTable

CURVE_POINTS = 40
FLEET = "fleet"

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean returns over consecutive episodes.

    Attributes:
        episodes: number of the last episode of each group.
        returns: mean undiscounted return of the group, points.
    """

    episodes: tuple[int, ...]
    returns: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """One agent.

    Attributes:
        agent: its name.
        category: its category's name.
        experiences: stored transitions.
        episodes: distinct episodes.
        updates: sum of visits in its Q-table.
        states_visited: states its Q-table holds something for.
        verdict: convergence.
        reason: what decided the verdict.
        reached: exact values, or None without a simulated world or without anything learned.
        curve: its returns over time, or None without episodes.
    """

    agent: str
    category: str
    experiences: int
    episodes: int
    updates: int
    states_visited: int
    verdict: str
    reason: str
    reached: ValueReached | None
    curve: Curve | None


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """What a shared table is made of.

    Attributes:
        name: of the category, or ``fleet``.
        parts: weight of each part, in the registry's order.
        weight: the table's own, as stored.
        updates: the table's own sum of visits, as stored.
        part_updates: the sum of its parts' visits.
    """

    name: str
    parts: tuple[tuple[str, float], ...]
    weight: float
    updates: int
    part_updates: int

    @property
    def is_exact(self) -> bool:
        """Whether weights and counts are exactly the sums of their parts."""
        return self.weight == sum(weight for _, weight in self.parts) and self.updates == self.part_updates


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """Everything that is shown.

    Attributes:
        agents: one for each registered agent.
        shared: the categories, then the fleet.
        fleet_states: the fleet table's states in words, in order of their codes.
        approaches: the fleet table's columns.
        fleet_values: its values, points, None where nothing is known.
        pilot: the recorded pilot, or None where nothing was recorded or learned.
        newest: when the newest experience happened, in words; the only date there is.
        curves: shipped learning curves of agents whose contract is still the one that was played.
        rollout: what serves, what is tested, what was taken back, and open alerts.
        team: what was shared with a team, at what price, and what it knows.
    """

    agents: tuple[AgentFigures, ...]
    shared: tuple[SharedWeights, ...]
    fleet_states: tuple[str, ...]
    approaches: tuple[str, ...]
    fleet_values: tuple[tuple[float | None, ...], ...]
    pilot: PilotFigures | None
    newest: str
    curves: tuple[LearningCurve, ...]
    rollout: RolloutFigures
    team: TeamFigures


Tables = Mapping[tuple[Level, str], StoredTable]


async def fleet_figures(
    store: Store, fleet: Registry, progress: Progress = lambda _what, _done, _total: None
) -> FleetFigures:
    """Return all figures of what is stored.

    Args:
        store: where from.
        fleet: whose.
        progress: told how far it is.
    """
    what, settings = "computing figures", load_settings().values
    overview = await fleet_overview(store, fleet)
    windows = await store.stats.latest()
    tables = await _tables(store, fleet)
    agents = []
    for number, contract in enumerate(fleet):
        progress(what, number, len(fleet) + 1)
        table = tables.get(("individual", contract.name))
        curve = await _curve(store, contract)
        agents.append(
            _agent(overview, contract, windows.get(contract.name), _reached(contract, table, settings), curve)
        )
    learned = tables.get(("individual", PILOT))
    pilot = pilot_figures(learned.table) if learned is not None and learned.table.visits.any() else None
    progress(what, len(fleet) + 1, len(fleet) + 1)
    counts = await store.experiences.counts()
    return FleetFigures(
        agents=tuple(agents),
        shared=_shared(tables, fleet),
        fleet_states=_state_words(),
        approaches=tuple(str(approach) for approach in Approach),
        fleet_values=_fleet_values(tables.get(("fleet", FLEET))),
        pilot=pilot,
        newest=f"{max(count.last_occurred_at for count in counts):%d %B %Y, %H:%M UTC}"
        if counts
        else "never",
        curves=_curves(fleet),
        rollout=await rollout_figures(store, fleet),
        team=await team_figures(store, fleet, settings),
    )


def _curves(fleet: Registry) -> tuple[LearningCurve, ...]:
    """Return the shipped learning curves, except those of contracts that have changed."""
    current = {contract.name: contract.fingerprint for contract in fleet}
    return tuple(curve for curve in read_curves() if current.get(curve.agent) == curve.fingerprint)


async def _tables(store: Store, fleet: Registry) -> Tables:
    wanted: list[tuple[Level, str, str]] = [("individual", item.name, item.fingerprint) for item in fleet]
    wanted += [("category", str(item), shared_fingerprint(item.context)) for item in Category]
    wanted.append(("fleet", FLEET, shared_fingerprint(FleetContext)))
    current = {(table.level, table.name): table.fingerprint for table in await store.q_tables.list_tables()}
    return {
        (level, name): await store.q_tables.load(level, name, fingerprint)
        for level, name, fingerprint in wanted
        if current.get((level, name)) == fingerprint
    }


def _agent(
    overview: Overview,
    contract: AgentContract,
    window: StatsWindow | None,
    reached: ValueReached | None,
    curve: Curve | None,
) -> AgentFigures:
    line = next(line for line in overview.agents if line.agent == contract.name)
    return AgentFigures(
        agent=line.agent,
        category=line.category,
        experiences=line.experiences,
        episodes=line.episodes,
        updates=line.updates,
        states_visited=line.states_visited,
        verdict=line.convergence,
        reason="" if window is None else window.reason,
        reached=reached,
        curve=curve,
    )


def _reached(contract: AgentContract, stored: StoredTable | None, settings: Settings) -> ValueReached | None:
    """Return exact values in the demo's world; the pilot is measured on recordings instead."""
    if stored is None or contract.name == PILOT or not stored.table.visits.any():
        return None
    try:
        world = world_of(contract, WORLD_SEED)
    except NoWorldError:
        return None
    return ValueReached.of(world, stored.table, contract.discount_or(settings.learning.discount))


async def _curve(store: Store, contract: AgentContract) -> Curve | None:
    returns = (await store.experiences.episode_returns(contract.name, contract.fingerprint)).total_reward
    if len(returns) == 0:
        return None
    groups = np.array_split(returns, min(CURVE_POINTS, len(returns)))
    ends = np.cumsum([len(group) for group in groups])
    return Curve(tuple(ends.tolist()), tuple(float(group.mean()) for group in groups))


def _shared(tables: Tables, fleet: Registry) -> tuple[SharedWeights, ...]:
    found = []
    for category in Category:
        members: list[tuple[Level, str]] = [("individual", item.name) for item in fleet.by_category(category)]
        found.append(_shared_table(tables, ("category", str(category)), members))
    found.append(_shared_table(tables, ("fleet", FLEET), [("category", str(item)) for item in Category]))
    return tuple(table for table in found if table is not None)


def _shared_table(
    tables: Tables, key: tuple[Level, str], part_keys: list[tuple[Level, str]]
) -> SharedWeights | None:
    whole = tables.get(key)
    if whole is None:
        return None
    parts = [(name, tables[level, name]) for level, name in part_keys if (level, name) in tables]
    return SharedWeights(
        name=key[1],
        parts=tuple((name, float(part.weights.sum())) for name, part in parts),
        weight=float(whole.weights.sum()),
        updates=int(whole.table.visits.sum()),
        part_updates=sum(int(part.table.visits.sum()) for _, part in parts),
    )


def _state_words() -> tuple[str, ...]:
    states = (FleetContext.decode(code) for code in range(FleetContext.space_size()))
    return tuple(f"{state.size}, {state.risk} risk, {state.track_record}" for state in states)


def _fleet_values(stored: StoredTable | None) -> tuple[tuple[float | None, ...], ...]:
    if stored is None:
        return ()
    table = stored.table
    return tuple(
        tuple(float(q) if n else None for q, n in zip(q_row, n_row, strict=True))
        for q_row, n_row in zip(table.q.tolist(), table.visits.tolist(), strict=True)
    )
