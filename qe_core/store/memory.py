"""QEMemory: what agents remember for themselves and for each other, in PostgreSQL.

What belongs here: values under keys in namespaces, their expiry, and changing them only where nobody else
has. What does not: experiences and Q-values, which have tables of their own.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from qe_core.errors import StoreError, VersionConflictError
from qe_core.store.connection import Database
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_rows import affected_count

LONGEST_NAMESPACE = 200
LONGEST_KEY = 400
LARGEST_VALUE_BYTES = 1_048_576
"""The most bytes a value may have, written as JSON."""

LONGEST_LIFE_SECONDS = 100 * 366 * 86_400.0

_PURGE_EVERY = 64
"""Writes between two looks for what has expired."""

JSONValue: TypeAlias = Any
"""What `json` can write and read back: None, bool, int, float, str, lists and dictionaries of them."""


class MemoryRejectedError(StoreError):
    """A namespace, key, value or lifetime cannot be remembered; nothing was changed."""


class MemoryConflictError(VersionConflictError):
    """A key was changed by somebody else since it was read; nothing was changed."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """What is remembered under a key.

    Attributes:
        namespace: keeps the keys of different uses apart.
        key: unique within its namespace.
        value: JSON.
        version: another one at each change, never used twice, not even after the key was deleted.
        expires_at: from when on it does not exist, by the server's clock; None for never.
        updated_at: when it was last set.
    """

    namespace: str
    key: str
    value: JSONValue
    version: int
    expires_at: datetime | None
    updated_at: datetime


class QEMemory:
    """The memory agents share.

    What has expired does not exist for anybody, from the moment the server's clock says so; its row goes with
    later writes, or with `purge_expired`.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes = 0

    async def get(self, namespace: str, key: str) -> MemoryEntry | None:
        """Return what is remembered under a key, or None.

        Raises:
            MemoryRejectedError: the names cannot be.
            DatabaseUnavailableError: nobody answers.
        """
        _check_names(namespace, key)
        rows = await self._database.fetch("read_memory", namespace, key)
        return _entry(namespace, rows[0]) if rows else None

    async def set(
        self, namespace: str, key: str, value: JSONValue, expires_in_seconds: float | None = None
    ) -> MemoryEntry:
        """Remember a value, whatever was there; return it with its version.

        Args:
            namespace: 1 to 200 characters.
            key: 1 to 400 characters.
            value: at most 1 MiB as JSON.
            expires_in_seconds: above 0; None never expires.

        Raises:
            MemoryRejectedError: this cannot be remembered.
            DatabaseUnavailableError: nobody answers.
        """
        written = _checked(namespace, key, value, expires_in_seconds)
        rows = await self._database.fetch("set_memory", namespace, key, written, expires_in_seconds)
        await self._tidy()
        return _entry(namespace, rows[0])

    async def compare_and_set(
        self,
        namespace: str,
        key: str,
        value: JSONValue,
        expected_version: int | None,
        expires_in_seconds: float | None = None,
    ) -> MemoryEntry:
        """Remember a value if the key is still as it was read; of several who try, exactly one succeeds.

        Args:
            namespace: as in `set`.
            key: as in `set`.
            value: as in `set`.
            expected_version: of the entry that was read; None where there was none.
            expires_in_seconds: as in `set`.

        Raises:
            MemoryConflictError: somebody else was first; the message says what is there now.
            MemoryRejectedError: this cannot be remembered.
            DatabaseUnavailableError: nobody answers.
        """
        given: list[Any] = [namespace, key, _checked(namespace, key, value, expires_in_seconds)]
        given.append(expires_in_seconds)
        if expected_version is None:
            rows = await self._database.fetch("set_absent_memory", *given)
        else:
            rows = await self._database.fetch("set_memory_of_version", *given, expected_version)
        await self._tidy()
        if not rows:
            raise await self._conflict(namespace, key, expected_version)
        return _entry(namespace, rows[0])

    async def delete(self, namespace: str, key: str, expected_version: int | None = None) -> bool:
        """Forget a key; return whether there was something.

        Args:
            namespace: as in `set`.
            key: as in `set`.
            expected_version: forget only this version; None for any.

        Raises:
            MemoryConflictError: it is there in another version than the expected one.
            MemoryRejectedError: the names cannot be.
            DatabaseUnavailableError: nobody answers.
        """
        _check_names(namespace, key)
        rows = await self._database.fetch("delete_memory", namespace, key, expected_version)
        if not rows and expected_version is not None and await self.get(namespace, key) is not None:
            raise await self._conflict(namespace, key, expected_version)
        return bool(rows) and bool(rows[0]["was_there"])

    async def list_entries(
        self, namespace: str, prefix: str = "", after: str = "", limit: int = 1_000
    ) -> list[MemoryEntry]:
        """Return what a namespace remembers, by key.

        Args:
            namespace: whose.
            prefix: only keys that begin with it.
            after: only keys after it: the last key of the page before.
            limit: at most so many, 1 to 10,000.

        Raises:
            MemoryRejectedError: the names or the limit cannot be.
            DatabaseUnavailableError: nobody answers.
        """
        _check_name("namespace", namespace, LONGEST_NAMESPACE)
        for name, text in (("prefix", prefix), ("after", after)):
            if text:
                _check_name(name, text, LONGEST_KEY)
        if not 1 <= limit <= 10_000:
            raise MemoryRejectedError(f"list 1 to 10,000 entries at a time, not {limit}; go on with after=")
        rows = await self._database.fetch("list_memory", namespace, prefix, after, limit)
        return [_entry(namespace, row) for row in rows]

    async def purge_expired(self) -> int:
        """Remove the rows of what has expired; return how many."""
        removed = 0
        while True:
            async with self._database.connection() as connection:
                status = await connection.execute(STATEMENTS["purge_memory"])
            if not (count := affected_count(status)):
                return removed
            removed += count

    async def _tidy(self) -> None:
        """Now and then remove what has expired, apart from the write itself: together they could deadlock."""
        self._writes += 1
        if self._writes % _PURGE_EVERY == 0:
            await self.purge_expired()

    async def _conflict(self, namespace: str, key: str, expected_version: int | None) -> MemoryConflictError:
        current = await self.get(namespace, key)
        found = "nothing" if current is None else f"version {current.version}"
        expected = "nothing" if expected_version is None else f"version {expected_version}"
        return MemoryConflictError(
            f"{namespace}/{key} holds {found}, not {expected}: somebody else changed it; nothing was changed "
            "here. Read it with get(), decide afresh and try again"
        )


def _entry(namespace: str, row: asyncpg.Record) -> MemoryEntry:
    return MemoryEntry(
        namespace=namespace,
        key=row["key"],
        value=json.loads(row["value"]),
        version=row["version"],
        expires_at=row["expires_at"],
        updated_at=row["updated_at"],
    )


def _checked(namespace: str, key: str, value: JSONValue, expires_in_seconds: float | None) -> str:
    """Return the value as JSON, everything checked."""
    _check_names(namespace, key)
    if expires_in_seconds is not None and not (
        math.isfinite(expires_in_seconds) and 0.0 < expires_in_seconds <= LONGEST_LIFE_SECONDS
    ):
        raise MemoryRejectedError(
            f"{namespace}/{key}: a lifetime is above 0 and at most {LONGEST_LIFE_SECONDS:g} seconds, not "
            f"{expires_in_seconds}; leave it out for what shall stay"
        )
    try:
        written = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise MemoryRejectedError(
            f"{namespace}/{key}: the value cannot be written as JSON: {error}; give finite numbers, texts, "
            "booleans, None, lists and dictionaries"
        ) from error
    if len(written) > LARGEST_VALUE_BYTES:
        raise MemoryRejectedError(
            f"{namespace}/{key}: the value has {len(written)} bytes as JSON, at most {LARGEST_VALUE_BYTES} "
            "are kept; keep large things in files and remember where they are"
        )
    return written


def _check_names(namespace: str, key: str) -> None:
    _check_name("namespace", namespace, LONGEST_NAMESPACE)
    _check_name("key", key, LONGEST_KEY)


def _check_name(what: str, name: str, longest: int) -> None:
    if not (isinstance(name, str) and 1 <= len(name) <= longest and "\x00" not in name and _is_text(name)):
        raise MemoryRejectedError(
            f"a {what} is a text of 1 to {longest} characters without NUL, not {name!r:.100}"
        )


def _is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8 (a lone surrogate cannot)."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
