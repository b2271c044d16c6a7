"""Tasks and releases that tests of team learning store."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

from qe_core.fleet.registry import registry
from qe_core.privacy.mechanism import plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.wire import ReleaseHeader
from qe_core.store.team import PreparedRelease, UnreleasedTasks

AGENT, OTHER = "quality-gate", "test-executor"
SPACES = {name: PublicSpace.of(registry().get(name)) for name in (AGENT, OTHER)}
START = datetime(2026, 3, 1, tzinfo=UTC)
ANN, BOB, SHOP = "a" * 32, "b" * 32, "c" * 32

PLAN = plan_release(ContributionBound(ProtectedUnit.TASK, 5, 100.0), len(SPACES), 1.0, 1e-6)
COST = PLAN.nano_rho
"""What one release of these tests costs."""


def task(
    name: str,
    states: Iterable[int],
    *,
    agent: str = AGENT,
    minute: int = 0,
    first_step: int = 0,
    is_finished: bool = True,
    **changed: Any,
) -> dict[str, Any]:
    """Return the rows of one task: a step a minute from state to state, action 1, one point each."""
    path = list(states)
    count = len(path)
    steps = range(first_step, first_step + count)
    rows: dict[str, Any] = {
        "occurred_at": [START + timedelta(minutes=minute + step) for step in steps],
        "agent": agent,
        "episode": [name] * count,
        "step": list(steps),
        "state": path,
        "action": 1,
        "reward": 1.0,
        "next_state": [*path[1:], 0],
        "terminated": [is_finished and step == count - 1 for step in range(count)],
        "truncated": False,
        "propensity": 0.5,
        "fingerprint": SPACES[agent].fingerprint,
        "source": "agent",
    }
    return rows | changed


def together(*tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of some tasks that arrive in one chunk."""
    return {
        name: [value for rows in tasks for value in rows[name]] if isinstance(first, list) else first
        for name, first in tasks[0].items()
    }


def released(tasks: UnreleasedTasks, parts: Mapping[str, bytes] | None = None) -> PreparedRelease:
    """Return a release of these tasks, its parts any bytes."""
    header = ReleaseHeader(
        release_id=uuid4(),
        origin="0" * 32,
        made_on=date(2026, 3, 1),
        protected_unit=ProtectedUnit.TASK,
        pairs=5,
        clip_bound=100.0,
        privacy_epsilon=1.0,
        privacy_delta=1e-6,
        nano_rho=COST,
        agents=tuple((name, space.fingerprint) for name, space in SPACES.items()),
    )
    parts = dict.fromkeys(SPACES, b"noise") if parts is None else parts
    return PreparedRelease(header, parts, tasks.chunk_ids, tasks.opt_out_generation)
