"""What every writer meant to do and what it was told, in files that survive its death.

What belongs here: the shape of calls and publications, writing them down, reading them back. What does not:
judging them (`oracle`). One file per process, one JSON object per line, each handed to the kernel before the
call it announces: a SIGKILL takes nothing that was written.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

HUNG = "the caller was left hanging"
"""Stands where an error's name stands when a call neither returned nor raised in its time."""


class Row(NamedTuple):
    """One update and the experience behind it, as it was handed over.

    Attributes:
        step: position in the episode, which is named after the call.
        occurred_us: microseconds of the Unix epoch.
        state: encoded state.
        action: index of the action.
        target: points.
        learning_rate: in [0, 1].
        reward: points.
        next_state: encoded state.
        terminated: whether the episode ended by its rules.
        truncated: whether it was cut off.
        propensity: in (0, 1].
        exploration_rate: None where unknown.
        success: None where unknown.
        policy_version: None where there was none.
    """

    step: int
    occurred_us: int
    state: int
    action: int
    target: float
    learning_rate: float
    reward: float
    next_state: int
    terminated: bool
    truncated: bool
    propensity: float
    exploration_rate: float | None
    success: bool | None
    policy_version: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ``record`` or ``record_many`` and its answer.

    Attributes:
        call: unique; also the episode its experiences belong to.
        writer: the process that made it, by the name of its journal.
        q_table_id: the table.
        made_at: when, seconds of the machine's monotonic clock.
        rows: what was handed over, the row of step n at place n.
        answered_at: when it returned or raised; None if it never did.
        version: the acknowledged version of the table, or None.
        is_repeated: whether the acknowledgement says it had been committed by an earlier attempt.
        error: the error's class, or `HUNG`, or None.
    """

    call: str
    writer: str
    q_table_id: int
    made_at: float
    rows: tuple[Row, ...]
    answered_at: float | None = None
    version: int | None = None
    is_repeated: bool = False
    error: str | None = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the caller was told that it is durable."""
        return self.version is not None

    def row(self, step: int) -> Row | None:
        """Return the row of a step, which is its place, or None where the call had no such step."""
        return self.rows[step] if 0 <= step < len(self.rows) else None


@dataclass(frozen=True, slots=True)
class Publication:
    """One attempt to publish a table with every value multiplied.

    Attributes:
        q_table_id: the table.
        expected_version: the version it was computed from.
        factor: what every value was multiplied by.
    """

    q_table_id: int
    expected_version: int
    factor: float


class Journal:
    """An open journal; every line is with the kernel when the method returns.

    Args:
        path: a file of this process alone.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def intend(self, call: str, q_table_id: int, rows: Sequence[Row]) -> None:
        """Write down a call that is about to be made."""
        self._write({"intent": call, "table": q_table_id, "rows": rows})

    def acknowledge(self, call: str, version: int, is_repeated: bool) -> None:
        """Write down that a call returned."""
        self._write({"ack": call, "version": version, "repeated": is_repeated})

    def refuse(self, call: str, error: str) -> None:
        """Write down that a call raised, or hung."""
        self._write({"error": call, "name": error})

    def publish(self, publication: Publication) -> None:
        """Write down a publication that is about to be tried."""
        self._write(
            {
                "publish": publication.q_table_id,
                "expected": publication.expected_version,
                "factor": publication.factor,
            }
        )

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps({"at": time.monotonic()} | entry, separators=(",", ":")).encode() + b"\n"
        written = os.write(self._file, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of a journal entry were taken")


@dataclass(frozen=True, slots=True)
class Journals:
    """All journals of a run.

    Attributes:
        calls: by their names.
        publications: all that were tried.
    """

    calls: dict[str, Call]
    publications: tuple[Publication, ...] = ()

    @classmethod
    def read_all(cls, folder: Path) -> Self:
        """Return everything written down; a last line cut off by a SIGKILL announces nothing.

        Args:
            folder: of files named ``*.journal``.
        """
        calls: dict[str, Call] = {}
        publications: list[Publication] = []
        for path in sorted(folder.glob("*.journal")):
            for _, entry in entries(path):
                match entry:
                    case {"intent": name, "table": table, "at": at, "rows": rows}:
                        if name in calls:
                            raise ValueError(f"{path} announces {name} a second time")
                        calls[name] = Call(name, path.stem, table, at, tuple(Row(*row) for row in rows))
                    case {"ack": name, "version": version, "repeated": repeated, "at": at}:
                        calls[name] = replace(
                            calls[name], answered_at=at, version=version, is_repeated=repeated
                        )
                    case {"error": name, "name": error, "at": at}:
                        calls[name] = replace(calls[name], answered_at=at, error=error)
                    case {"publish": table, "expected": expected, "factor": factor}:
                        publications.append(Publication(table, expected, factor))
                    case _:
                        raise ValueError(f"{path} holds an entry of no known kind: {sorted(entry)}")
        return cls(calls, tuple(publications))


def entries(path: Path, begin: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a journal's complete lines, each after the place where it ends.

    Args:
        path: of the journal.
        begin: bytes to leave out, up to the end of a line.
    """
    with path.open("rb") as lines:
        lines.seek(begin)
        for line in lines:
            if line.endswith(b"\n"):
                begin += len(line)
                yield begin, json.loads(line)


class Watch:
    """Follows journals while they grow."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}
        self._made: dict[str, float] = {}
        self._newest: dict[Path, float] = {}

    def newest_acknowledged(self, path: Path) -> float:
        """Return when the newest acknowledged call of a journal was made, or minus infinity."""
        for end, entry in entries(path, self._read.get(path, 0)) if path.exists() else ():
            self._read[path] = end
            if "intent" in entry:
                self._made[entry["intent"]] = entry["at"]
            elif "ack" in entry:
                self._newest[path] = max(self._newest.get(path, -math.inf), self._made[entry["ack"]])
        return self._newest.get(path, -math.inf)
