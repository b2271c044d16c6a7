"""Looking for very many short patterns in very many bytes, at every offset.

What belongs here: the search. What does not: what is looked for (`forms`) and where (`run`).

Eight bytes from the middle of each pattern are its anchor. Every window of eight bytes is looked up among the
anchors; where it is one, the whole pattern is compared.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tests.secrets.forms import SHORTEST

_BITS = 24
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 23
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_INFLATED_LIMIT = 1 << 24


class Pattern(NamedTuple):
    """One form of one secret.

    Attributes:
        secret: which, by number.
        form: its name.
        content: at least eight bytes.
    """

    secret: int
    form: str
    content: bytes


class Search:
    """Finds patterns.

    Args:
        patterns: what to look for, at least one.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = patterns
        anchors = b"".join(_anchor(pattern) for pattern in patterns)
        values = np.frombuffer(anchors, dtype="<u8")
        self._order = np.argsort(values)
        self._anchors = values[self._order]
        self._may_be = np.zeros(1 << _BITS, dtype=np.bool_)
        self._may_be[_slots(values)] = True

    def find(self, data: bytes) -> set[Pattern]:
        """Return the patterns that are somewhere in the bytes."""
        found = set[Pattern]()
        for start in range(0, len(data), _BLOCK):
            # Blocks overlap by a window; patterns are compared in the whole.
            block = np.frombuffer(data, np.uint8, min(_BLOCK + SHORTEST - 1, len(data) - start), start)
            for shift in range(SHORTEST):
                count = (len(block) - shift) // SHORTEST
                windows = block[shift : shift + count * SHORTEST].view("<u8")
                for index, pattern in self._anchored(windows):
                    begin = start + shift + index * SHORTEST - _middle(pattern)
                    if begin >= 0 and data.startswith(pattern.content, begin):
                        found.add(pattern)
        return found

    def _anchored(self, windows: npt.NDArray[np.uint64]) -> Iterator[tuple[int, Pattern]]:
        """Yield the indices of the windows that are anchors, with the patterns they are anchors of."""
        indices = np.flatnonzero(self._may_be[_slots(windows)])
        first = np.searchsorted(self._anchors, windows[indices])
        last = np.searchsorted(self._anchors, windows[indices], side="right")
        for met in np.flatnonzero(last > first).tolist():
            for place in self._order[first[met] : last[met]].tolist():
                yield int(indices[met]), self.patterns[place]


def inflated(data: bytes) -> Iterator[bytes]:
    """Yield everything in the bytes that zlib compressed, wherever it begins."""
    for head in _ZLIB:
        start = data.find(head)
        while start >= 0:
            try:
                content = zlib.decompressobj().decompress(data[start:], _INFLATED_LIMIT)
            except zlib.error:
                content = b""
            if len(content) >= SHORTEST:
                yield content
            start = data.find(head, start + 1)


def patterns_of(forms: Iterable[Iterable[tuple[str, bytes]]]) -> list[Pattern]:
    """Return the patterns of secrets whose forms come in order."""
    return [Pattern(number, name, content) for number, own in enumerate(forms) for name, content in own]


def _slots(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return (values * _FACTOR) >> np.uint64(64 - _BITS)


def _middle(pattern: Pattern) -> int:
    return (len(pattern.content) - SHORTEST) // 2


def _anchor(pattern: Pattern) -> bytes:
    middle = _middle(pattern)
    return pattern.content[middle : middle + SHORTEST]
