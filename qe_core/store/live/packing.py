"""Checking what is recorded by every rule of the log and of its table, and packing it into columns.

What belongs here: the rules, for one record and for whole columns. What does not: the shapes (`updates`).
PostgreSQL checks the same rules again; here they are refused by name, one record at a time, so that no flush
ever fails for the fault of one of its records.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qe_core.errors import LearningError
from qe_core.store.errors import ExperienceRejectedError
from qe_core.store.experience_rules import EARLIEST, FUTURE_TOLERANCE, RULES
from qe_core.store.live.settings import LARGEST_FLUSH
from qe_core.store.live.updates import Experience, PackedExperiences, PackedUpdates, UpdateBatch
from qe_core.store.records import TableHandle

LARGEST_TARGET = 1e9
"""Rewards end at 100 points: no sum of discounted rewards a table can hold comes near this many."""

LONGEST_EPISODE_NAME = 500
LARGEST_STEP = 2**31 - 1
LARGEST_POLICY_VERSION = 2**63 - 1

_EARLIEST_MICROSECONDS = round(EARLIEST.timestamp() * 1_000_000)
_FUTURE_MICROSECONDS = round(FUTURE_TOLERANCE.total_seconds() * 1_000_000)
_NO_POLICY_VERSION = f"is not 0 … {LARGEST_POLICY_VERSION}; take it from the decision, or leave it out"
_REQUIRED = ("episode", "step", "reward", "next_state", "terminated", "truncated", "propensity")


def check_single(
    handle: TableHandle, experience: Experience, target: float, learning_rate: float, now: datetime
) -> None:
    """Do nothing if the log and the table can take this.

    Args:
        handle: the table to update.
        experience: of the table's agent.
        target: TD target, points.
        learning_rate: rate of the update.
        now: the present, aware.

    Raises:
        ExperienceRejectedError: the experience breaks a rule of the log; the message names it.
        LearningError: the target or the learning rate cannot be used.
    """
    for name, value, size in (
        ("state", experience.state, handle.state_count),
        ("next_state", experience.next_state, handle.state_count),
        ("action", experience.action, handle.action_count),
    ):
        if not _is_whole(value, size - 1):
            raise ExperienceRejectedError(
                f"{name} {value} does not exist in the {handle.level} table {handle.name}: it has 0 … "
                f"{size - 1}; encode it under the contract of the handle"
            )
    _check_learning(target, learning_rate)
    if experience.occurred_at.tzinfo is None:
        raise ExperienceRejectedError("occurred_at needs a time zone; use datetime.now(UTC)")
    _check_span(microseconds(experience.occurred_at), microseconds(experience.occurred_at), now)
    is_end = experience.terminated or experience.truncated
    rate = experience.exploration_rate
    broken = (
        ("experience_names_are_given", not experience.episode),
        ("experience_step_is_positive", not _is_whole(experience.step, LARGEST_STEP)),
        ("experience_reward_is_in_points", not -100.0 <= experience.reward <= 100.0),
        ("experience_end_is_unambiguous", experience.terminated and experience.truncated),
        ("experience_propensity_is_a_probability", not 0.0 < experience.propensity <= 1.0),
        ("experience_exploration_rate_is_a_probability", rate is not None and not 0.0 <= rate <= 1.0),
        ("experience_success_is_at_the_end", experience.success is not None and not is_end),
    )
    for rule, is_broken in broken:
        if is_broken:
            raise ExperienceRejectedError(f"{experience} breaks a rule of the log: {RULES[rule]}")
    version = experience.policy_version
    if version is not None and not _is_whole(version, LARGEST_POLICY_VERSION):
        raise ExperienceRejectedError(f"policy_version {version} {_NO_POLICY_VERSION}")
    _check_episode_name(experience.episode)


def pack_singles(
    experiences: Sequence[Experience], targets: Sequence[float], learning_rates: Sequence[float]
) -> PackedUpdates:
    """Return checked single records as columns."""
    columns = dict(zip(Experience._fields, zip(*experiences, strict=True), strict=True))
    state = np.array(columns["state"], dtype=np.int64)
    action = np.array(columns["action"], dtype=np.int16)
    packed = PackedExperiences(
        occurred_at=np.array([microseconds(at) for at in columns["occurred_at"]], dtype=np.int64),
        episode=pa.array(columns["episode"], pa.string()),
        step=np.array(columns["step"], dtype=np.int32),
        state=state,
        action=action,
        reward=np.array(columns["reward"], dtype=np.float64),
        next_state=np.array(columns["next_state"], dtype=np.int64),
        terminated=np.array(columns["terminated"], dtype=np.bool_),
        truncated=np.array(columns["truncated"], dtype=np.bool_),
        propensity=np.array(columns["propensity"], dtype=np.float64),
        exploration_rate=np.array(columns["exploration_rate"], dtype=np.float64),
        success=np.array([-1 if known is None else known for known in columns["success"]], dtype=np.int8),
        policy_version=np.array([-1 if of is None else of for of in columns["policy_version"]], np.int64),
    )
    return PackedUpdates(
        state, action, np.array(targets, np.float64), np.array(learning_rates, np.float64), packed
    )


def pack_batch(handle: TableHandle, batch: UpdateBatch, now: datetime) -> PackedUpdates:
    """Return a batch as checked columns.

    Args:
        handle: the table to update.
        batch: at least one update, at most 65,536.
        now: the present, aware.

    Raises:
        ExperienceRejectedError: an experience breaks a rule of the log; the message names rule and row.
        LearningError: lengths differ, or a target or a learning rate cannot be used.
    """
    state, action = _column("state", batch.state, np.int64), _column("action", batch.action, np.int64)
    target = _column("target", batch.target, np.float64)
    learning_rate = _column("learning_rate", batch.learning_rate, np.float64)
    count = len(state)
    if not 1 <= count <= LARGEST_FLUSH:
        raise LearningError(f"a batch holds 1 … {LARGEST_FLUSH} updates, not {count}; split it")
    _check_lengths(count, {"action": action, "target": target, "learning_rate": learning_rate})
    _refuse(~((state >= 0) & (state < handle.state_count)), "state", _range(handle, handle.state_count))
    _refuse(~((action >= 0) & (action < handle.action_count)), "action", _range(handle, handle.action_count))
    is_bad = ~((np.abs(target) <= LARGEST_TARGET) & (learning_rate >= 0) & (learning_rate <= 1))
    if is_bad.any():
        row = int(is_bad.argmax())
        _check_learning(float(target[row]), float(learning_rate[row]))
    experiences = None
    if batch.occurred_at is not None:
        experiences = _pack_experiences(handle, batch, state, action.astype(np.int16), now)
    return PackedUpdates(state, action.astype(np.int16), target, learning_rate, experiences)


def microseconds(moment: datetime) -> int:
    """Return microseconds of the Unix epoch."""
    return round(moment.timestamp() * 1_000_000)


def _pack_experiences(
    handle: TableHandle,
    batch: UpdateBatch,
    state: npt.NDArray[np.int64],
    action: npt.NDArray[np.int16],
    now: datetime,
) -> PackedExperiences:
    count = len(state)
    missing = [name for name in _REQUIRED if getattr(batch, name) is None]
    if missing:
        raise ExperienceRejectedError(
            f"a batch with occurred_at needs {', '.join(missing)} too; give all columns or leave out all"
        )
    packed = PackedExperiences(
        occurred_at=_column("occurred_at", batch.occurred_at, np.int64),
        episode=_names(batch.episode),
        step=_column("step", batch.step, np.int32),
        state=state,
        action=action,
        reward=_column("reward", batch.reward, np.float64),
        next_state=_column("next_state", batch.next_state, np.int64),
        terminated=_column("terminated", batch.terminated, np.bool_),
        truncated=_column("truncated", batch.truncated, np.bool_),
        propensity=_column("propensity", batch.propensity, np.float64),
        exploration_rate=_optional("exploration_rate", batch.exploration_rate, np.float64, np.nan, count),
        success=_optional("success", batch.success, np.int8, -1, count),
        policy_version=_optional("policy_version", batch.policy_version, np.int64, -1, count),
    )
    _check_lengths(count, {column.name: getattr(packed, column.name) for column in fields(packed)})
    _check_rows(handle, packed)
    _check_span(int(packed.occurred_at.min()), int(packed.occurred_at.max()), now)
    return packed


def _check_rows(handle: TableHandle, packed: PackedExperiences) -> None:
    is_end = packed.terminated | packed.truncated
    rate, success = packed.exploration_rate, packed.success
    next_state = packed.next_state
    _refuse(
        ~((next_state >= 0) & (next_state < handle.state_count)),
        "next_state",
        _range(handle, handle.state_count),
    )
    lengths = np.diff(np.frombuffer(packed.episode.buffers()[1], dtype=np.int32))
    for rule, is_broken in (
        ("experience_names_are_given", lengths[packed.episode.offset :][: len(packed)] == 0),
        ("experience_step_is_positive", packed.step < 0),
        ("experience_reward_is_in_points", ~(np.abs(packed.reward) <= 100.0)),
        ("experience_end_is_unambiguous", packed.terminated & packed.truncated),
        (
            "experience_propensity_is_a_probability",
            ~((packed.propensity > 0.0) & (packed.propensity <= 1.0)),
        ),
        (
            "experience_exploration_rate_is_a_probability",
            ~(np.isnan(rate) | ((rate >= 0.0) & (rate <= 1.0))),
        ),
        ("experience_success_is_at_the_end", (success < -1) | (success > 1) | ((success >= 0) & ~is_end)),
    ):
        _refuse(is_broken, "the experience", RULES[rule])
    _refuse(packed.policy_version < -1, "policy_version", f"it {_NO_POLICY_VERSION}")
    data = packed.episode.buffers()[2]
    if packed.episode.null_count or (data is not None and b"\0" in data.to_pybytes()):
        raise ExperienceRejectedError("every episode needs a name without the character NUL; fill it in")
    if lengths.max(initial=0) > LONGEST_EPISODE_NAME:
        _check_episode_name(max(packed.episode.to_pylist(), key=len))


def _is_whole(value: object, largest: int) -> bool:
    """Whether a value is a whole number up to ``largest``: a fraction would be cut off unseen."""
    return isinstance(value, int | np.integer) and bool(0 <= value <= largest)


def _check_learning(target: float, learning_rate: float) -> None:
    if not -LARGEST_TARGET <= target <= LARGEST_TARGET:
        raise LearningError(
            f"the TD target {target} is not a number of points that rewards from -100 to 100 can lead to; "
            "check reward, discount and next value"
        )
    if not 0.0 <= learning_rate <= 1.0:
        raise LearningError(f"a learning rate lies in [0, 1], not {learning_rate}; use LearningRate.at")


def _check_episode_name(episode: str) -> None:
    try:
        length = len(episode.encode())
    except UnicodeError as error:
        raise ExperienceRejectedError(f"an episode's name cannot be stored as text: {error}") from None
    if length > LONGEST_EPISODE_NAME:
        raise ExperienceRejectedError(
            f"an episode's name has at most {LONGEST_EPISODE_NAME} bytes, not {length}; "
            "use an identifier, and keep what it stands for elsewhere"
        )
    if "\0" in episode:
        raise ExperienceRejectedError("an episode's name must not contain the character NUL; remove it")


def _check_span(first: int, last: int, now: datetime) -> None:
    if first < _EARLIEST_MICROSECONDS or last > microseconds(now) + _FUTURE_MICROSECONDS:
        wrong = first if first < _EARLIEST_MICROSECONDS else last
        raise ExperienceRejectedError(
            f"occurred_at {wrong} µs of the Unix epoch lies before {EARLIEST.date()} or more than a day in "
            f"the future of {now.astimezone(UTC).isoformat()}; check its unit and the clock that wrote it"
        )


def _check_lengths(count: int, columns: dict[str, Any]) -> None:
    for name, column in columns.items():
        if len(column) != count:
            raise LearningError(f"column {name} has {len(column)} rows where state has {count}; align them")


def _column(name: str, values: Any, wanted: npt.DTypeLike) -> npt.NDArray[Any]:
    try:
        given = np.asarray(values)
        column = given.astype(wanted, casting="same_kind" if given.size else "unsafe")
    except (TypeError, ValueError) as error:
        raise LearningError(f"column {name} cannot be read as {np.dtype(wanted)}: {error}") from None
    if column.ndim != 1:
        raise LearningError(f"column {name} must have one dimension, not {column.ndim}")
    if given.dtype.kind in "iu" and not np.array_equal(column, given):
        raise LearningError(f"column {name} holds numbers beyond {np.dtype(wanted)}")
    return column


def _names(values: Any) -> pa.StringArray:
    try:
        return (values if isinstance(values, pa.Array) else pa.array(values, pa.string())).cast(pa.string())
    except (TypeError, UnicodeError, pa.ArrowException) as error:
        raise ExperienceRejectedError(f"names of episodes cannot be read as text: {error}") from None


def _optional(
    name: str, values: npt.ArrayLike | None, wanted: npt.DTypeLike, unknown: float, count: int
) -> npt.NDArray[Any]:
    return np.full(count, unknown, dtype=wanted) if values is None else _column(name, values, wanted)


def _refuse(is_broken: npt.NDArray[np.bool_], what: str, rule: str) -> None:
    if is_broken.any():
        raise ExperienceRejectedError(f"{what} in row {int(is_broken.argmax())} breaks a rule: {rule}")


def _range(handle: TableHandle, size: int) -> str:
    return f"the {handle.level} table {handle.name} has 0 … {size - 1}; encode under the handle's contract"
