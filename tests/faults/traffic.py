"""What the writers write: skewed keys, single records and batches mixed, order visible in every value.

What belongs here: drawing updates, and turning them into what the product takes. What does not: sending them
(`writer`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from qe_core.store.live import Experience, UpdateBatch
from tests.faults.journal import Row

TABLES = ("gate", "hunter", "scanner", "tester")
FINGERPRINT = "faults-1"
STATES = 240
ACTIONS = ("plan", "probe", "run", "stop")

_SKEW = 1.2
_LARGEST_BATCH = 48
_SHARE_OF_SINGLES = 0.6
_RATES = (0.1, 0.1, 0.25, 0.5, 1 / 3, 1.0, 0.0)
"""Large on purpose: an update out of order is then visible far above rounding. 0 and 1 are the edges."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One call to make.

    Attributes:
        table: whose.
        rows: what to record, in order.
    """

    table: str
    rows: tuple[Row, ...]


def drawn_call(rng: np.random.Generator, now_us: int) -> Drawn:
    """Return the next call of one task; keys follow a zipf law of exponent 1.2.

    Args:
        rng: of the task.
        now_us: what the caller takes for the present, microseconds of the Unix epoch.
    """
    count = 1 if rng.random() < _SHARE_OF_SINGLES else int(rng.integers(2, _LARGEST_BATCH + 1))
    table = TABLES[_skewed(rng, len(TABLES))]
    return Drawn(table, tuple(_drawn_row(rng, step, now_us) for step in range(count)))


def as_experience(call: str, row: Row) -> Experience:
    """Return the experience of a row for ``record``."""
    return Experience(
        occurred_at=_EPOCH + timedelta(microseconds=row.occurred_us),
        episode=call,
        step=row.step,
        state=row.state,
        action=row.action,
        reward=row.reward,
        next_state=row.next_state,
        terminated=row.terminated,
        truncated=row.truncated,
        propensity=row.propensity,
        exploration_rate=row.exploration_rate,
        success=row.success,
        policy_version=row.policy_version,
    )


def as_batch(call: str, rows: Sequence[Row]) -> UpdateBatch:
    """Return rows as columns for ``record_many``."""
    columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    return UpdateBatch(
        state=np.array(columns["state"]),
        action=np.array(columns["action"]),
        target=np.array(columns["target"]),
        learning_rate=np.array(columns["learning_rate"]),
        occurred_at=np.array(columns["occurred_us"]),
        episode=[call] * len(rows),
        step=np.array(columns["step"]),
        reward=np.array(columns["reward"]),
        next_state=np.array(columns["next_state"]),
        terminated=np.array(columns["terminated"]),
        truncated=np.array(columns["truncated"]),
        propensity=np.array(columns["propensity"]),
        exploration_rate=np.array([math.nan if of is None else of for of in columns["exploration_rate"]]),
        success=np.array([-1 if of is None else int(of) for of in columns["success"]]),
        policy_version=np.array([-1 if of is None else of for of in columns["policy_version"]]),
    )


def _skewed(rng: np.random.Generator, size: int) -> int:
    return (int(rng.zipf(_SKEW)) - 1) % size


def _drawn_row(rng: np.random.Generator, step: int, now_us: int) -> Row:
    state, action = _skewed(rng, STATES), _skewed(rng, len(ACTIONS))
    ending = rng.random()
    terminated, truncated = ending < 0.1, ending > 0.95
    reward = float(np.clip(rng.normal(40.0 * math.sin(state + action), 20.0), -100.0, 100.0))
    return Row(
        step=step,
        occurred_us=now_us + step,
        state=state,
        action=action,
        target=reward + 0.95 * float(rng.normal(100.0, 30.0)) * (not terminated),
        learning_rate=_RATES[int(rng.integers(len(_RATES)))],
        reward=reward,
        next_state=_skewed(rng, STATES),
        terminated=terminated,
        truncated=truncated,
        propensity=1.0 - float(rng.random()),
        exploration_rate=float(rng.random()) if rng.random() < 0.5 else None,
        success=bool(rng.random() < 0.5) if (terminated or truncated) and rng.random() < 0.5 else None,
        policy_version=int(rng.integers(1, 9)) if rng.random() < 0.5 else None,
    )
