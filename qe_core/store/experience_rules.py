"""The rules of the log, checked before anything is sent.

What belongs here: what every experience must satisfy whoever its agent is, by whole columns. What does not:
whether states and actions fit a contract (the caller knows it). The database's constraints stand behind these
rules and bear the same names.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.store.errors import ExperienceRejectedError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing was learned before; an older time is a wrong unit or a zero."""

FUTURE_TOLERANCE = timedelta(days=1)
"""How far ahead of the clock a time may be: a day covers every wrong zone."""

RULES = {
    "experience_names_are_given": "agent, episode, fingerprint and source must not be empty",
    "experience_step_is_positive": "step counts from 0",
    "experience_state_is_positive": "state and next_state are encoded states, at least 0",
    "experience_action_is_positive": "action is an action's index, at least 0",
    "experience_reward_is_in_points": "reward is in points, a number from -100 to 100",
    "experience_end_is_unambiguous": "terminated and truncated must not both be true",
    "experience_propensity_is_a_probability": "propensity is a probability above 0, at most 1",
    "experience_exploration_rate_is_a_probability": "exploration_rate is a probability from 0 to 1",
    "experience_success_is_at_the_end": "success belongs to an episode's last step, terminated or "
    "truncated, only",
    "experience_policy_version_is_positive": "policy_version is a version's number, at least 0",
}
"""What each rule demands, by its name."""

_TEXTS = ("agent", "episode", "fingerprint", "source")


def check_experiences(table: pa.Table, now: datetime) -> None:
    """Do nothing if the log can hold every one of these rows.

    Args:
        table: columns of `experience_rows.SCHEMA`, at least one row.
        now: the present, aware.

    Raises:
        ExperienceRejectedError: names the first rule that is broken and the first row that breaks it.
    """
    _check_times(table, now)
    for rule, is_bad in _violations(table):
        if is_bad.any():
            row = int(is_bad.argmax())
            found = {name: values[0] for name, values in table.slice(row, 1).to_pydict().items()}
            raise ExperienceRejectedError(
                f"an experience breaks a rule of the log: {RULES[rule]}. None of its batch was stored. "
                f"It is row {row}: {found}"
            )
    for name in _TEXTS:
        if pc.any(pc.match_substring(table[name], "\0")).as_py():
            raise ExperienceRejectedError(
                f"PostgreSQL cannot hold an experience: {name} contains a zero byte. None of its batch was "
                "stored; remove it"
            )


def _check_times(table: pa.Table, now: datetime) -> None:
    bounds = pc.min_max(table["occurred_at"]).as_py()
    if bounds["min"] < EARLIEST:
        raise ExperienceRejectedError(
            f"occurred_at {bounds['min'].isoformat()} lies before {EARLIEST.date()}; "
            "check its unit (microseconds of the Unix epoch, or a timestamp) and that it is not zero"
        )
    if bounds["max"] > now + FUTURE_TOLERANCE:
        raise ExperienceRejectedError(
            f"occurred_at {bounds['max'].isoformat()} lies in the future; check its unit and the clock that "
            "wrote it"
        )


def _violations(table: pa.Table) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each rule's name and the rows that break it; no comparison with NaN holds, so it breaks them."""

    def column(name: str, missing: Any = None) -> npt.NDArray[Any]:
        values = table[name] if missing is None else pc.fill_null(table[name], missing)
        return np.asarray(values.combine_chunks().to_numpy(zero_copy_only=False))

    for name in _TEXTS:
        yield "experience_names_are_given", np.asarray(pc.equal(pc.binary_length(table[name]), 0))
    yield "experience_step_is_positive", column("step") < 0
    yield "experience_state_is_positive", (column("state") < 0) | (column("next_state") < 0)
    yield "experience_action_is_positive", column("action") < 0
    yield "experience_reward_is_in_points", ~(np.abs(column("reward")) <= 100.0)
    terminated, truncated = column("terminated"), column("truncated")
    yield "experience_end_is_unambiguous", terminated & truncated
    propensity = column("propensity")
    yield "experience_propensity_is_a_probability", ~((propensity > 0.0) & (propensity <= 1.0))
    exploration = column("exploration_rate", 0.0)
    yield (
        "experience_exploration_rate_is_a_probability",
        ~((exploration >= 0.0) & (exploration <= 1.0)),
    )
    is_known = ~np.asarray(pc.is_null(table["success"]))
    yield "experience_success_is_at_the_end", is_known & ~(terminated | truncated)
    yield "experience_policy_version_is_positive", column("policy_version", 0) < 0
