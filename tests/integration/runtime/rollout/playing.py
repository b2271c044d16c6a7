"""Agents at work in simulated worlds: tables of known quality, and episodes through a real learner."""

import asyncio
from collections.abc import Sequence

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.environments.simulated import SimulatedEnv
from qe_core.environments.world import World
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.store import Store
from qe_core.store.live import Live, ReaderSettings
from qe_core.store.policies import PolicyVersion

AGENT = "test-executor"
CONTRACT: AgentContract = registry().get(AGENT)
WORLD: World = world_of(CONTRACT, 0)
QUICK = ReaderSettings(check_seconds=0.2, grace_seconds=0.2, refresh_pause_seconds=0.001)
AT_ONCE = 40
HORIZON = CONTRACT.horizon
_SURE = 10_000
"""Visits that leave nothing to the levels above."""


def settings_with(**rollout: object) -> Settings:
    """Return settings under which a rollout waits for nothing but evidence, changed as said."""
    given = {
        "dwell_hours_at_10": 0.0,
        "dwell_hours_at_50": 0.0,
        "dwell_hours_at_100": 0.0,
        "is_cost_guarded": False,
        "is_duration_guarded": False,
        **rollout,
    }
    return Settings.model_validate({"rollout": given})


def table_of(actions: Sequence[int] | np.ndarray) -> QTable:
    """Return a table that prefers one action in each state."""
    q = np.zeros((CONTRACT.state_count, CONTRACT.action_count))
    q[np.arange(CONTRACT.state_count), np.asarray(actions)] = 50.0
    visits = np.full(q.shape, _SURE, dtype=np.int64)
    return QTable(q, visits, q.copy(), np.zeros(q.shape))


def best() -> np.ndarray:
    """Return the best action of each state."""
    policy = WORLD.optimal_policy()
    return np.where(policy >= 0, policy, 0)


def worst() -> np.ndarray:
    """Return the action of each state that earns least at once."""
    return WORLD.reward_mean.argmin(axis=1)


def mixed(good_share: float, seed: int = 0) -> np.ndarray:
    """Return the best action in a share of states, the one that earns least at once in the others."""
    is_good = np.random.default_rng(seed).random(CONTRACT.state_count) < good_share
    return np.where(is_good, best(), worst())


async def frozen(store: Store, actions: np.ndarray, reason: str) -> PolicyVersion:
    """Put a policy into the live table and freeze it."""
    handle = await store.q_tables.ensure(
        *("individual", AGENT, CONTRACT.fingerprint, CONTRACT.state_count, CONTRACT.action_names)
    )
    table = table_of(actions)
    await store.q_tables.publish(handle, table, quantised_weights(table), handle.version, {})
    return await store.policies.snapshot(CONTRACT, reason=reason, by="a test")


async def opened(live: Live, settings: Settings, seed: int = 1) -> Learner:
    """Return a learner of the agent."""
    return await Learner.open(live, AGENT, settings, np.random.default_rng(seed))


async def play(learner: Learner, episodes: int, seed: int, developers: int = 0) -> list[Decision]:
    """Play episodes, some at a time, and return the first decision of each.

    Args:
        learner: decides and learns.
        episodes: how many.
        seed: of the world's chance.
        developers: for how many people they are begun; 0 for nobody.
    """
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Decision:
        async with room:
            unit = f"developer {number % developers}" if developers else None
            return await play_one(learner, seed * 1_000_003 + number, unit)

    return list(await asyncio.gather(*(one(number) for number in range(episodes))))


async def play_one(learner: Learner, seed: int, unit: str | None = None) -> Decision:
    """Play one episode and return its first decision."""
    environment = SimulatedEnv(AGENT)
    state, _ = environment.reset(seed=seed)
    episode = learner.begin_episode(unit)
    first = None
    for step in range(HORIZON):
        decision = await learner.decide(int(state), episode)
        first = decision if first is None else first
        state, reward, is_over, _, _ = environment.step(np.int64(decision.action))
        is_cut = not is_over and step == HORIZON - 1
        await learner.record(
            decision,
            Outcome(
                points=float(np.clip(reward, -100, 100)),
                next_context=None if is_over else int(state),
                terminated=bool(is_over),
                truncated=is_cut,
            ),
        )
        if is_over:
            break
    assert first is not None
    return first
