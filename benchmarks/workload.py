"""What the store benchmarks write and read: tables, updates whose outcome is known exactly, experiences.

What belongs here: generating data and computing what must come out. What does not: connections and clocks.

Every update of a pair has the same target t and the same rate α. After n of them, in whatever order and
however they were merged, q is t·(1 − (1 − α)ⁿ): an exact oracle that needs no order.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.harness import ResultsDifferError
from qe_core.fleet.contract import AgentContract
from qe_core.store.live import UpdateBatch

LEARNING_RATE = 0.1
TOLERANCE = 1e-9
SKEW = 1.2
_SINCE = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def targets_of(state: Integers, action: Integers) -> Floats:
    """Return each pair's fixed target, points in [-90, 90], all different enough to tell pairs apart."""
    return 90.0 * np.sin(1.0 + state * 12.9898 + action * 78.233)


def expected_q(state: Integers, action: Integers, visits: Integers) -> Floats:
    """Return what q must be after these visits, starting from 0."""
    return targets_of(state, action) * (1.0 - (1.0 - LEARNING_RATE) ** visits)


def require_exact(who: str, state: Integers, action: Integers, visits: Integers, q: Floats) -> None:
    """Raise `ResultsDifferError` unless every q is what its visits make it."""
    wanted = expected_q(state, action, visits)
    is_wrong = ~(np.abs(q - wanted) <= TOLERANCE)
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise ResultsDifferError(
            f"{who}: q of state {state[row]}, action {action[row]} is {q[row]} after {visits[row]} visits, "
            f"not {wanted[row]}"
        )


def drawn_pairs(
    contract: AgentContract, count: int, skew: float | None, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Return states and actions of ``count`` updates.

    Args:
        contract: whose pairs.
        count: how many.
        skew: exponent of Zipf's law over pairs in an order that is the same for everybody; None for uniform.
        rng: draws.
    """
    pairs = contract.state_count * contract.action_count
    if skew is None:
        drawn = rng.integers(0, pairs, count)
    else:
        weights = np.arange(1, pairs + 1, dtype=np.float64) ** -skew
        ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(count))
        drawn = np.random.default_rng(0).permutation(pairs)[np.minimum(ranks, pairs - 1)]
    state, action = np.divmod(drawn, contract.action_count)
    return state.astype(np.int64), action.astype(np.int64)


def drawn_batch(
    contract: AgentContract, count: int, skew: float | None, rng: np.random.Generator
) -> UpdateBatch:
    """Return one batch of updates with the experiences behind them, all steps of one unnamed episode."""
    state, action = drawn_pairs(contract, count, skew, rng)
    target = targets_of(state, action)
    return UpdateBatch(
        state=state,
        action=action,
        target=target,
        learning_rate=np.full(count, LEARNING_RATE),
        occurred_at=_SINCE + np.arange(count),
        episode=pa.repeat("", count),
        step=np.arange(count, dtype=np.int32),
        reward=target,
        next_state=rng.integers(0, contract.state_count, count),
        terminated=np.zeros(count, dtype=np.bool_),
        truncated=np.zeros(count, dtype=np.bool_),
        propensity=np.full(count, 0.25),
        exploration_rate=np.full(count, 0.1),
    )


def named(batch: UpdateBatch, episode: str) -> UpdateBatch:
    """Return the batch as steps of that episode: new experiences."""
    return replace(batch, episode=pa.repeat(episode, len(np.asarray(batch.state))))


def without_experiences(batch: UpdateBatch) -> UpdateBatch:
    """Return its updates alone."""
    return UpdateBatch(batch.state, batch.action, batch.target, batch.learning_rate)


def drawn_log(contract: AgentContract, count: int, steps: int, seed: int) -> pa.Table:
    """Return ``count`` experiences of one agent in canonical order: episodes of ``steps``, one after another.

    Args:
        contract: whose.
        count: rows.
        steps: length of an episode.
        seed: of everything random; also keeps episodes of different seeds apart.
    """
    rng = np.random.default_rng(seed)
    row = np.arange(count)
    episode, step = np.divmod(row, steps)
    is_last = step == steps - 1
    return pa.table(
        {
            "occurred_at": pa.array(_SINCE + row * 1_000, pa.timestamp("us", tz="UTC")),
            "agent": pa.repeat(contract.name, count),
            "episode": np.char.add(f"s{seed}-e", np.char.zfill(episode.astype(str), 8)),
            "step": step.astype(np.int32),
            "state": rng.integers(0, contract.state_count, count),
            "action": rng.integers(0, contract.action_count, count).astype(np.int16),
            "reward": rng.normal(0, 20, count).clip(-100, 100),
            "next_state": rng.integers(0, contract.state_count, count),
            "terminated": is_last,
            "truncated": np.zeros(count, dtype=np.bool_),
            "propensity": np.full(count, 0.25),
            "exploration_rate": np.full(count, 0.1),
            "success": pa.array(rng.random(count) < 0.7, mask=~is_last),
            "policy_version": np.ones(count, dtype=np.int64),
            "fingerprint": pa.repeat(contract.fingerprint, count),
            "source": pa.repeat("agent", count),
        }
    )
