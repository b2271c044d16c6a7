"""An agent's own notes of open decisions, so that a process that follows a crashed one can finish them.

What belongs here: the notes, and a file of them. What does not: recovering what they name (`agent`).

A decision is noted before the work begins, its outcome when the work is done, and both are crossed out when
the outcome is durable. What is left after a crash is what has to be made sure of.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from qe_core.errors import QEError
from qe_core.fleet.state import StateModel
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.tokens import DecisionToken

CROSSED_OUT_LIMIT = 1_000
"""Crossed-out notes after which a file is written anew without them."""


class JournalError(QEError):
    """Notes cannot be read or written."""


class Journal(Protocol):
    """Where an agent notes its open decisions."""

    def decided(self, token: DecisionToken) -> None:
        """Note a decision whose work is about to begin."""

    def happened(self, token: DecisionToken, outcome: Outcome) -> None:
        """Note what came of it, before it is recorded."""

    def settled(self, token: DecisionToken) -> None:
        """Cross it out: its outcome is durable, or nobody will ever record it."""


class FileJournal:
    """Notes in a file that one process at a time appends to.

    A process that opens the file takes it over: whoever had it open writes to nobody's notes from then on.
    What is noted survives the process; to survive the machine as well, set ``is_synced``.

    Args:
        path: of the file, made where there is none.
        is_synced: whether to wait for the disk after each note.

    Attributes:
        open: decisions that are not crossed out, with their outcomes where known, oldest first.
    """

    def __init__(self, path: Path, *, is_synced: bool = False) -> None:
        self._path = path
        self._is_synced = is_synced
        self.open: dict[str, tuple[DecisionToken, Outcome | None]] = {}
        self._crossed_out = 0
        try:
            if path.exists():
                self._read()
            self._rewrite()
        except OSError as error:
            raise JournalError(f"the notes in {path} cannot be used: {error}; choose another file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def decided(self, token: DecisionToken) -> None:
        """Note a decision."""
        self._note({"decided": token.model_dump(mode="json")})

    def happened(self, token: DecisionToken, outcome: Outcome) -> None:
        """Note an outcome."""
        self._note({"happened": token.decision_id, "outcome": _plain(outcome)})

    def settled(self, token: DecisionToken) -> None:
        """Cross a decision out."""
        self._note({"settled": token.decision_id})
        if self._crossed_out >= CROSSED_OUT_LIMIT:
            self._file.close()
            self._rewrite()

    def _note(self, note: dict[str, Any]) -> None:
        self._write(note)
        self._apply(note)

    def _write(self, note: dict[str, Any]) -> None:
        self._file.write(json.dumps(note, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        if self._is_synced:
            os.fsync(self._file.fileno())

    def _apply(self, note: dict[str, Any]) -> None:
        if "decided" in note:
            token = DecisionToken.model_validate(note["decided"])
            self.open[token.decision_id] = (token, None)
        elif "happened" in note:
            if note["happened"] in self.open:
                token, _ = self.open[note["happened"]]
                self.open[token.decision_id] = (token, _outcome(note["outcome"]))
        elif self.open.pop(note["settled"], None) is not None:
            self._crossed_out += 1

    def _read(self) -> None:
        for number, line in enumerate(self._path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                # The process ended in the middle of the last line: nobody relied on it yet.
                continue
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, QEError) as error:
                raise JournalError(
                    f"line {number} of the notes in {self._path} is damaged: {error!r}; remove that line to "
                    "go on without it"
                ) from error

    def _rewrite(self) -> None:
        """Write what is open into a new file and put it in the place of the old one."""
        draft = self._path.with_name(f"{self._path.name}.new")
        self._file = draft.open("wb")
        for token, outcome in self.open.values():
            self._write({"decided": token.model_dump(mode="json")})
            if outcome is not None:
                self._write({"happened": token.decision_id, "outcome": _plain(outcome)})
        self._file.flush()
        os.fsync(self._file.fileno())
        draft.replace(self._path)
        self._crossed_out = 0


def _plain(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON can hold it."""
    plain = asdict(outcome)
    context = outcome.next_context
    if isinstance(context, StateModel):
        plain["next_context"] = context.encode()
    elif isinstance(context, Mapping):
        plain["next_context"] = dict(context)
    if outcome.measurements is not None:
        plain["measurements"] = {name: float(value) for name, value in outcome.measurements.items()}
    if outcome.occurred_at is not None:
        plain["occurred_at"] = outcome.occurred_at.isoformat()
    return plain


def _outcome(plain: dict[str, Any]) -> Outcome:
    happened = plain["occurred_at"]
    moment = None if happened is None else datetime.fromisoformat(happened)
    return Outcome(**{**plain, "occurred_at": moment})
