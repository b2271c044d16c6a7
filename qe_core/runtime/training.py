"""Training sessions: an agent plays episodes in its environment and what it experiences is stored.

What belongs here: which session is played, that it is played once, and how its log becomes experiences.
What does not: playing (`qe_core.environments`), learning from what is stored (`qe_pipelines`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import assert_never

import numpy as np
import pyarrow as pa

from qe_core.config import Settings
from qe_core.environments.planned_play import Beliefs, PlanningSettings, play_planned
from qe_core.environments.rollouts import EpisodeLog, PlaySettings, play
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.effects import EffectDesign
from qe_core.hierarchy.pooling import PooledBeliefs
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.learning.q_table import QTable
from qe_core.runtime.parameters import confidence_settings, exploration_schedule, learning_rate
from qe_core.store import ImportRecord, Store, StoredTable

SIMULATED, RECORDED = "simulated", "recorded"
"""Sources of experiences: an explicit finite MDP, or recorded outcomes of real tools."""

MAX_EPISODES = 1_000_000


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One session; the same plan always plays the same episodes.

    Attributes:
        agent: who plays.
        episodes: how many.
        world_seed: which world of the agent's family.
        seed: of the agent's own chances.
        is_continuing: start from the table learned so far instead of knowing nothing.
    """

    agent: str
    episodes: int
    world_seed: int = 0
    seed: int = 0
    is_continuing: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.episodes <= MAX_EPISODES:
            raise LearningError(f"play 1 to {MAX_EPISODES:,} episodes in a session, not {self.episodes:,}")
        if self.world_seed < 0 or self.seed < 0:
            raise LearningError("seeds are whole numbers from 0 on")

    @property
    def words(self) -> str:
        """The plan in words; also what recognises sessions in the same world."""
        return f"{self.agent} world {self.world_seed} seed {self.seed} episodes {self.episodes}"

    @property
    def episode_prefix(self) -> str:
        """What the names of the session's episodes begin with."""
        return f"w{self.world_seed}-s{self.seed}-n{self.episodes}"

    def digest(self, fingerprint: str) -> str:
        """Return what recognises the session, under one contract, SHA-256 in hex."""
        content = ["training", fingerprint, self.agent, self.episodes, self.world_seed, self.seed]
        return sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a session added.

    Attributes:
        plan: what was played.
        source: simulated or recorded.
        experiences_new: rows that were not in the log before.
        is_repeated: whether the session had been played before, so nothing was played now.
    """

    plan: TrainingPlan
    source: str
    experiences_new: int
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class KnownSoFar:
    """What a session that continues starts from.

    Attributes:
        table: the agent's own, as it is stored.
        mdp: everything it has experienced, counted.
    """

    table: QTable
    mdp: EmpiricalMdp


Play = Callable[[TrainingPlan, KnownSoFar | None], EpisodeLog]
"""Plays a plan, starting from what is known or from nothing."""


async def train(
    store: Store, contract: AgentContract, plan: TrainingPlan, source: str, play_plan: Play
) -> TrainingReport:
    """Play a session and store its experiences, once: a plan played before adds nothing.

    The time of the first attempt is kept, and every experience is dated by its place in the session from
    there on, so that a session that was interrupted while storing is completed and not doubled.

    Args:
        store: where to.
        contract: the agent's.
        plan: what to play.
        source: what the experiences carry.
        play_plan: see `simulated_play`.
    """
    record = await store.imports.begin(source, plan.digest(contract.fingerprint), plan.words)
    if record.state == "done":
        return TrainingReport(plan, source, 0, is_repeated=True)
    new = 0
    if record.rows_read == 0:  # else it was stored whole, and only the last word is missing
        start = await known_so_far(store, contract) if plan.is_continuing else None
        rows = _experiences(contract, plan, source, play_plan(plan, start), record)
        new = await store.imports.append_chunk(record.import_id, rows, rows.num_rows, 0)
    await store.imports.finish(record.import_id, is_successful=True)
    return TrainingReport(plan, source, new, is_repeated=False)


async def table_so_far(store: Store, contract: AgentContract) -> StoredTable:
    """Return the agent's own table as it is stored, empty if nothing was learned yet."""
    handle = await store.q_tables.ensure(
        "individual", contract.name, contract.fingerprint, contract.state_count, contract.action_names
    )
    return await store.q_tables.load("individual", handle.name, handle.fingerprint)


async def known_so_far(store: Store, contract: AgentContract) -> KnownSoFar:
    """Return what the agent learned and experienced so far."""
    stored = await table_so_far(store, contract)
    mdp = await store.experiences.load_mdp(
        contract.name, contract.fingerprint, contract.state_count, contract.action_count
    )
    return KnownSoFar(stored.table, mdp)


async def next_seed(store: Store, agent: str, world_seed: int) -> int:
    """Return the lowest seed no session of the agent in that world has used."""
    prefix = f"{agent} world {world_seed} seed "
    used = {
        int(record.file_name.removeprefix(prefix).split()[0])
        for record in await store.imports.history()
        if record.source in (SIMULATED, RECORDED) and record.file_name.startswith(prefix)
    }
    return next(seed for seed in range(len(used) + 1) if seed not in used)


def simulated_play(world: World, settings: Settings) -> Play:
    """Return what plays plans in a simulated world by the rule of the settings."""
    contract = world.contract
    discount = contract.discount_or(settings.learning.discount)

    def play_plan(plan: TrainingPlan, start: KnownSoFar | None) -> EpisodeLog:
        rng = np.random.default_rng([plan.seed, plan.world_seed, *plan.agent.encode()])
        match settings.exploration.session_rule:
            case "pooled" | "matching" as rule:
                known = None if start is None else start.mdp
                beliefs = pooled_beliefs(world, settings) if rule == "pooled" else None
                planning = planning_settings(settings, discount)
                return play_planned(world, plan.episodes, rng, planning, known, beliefs)
            case "epsilon_greedy":
                played = PlaySettings(exploration_schedule(settings), learning_rate(settings), discount)
                if start is None:
                    return play(world, plan.episodes, rng, played)
                return play(world, plan.episodes, rng, played, start.table.q, start.table.visits)
            case _:
                assert_never(settings.exploration.session_rule)

    return play_plan


def pooled_beliefs(world: World, settings: Settings) -> Beliefs:
    """Return what an agent believes that pools what it sees over features (ADR 0048).

    Args:
        world: where it plays.
        settings: what is assumed about noise and spread.
    """
    contract = world.contract
    design = EffectDesign.of(contract.state_model, contract.category, np.flatnonzero(world.is_reachable))
    discount = contract.discount_or(settings.learning.discount)
    return PooledBeliefs(
        design,
        contract.action_count,
        discount,
        confidence=confidence_settings(settings),
        enough_visits=settings.exploration.pooling_visits,
    )


def planning_settings(settings: Settings, discount: float) -> PlanningSettings:
    """Return how sessions that plan on what they have seen decide.

    Args:
        settings: share of random actions, how often to plan, what is assumed about noise.
        discount: the agent's own or the fleet's, in [0, 1).
    """
    rate = settings.exploration.matching_rate
    return PlanningSettings(
        schedule=ExponentialSchedule(rate, rate),
        discount=discount,
        confidence=confidence_settings(settings),
        replan_share=settings.exploration.replan_share,
    )


def _experiences(
    contract: AgentContract, plan: TrainingPlan, source: str, log: EpisodeLog, record: ImportRecord
) -> pa.Table:
    """Return the session's log as the store takes it, dated from the session's first attempt on."""
    steps = log.transitions
    count = len(steps)
    episode_count = int(log.episode[-1]) + 1
    names = pa.array([f"{plan.episode_prefix}-{episode:06d}" for episode in range(episode_count)])
    first = int(pa.scalar(record.created_at, pa.timestamp("us", "UTC")).value)
    success = pa.array(log.is_success[log.episode], mask=~log.is_last_step)
    return pa.table(
        {
            "occurred_at": pa.array(first + np.arange(count), pa.timestamp("us", "UTC")),
            "agent": pa.repeat(contract.name, count),
            "episode": names.take(pa.array(log.episode)),
            "step": log.step.astype(np.int32),
            "state": steps.state,
            "action": steps.action,
            "reward": steps.reward,
            "next_state": steps.next_state,
            "terminated": steps.terminated,
            "truncated": steps.truncated,
            "propensity": log.propensity,
            "exploration_rate": log.exploration_rate,
            "success": success,
            "fingerprint": pa.repeat(contract.fingerprint, count),
            "source": pa.repeat(source, count),
        }
    )
