"""The whole pilot: play, let the graph draw conclusions every so often, watch, and judge what was learned.

What belongs here: the order of things, in a home of the pilot's own. What does not: playing (`live`), figures
(`patterns`, `qe_core.runtime.value_reached`, `qe_core.runtime.pilot_figures`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qe_core.config import Settings, load_settings, project_home
from qe_core.environments.recorded import Recordings
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.graph import rounds_of
from qe_core.runtime.identity import identity_of
from qe_core.runtime.journal import FileJournal
from qe_core.runtime.monitoring import Observation, QLearningMonitor
from qe_core.runtime.pilot.live import (
    exploration,
    play_episode,
    session_name,
    sessions_in_log,
    strategies,
)
from qe_core.runtime.pilot.patterns import Patterns, patterns_of
from qe_core.runtime.pilot.plan import PilotPlan, begin_or_go_on
from qe_core.runtime.pilot.tasks import PilotTask, recorded_tasks, synthetic_tasks, world_of_tasks
from qe_core.runtime.pilot.watch import Watch
from qe_core.runtime.pilot_figures import PilotFigures, pilot_figures
from qe_core.runtime.training import table_so_far
from qe_core.runtime.value_reached import ValueReached
from qe_core.runtime.working import agent_at_work
from qe_core.store import Store
from qe_core.store.adjustments import AdjustmentRecord
from qe_core.store.server import database_url

AT_ONCE = 50
"""Tasks an agent works on at the same time."""

PATIENCE_SECONDS = 60.0
"""How long a task waits for learning; nobody waits for the task."""

LOOK_EVERY_SECONDS = 5.0
"""How often the agent looks for an adjustment; the pilot is over in minutes."""


@dataclass(frozen=True, slots=True)
class PilotState:
    """How far the pilot is.

    Attributes:
        episodes: learning episodes played.
        done: tasks done in all of them.
        exploration_rate: of the next decision.
        mean_return: of the last learning episode's tasks, points.
        reached: exact value of the table as it is, where there is a simulated world.
        seen: what the monitor saw last, if it looked yet.
    """

    episodes: int
    done: int
    exploration_rate: float
    mean_return: float
    reached: ValueReached | None
    seen: Observation | None


@dataclass(frozen=True, slots=True)
class PilotReport:
    """What came of it.

    Attributes:
        plan: what was played.
        tasks_now: done by this run.
        tasks_before: done by runs before it.
        steps: decisions taken and recorded by this run.
        seconds: this run took while it played, the graph's rounds included.
        rounds: the graph looked at the log.
        returns: mean return of the tasks in each learning episode of this run, points.
        seen: how the agent learns, by the statistics windows.
        adjustments: changes to how it learns while it played, newest last.
        reached: exact value of the stored table in the simulated world.
        patterns: what was learned, against what is best there.
        compared: the stored table on held-out packages, where the pilot is recorded.
    """

    plan: PilotPlan
    tasks_now: int
    tasks_before: int
    steps: int
    seconds: float
    rounds: int
    returns: tuple[float, ...]
    seen: Observation
    adjustments: tuple[AdjustmentRecord, ...]
    reached: ValueReached | None
    patterns: Patterns | None
    compared: PilotFigures | None


async def run_pilot(plan: PilotPlan, tell: Callable[[PilotState], None]) -> PilotReport:
    """Play what the log does not hold yet, watched by the graph, and return what was learned.

    Args:
        plan: what to play.
        tell: told after every learning episode.

    Raises:
        PilotError: another pilot was played in this home.
        GraphError: the graph failed.
        StoreError: the database failed.
    """
    begin_or_go_on(plan)
    settings = load_settings().values
    recordings = Recordings.load() if plan.is_recorded else None
    tasks = (
        synthetic_tasks(plan.tasks, plan.seed, plan.world_seed)
        if recordings is None
        else recorded_tasks(plan.tasks, plan.seed, recordings)
    )
    world = None if plan.is_recorded else world_of_tasks(tasks, plan.world_seed)
    began_at = time.monotonic()
    async with Store.connect(database_url(), identity=identity_of(settings)) as store:
        before = await sessions_in_log(store, TEST_GENERATOR.name)
        played = _Played(before=len(before))
        if any(session_name(number, task) not in before for number in range(plan.episodes) for task in tasks):
            async with rounds_of(TEST_GENERATOR.name) as rounds:
                began_at = time.monotonic()
                watch = Watch(store, settings, rounds, world)
                await _play(plan, tasks, store, settings, watch, played, tell)
                await watch.round()
                played.rounds = watch.count
        seconds = time.monotonic() - began_at
        seen = await QLearningMonitor(store, settings).observe(TEST_GENERATOR.name)
        table = (await table_so_far(store, TEST_GENERATOR)).table
        adjustments = await store.adjustments.history(TEST_GENERATOR.name)
    discount = TEST_GENERATOR.discount_or(settings.learning.discount)
    return PilotReport(
        plan=plan,
        tasks_now=played.tasks,
        tasks_before=played.before,
        steps=played.steps,
        seconds=seconds,
        rounds=played.rounds,
        returns=tuple(played.returns),
        seen=seen,
        adjustments=tuple(adjustments),
        reached=None if world is None else ValueReached.of(world, table, discount),
        patterns=None
        if world is None
        else patterns_of(world, table, discount, settings.convergence.tie_points),
        compared=pilot_figures(table) if plan.is_recorded else None,
    )


@dataclass(slots=True)
class _Played:
    """What this run has played so far, and how many tasks had been done before it."""

    before: int
    returns: list[float] = field(default_factory=list)
    steps: int = 0
    tasks: int = 0
    rounds: int = 0


async def _play(
    plan: PilotPlan,
    tasks: list[PilotTask],
    store: Store,
    settings: Settings,
    watch: Watch,
    played: _Played,
    tell: Callable[[PilotState], None],
) -> None:
    """Play the learning episodes that are left, watched every so often."""
    rng = np.random.default_rng([plan.seed, played.before])
    count = plan.tasks * plan.episodes
    with FileJournal(project_home() / "notes") as notes:
        async with (
            store.live() as live,
            agent_at_work(
                *(store, live, TEST_GENERATOR, strategies(TEST_GENERATOR), settings, rng),
                schedule=exploration(count, played.before, plan.last_rate),
                journal=notes,
                decide_seconds=PATIENCE_SECONDS,
                record_seconds=PATIENCE_SECONDS,
                is_strict=True,
                look_every_seconds=LOOK_EVERY_SECONDS,
            ) as agent,
        ):
            await agent.resume(notes)
            # What was recovered has ended its session: such a task is not begun again under the same name.
            before = await sessions_in_log(store, TEST_GENERATOR.name)
            played.before = len(before)
            try:
                for number in range(plan.episodes):
                    episode = await play_episode(agent, tasks, number, plan.seed, before, AT_ONCE)
                    if episode.tasks == 0:
                        continue
                    played.returns.append(episode.mean_return)
                    played.steps += episode.steps
                    played.tasks += episode.tasks
                    done = played.before + played.tasks
                    rate = exploration(count, done, plan.last_rate).exploration_rate
                    reached = await watch.reached()
                    tell(PilotState(number + 1, done, rate, episode.mean_return, reached, watch.seen))
                    if (number + 1) % plan.rounds_every == 0 and number + 1 < plan.episodes:
                        await watch.begin_round()
                await watch.ended()
            finally:
                await watch.cancel()
