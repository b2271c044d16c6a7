"""Episodes of a small agent on their way through the write path, and what its tables hold, to the bit."""

from itertools import count

import numpy as np

from qe_core.fleet import AgentContract, registry
from qe_core.store import Store, TableHandle
from qe_core.store.live import Acknowledgement, Live, UpdateBatch

CONTRACT = registry().get("fleet-commander")
AGENT = CONTRACT.name
SHAPE = (CONTRACT.state_count, len(CONTRACT.action_names))
START_MICROSECONDS = 1_790_000_000_000_000

_numbers = count()


async def own_handle(store: Store, contract: AgentContract = CONTRACT) -> TableHandle:
    """Return a fresh handle of the agent's own table."""
    return await store.q_tables.ensure(
        "individual", contract.name, contract.fingerprint, contract.state_count, contract.action_names
    )


def episodes(
    rewards: list[float],
    steps: int = 2,
    policy_version: int | None = None,
    success: int = -1,
    states: int = 7,
) -> UpdateBatch:
    """Return whole episodes, one for each reward, which every step of it earns; later ones are later."""
    length = len(rewards) * steps
    first = next(_numbers) * 100_000
    place = np.arange(length)
    is_last = place % steps == steps - 1
    reward = np.repeat(np.array(rewards, dtype=np.float64), steps)
    return UpdateBatch(
        state=place % states,
        action=place % 3,
        target=reward,
        learning_rate=np.full(length, 0.1),
        occurred_at=START_MICROSECONDS + first + place,
        episode=[f"episode-{first + number // steps}" for number in range(length)],
        step=place % steps,
        reward=reward,
        next_state=np.zeros(length, dtype=np.int64),
        terminated=is_last,
        truncated=np.zeros(length, dtype=np.bool_),
        propensity=np.full(length, 0.5),
        success=np.where(is_last, success, -1),
        policy_version=None if policy_version is None else np.full(length, policy_version),
    )


async def play(store: Store, live: Live, rewards: list[float], **changed: int) -> Acknowledgement:
    """Record whole episodes in one flush under the table's present epoch."""
    return await live.writer.record_many(await own_handle(store), episodes(rewards, **changed))


async def live_bits(store: Store, contract: AgentContract = CONTRACT) -> bytes:
    """Return everything the agent's own table holds, bit for bit."""
    stored = await store.q_tables.load("individual", contract.name, contract.fingerprint)
    table = stored.table
    parts = (table.q, table.visits, table.target_mean, table.target_m2, stored.weights)
    return b"".join(part.tobytes() for part in parts)


async def frozen_bits(store: Store, number: int) -> bytes:
    """Return everything a version's own table holds, bit for bit."""
    table, weights = (await store.policies.rows(number)).own.as_dense()
    parts = (table.q, table.visits, table.target_mean, table.target_m2, weights)
    return b"".join(part.tobytes() for part in parts)


async def learned_rewards(store: Store) -> list[float]:
    """Return the rewards the agent would learn from if its table were rebuilt now, increasing."""
    log = await store.experiences.load_transitions(AGENT, CONTRACT.fingerprint)
    return sorted(log.reward.tolist())
