"""Handles of Q-tables: making them and refusing what does not fit one.

What belongs here: pure functions between the database's rows, contracts and handles. What does not:
statements (`q_tables`).
"""

from typing import TYPE_CHECKING

import asyncpg

from qe_core.errors import FingerprintMismatchError
from qe_core.store.errors import StaleEpochError
from qe_core.store.records import Level, TableHandle

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading the store does not need.
    pass


def handle_of(level: Level, name: str, found: asyncpg.Record) -> TableHandle:
    """Return the handle of a table as the database describes it."""
    return TableHandle(
        *(found["q_table_id"], level, name, found["fingerprint"], found["state_count"]),
        *(tuple(found["action_names"]), found["epoch"], found["version"]),
    )


def matching_handle(
    level: Level, name: str, found: asyncpg.Record, state_count: int, names: tuple[str, ...]
) -> TableHandle:
    """Return the handle of a table registered under the same fingerprint.

    Raises:
        FingerprintMismatchError: it has another shape, so the fingerprint is not one of the shape.
    """
    handle = handle_of(level, name, found)
    if (handle.state_count, handle.action_names) != (state_count, names):
        raise FingerprintMismatchError(
            f"the {level} table {name} is registered under contract {handle.fingerprint} with "
            f"{handle.state_count} states and actions {', '.join(handle.action_names)}, not {state_count} "
            f"and {', '.join(names)}; "
            "a changed contract needs a new fingerprint"
        )
    return handle


def replaced_contract(current: TableHandle, fingerprint: str) -> FingerprintMismatchError:
    """Return the refusal of a contract that is not the current table's."""
    return FingerprintMismatchError(
        f"the {current.level} table {current.name} was learned under contract {current.fingerprint}, "
        f"not {fingerprint}; register the new contract with ensure() and train again"
    )


def stale(handle: TableHandle) -> StaleEpochError:
    """Return the refusal of a handle whose epoch has passed."""
    return StaleEpochError(
        f"the {handle.level} table {handle.name} was restored or replaced after epoch {handle.epoch}; this "
        "write was refused whole. Take a new handle with ensure(), load the table and decide afresh"
    )
