"""Checking a batch of raw columns against the documented columns and the agents' contracts.

What belongs here: the rules a single row must obey, whole columns at a time. What does not: states and
actions (`choices`), rules between rows (`repeats`), reading files (`sources`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from qe_core.errors import nearest
from qe_core.fleet.registry import Registry
from qe_core.fleet.rewards import REWARD_LIMIT
from qe_core.runtime.importing.batch_check import BatchCheck
from qe_core.runtime.importing.choices import choices, is_given
from qe_core.runtime.importing.columns import (
    COLUMN_NAMES,
    MAX_STEP,
    STATE_PREFIXES,
    feature_declarations,
)
from qe_core.runtime.importing.faults import BoolArray, Fault, FloatArray, IntArray, quoted
from qe_core.runtime.importing.raw import RawBatch
from qe_core.runtime.importing.values import to_flags, to_floats, to_times, to_wholes

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(days=1)

ROW_SCHEMA = pa.schema(
    [
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("agent", pa.string()),
        ("episode", pa.string()),
        ("step", pa.int32()),
        ("state", pa.int64()),
        ("action", pa.int16()),
        ("reward", pa.float64()),
        ("next_state", pa.int64()),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("propensity", pa.float64()),
        ("exploration_rate", pa.float64()),
        ("success", pa.bool_()),
        ("fingerprint", pa.string()),
        ("source", pa.string()),
    ]
)
"""The checked columns, as the store takes them; ``occurred_at`` is null where the file says none."""


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """The good rows of a batch, and what is wrong with the others.

    Attributes:
        rows: in `ROW_SCHEMA`, M rows.
        lines: the number of each good row in the file, int64[M].
        faults: the bad rows in file order.
        last_line: the number of the last row of the file this batch covers.
    """

    rows: pa.Table
    lines: IntArray
    faults: tuple[Fault, ...]
    last_line: int


class RowChecker:
    """Checks batches against one fleet.

    Args:
        fleet: whose experiences are welcome.
        default_source: the source of rows that name none.
        now: aware; a row from more than a day later is refused.
    """

    def __init__(self, fleet: Registry, default_source: str, now: datetime) -> None:
        self._contracts = {contract.name: contract for contract in fleet}
        self._fingerprints = {contract.name: contract.fingerprint for contract in fleet}
        self._default_source = default_source
        self._earliest = _microseconds(EARLIEST)
        self._latest = _microseconds(now + CLOCK_TOLERANCE)

    def check(self, batch: RawBatch) -> CheckedBatch:
        """Return the batch's good rows as columns and its bad rows with reasons."""
        check = BatchCheck(batch)
        self._columns(check)
        agents = check.texts("agent")
        columns = {"agent": agents.array, "episode": check.texts("episode").array}
        columns["step"] = self._step(check)
        columns |= choices(check, self._contracts, agents)
        columns["reward"] = self._reward(check)
        columns |= self._ends(check)
        columns["propensity"] = check.share("propensity", default=1.0, is_zero_allowed=False)
        columns["exploration_rate"] = check.share("exploration_rate", default=np.nan, is_zero_allowed=True)
        columns["source"] = check.texts("source", default=self._default_source).array
        columns["occurred_at"] = self._time(check)
        return self._result(check, columns)

    @cached_property
    def _known_columns(self) -> frozenset[str]:
        features = {name for contract in self._contracts.values() for name in feature_declarations(contract)}
        return frozenset(COLUMN_NAMES) | {
            f"{prefix}.{name}" for prefix in STATE_PREFIXES for name in features
        }

    def unknown_column(self, names: list[str]) -> str | None:
        """Return what to say about the first column nobody knows, or None when all are known."""
        for name in names:
            if name not in self._known_columns:
                return f"column {quoted(name)} is unknown: {nearest(name, self._namesakes(name))}"
        return None

    def _namesakes(self, name: str) -> list[str]:
        """Return what the column may have been meant to be: a feature, or one of the others."""
        is_feature = name.startswith(("state.", "next_state."))
        return sorted(self._known_columns) if is_feature else [*COLUMN_NAMES, "state.<feature>"]

    def missing_column(self, names: list[str]) -> str | None:
        """Return what to say about required columns a table does not have, or None when it has all."""
        required = ("agent", "episode", "step", "action", "reward", "terminated")
        missing = [name for name in required if name not in names]
        if "state" not in names and not any(name.startswith("state.") for name in names):
            missing.append("state (or state.<feature>)")
        return f"columns missing: {', '.join(missing)}; the file has {', '.join(names)}" if missing else None

    def _columns(self, check: BatchCheck) -> None:
        for name, column in check.batch.columns.items():
            is_feature = name.startswith(("state.", "next_state."))  # those are the agents' to judge
            if not is_feature and (problem := self.unknown_column([name])) is not None:
                check.faults.flag(is_given(column), problem)

    def _step(self, check: BatchCheck) -> IntArray:
        values = check.required("step", to_wholes, "a whole number")
        is_outside = values.is_good & ((values.array < 0) | (values.array > MAX_STEP))
        check.faults.flag(is_outside, lambda row: f"step {values.array[row]} is outside 0 to {MAX_STEP}")
        return np.where(is_outside, 0, values.array)

    def _reward(self, check: BatchCheck) -> FloatArray:
        values = check.required("reward", to_floats, "a number")
        is_endless = values.is_good & ~np.isfinite(values.array)
        check.faults.flag(is_endless, lambda row: f"reward {values.array[row]} is not a finite number")
        with np.errstate(invalid="ignore"):
            is_outside = values.is_good & ~is_endless & (np.abs(values.array) > REWARD_LIMIT)
        check.faults.flag(
            is_outside,
            lambda row: (
                f"reward {values.array[row]:g} is outside {-REWARD_LIMIT:g} to {REWARD_LIMIT:g} points"
            ),
        )
        return values.array

    def _ends(self, check: BatchCheck) -> dict[str, BoolArray | pa.Array]:
        terminated = check.required("terminated", to_flags, "true or false").array
        truncated_values = check.optional("truncated", to_flags, "true or false")
        truncated = truncated_values.array & truncated_values.is_good
        check.faults.flag(
            terminated & truncated,
            "both terminated and truncated; keep terminated where the task itself ended",
        )
        success = check.optional("success", to_flags, "true or false")
        check.faults.flag(
            success.is_good & ~(terminated | truncated),
            "success is only for an episode's last step, where terminated or truncated is true",
        )
        return {
            "terminated": terminated,
            "truncated": truncated,
            "success": pa.array(success.array, pa.bool_(), mask=success.is_missing),
        }

    def _time(self, check: BatchCheck) -> pa.Array:
        values = check.optional(
            "occurred_at", to_times, "an ISO 8601 time with a zone, like 2026-03-01T12:00:00Z"
        )
        good, times = values.is_good, values.array
        check.faults.flag(
            good & (times > self._latest),
            lambda row: f"occurred_at {_time_text(times[row])} lies in the future",
        )
        check.faults.flag(
            good & (times < self._earliest),
            lambda row: f"occurred_at {_time_text(times[row])} lies before {EARLIEST:%Y}",
        )
        return pa.array(times, pa.timestamp("us", "UTC"), mask=~good)

    def _result(self, check: BatchCheck, columns: Mapping[str, object]) -> CheckedBatch:
        is_bad = check.faults.bad_rows()
        keep = pa.array(~is_bad)
        agents = pa.array(columns["agent"], pa.string()).filter(keep)
        arrays = []
        for name in ROW_SCHEMA.names:
            if name == "fingerprint":
                encoded = agents.dictionary_encode()
                prints = pa.array(
                    [self._fingerprints[item] for item in encoded.dictionary.to_pylist()], pa.string()
                )
                arrays.append(pa.DictionaryArray.from_arrays(encoded.indices, prints).dictionary_decode())
            elif name == "agent":
                arrays.append(agents)
            else:
                column = columns[name]
                if not isinstance(column, pa.Array):
                    column = pa.array(column, from_pandas=name == "exploration_rate")
                arrays.append(column.filter(keep).cast(ROW_SCHEMA.field(name).type))
        batch = check.batch
        found = [
            Fault(int(batch.lines[row]), check.faults.reason(int(row)), batch.text(int(row)))
            for row in np.flatnonzero(is_bad)
        ]
        faults = tuple(sorted([*batch.faults, *found], key=lambda fault: fault.line))
        rows = pa.Table.from_arrays(arrays, schema=ROW_SCHEMA)
        return CheckedBatch(rows, batch.lines[~is_bad], faults, batch.last_line)


def _microseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000


def _time_text(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(int(microseconds) / 1e6, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"
