"""One state's row as plain numbers: from the wire, and after updates.

What belongs here: decoding a packed row without an object per array, applying updates to one. What does
not: which rows are kept (`cache`), and arithmetic on whole tables (`qe_core.learning`): numpy needs a
microsecond a call however short the array.
"""

from collections.abc import Iterable
from functools import cache
from struct import Struct
from typing import NamedTuple, TypeAlias

from qe_core.errors import StoreError

Update: TypeAlias = tuple[int, float, float]
"""Action, TD target in points, learning rate."""


class Composed(NamedTuple):
    """All updates of one pair in one committed flush: q → scale · q + offset.

    Attributes:
        action: index.
        scale: in [0, 1].
        offset: points.
        added: updates composed.
        target_mean: mean of their targets, points.
        target_m2: squared deviations of their targets, summed.
    """

    action: int
    scale: float
    offset: float
    added: int
    target_mean: float
    target_m2: float


class Row(NamedTuple):
    """What one table knows about one state; a state without a row is a row of zeros.

    Attributes:
        q: points, A numbers.
        visits: A whole numbers.
        target_mean: mean TD target, points, A numbers.
        target_m2: squared deviations of the targets, summed, A numbers.
        weights: confidence × visits as of the last publication, A numbers.
    """

    q: tuple[float, ...]
    visits: tuple[int, ...]
    target_mean: tuple[float, ...]
    target_m2: tuple[float, ...]
    weights: tuple[float, ...]


@cache
def empty_row(action_count: int) -> Row:
    """Return the row of a state nobody has learned anything about."""
    zeros = (0.0,) * action_count
    return Row(zeros, (0,) * action_count, zeros, zeros, zeros)


def decode_row(packed: bytes | None, action_count: int) -> Row:
    """Return a row from what ``read_live_rows`` answers: five arrays as PostgreSQL sends them, end to end.

    Args:
        packed: q, visits, target_mean, target_m2, weights; None for a state without a row.
        action_count: columns A of the table.

    Raises:
        StoreError: the row has another number of columns.
    """
    if packed is None:
        return empty_row(action_count)
    layout = _layout(action_count)
    if len(packed) != layout.size:
        raise StoreError(
            f"a row of {len(packed)} bytes does not have {action_count} actions ({layout.size} bytes); the "
            "table was written under another contract, publish it again"
        )
    n, numbers = action_count, layout.unpack(packed)
    return Row(
        numbers[:n], numbers[n : 2 * n], numbers[2 * n : 3 * n], numbers[3 * n : 4 * n], numbers[4 * n :]
    )


def row_after(row: Row, updates: Iterable[Update]) -> Row:
    """Return the row after updates in the order given: q ← q + α·(target − q), and its targets' statistics.

    The writer composes the same updates before it sends them; both agree to rounding.

    Args:
        row: before.
        updates: actions inside the row.
    """
    q, visits, mean, m2 = list(row.q), list(row.visits), list(row.target_mean), list(row.target_m2)
    for action, target, learning_rate in updates:
        q[action] = (1.0 - learning_rate) * q[action] + learning_rate * target
        visits[action] += 1
        deviation = target - mean[action]  # Welford 1962
        mean[action] += deviation / visits[action]
        m2[action] += deviation * (target - mean[action])
    return Row(tuple(q), tuple(visits), tuple(mean), tuple(m2), row.weights)


def row_merged(row: Row, flushed: Iterable[Composed]) -> Row:
    """Return the row after a committed flush, by the same formulas as the server's ``take_flush``.

    Args:
        row: before.
        flushed: at most one for each action.
    """
    q, visits, mean, m2 = list(row.q), list(row.visits), list(row.target_mean), list(row.target_m2)
    for action, scale, offset, added, target_mean, target_m2 in flushed:
        before = visits[action]
        q[action] = scale * q[action] + offset
        visits[action] = before + added
        deviation = target_mean - mean[action]  # Chan, Golub & LeVeque 1983
        mean[action] += deviation * (added / (before + added))
        m2[action] += target_m2 + deviation * deviation * (before * added / (before + added))
    return Row(tuple(q), tuple(visits), tuple(mean), tuple(m2), row.weights)


@cache
def _layout(action_count: int) -> Struct:
    """Return the layout of five one-dimensional arrays: a head of 20 bytes, then length and value each."""
    return Struct(">" + "".join(f"20x{('4x' + kind) * action_count}" for kind in "dqddd"))
