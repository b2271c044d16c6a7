"""Looking for very many short patterns in very many bytes, at every offset.

What belongs here: the search. What does not: what is looked for (`forms`) and where (`run`).

Eight bytes from the middle of each pattern are its anchor. Every window of eight bytes is looked up among the
anchors; where it is one, the whole pattern is compared.
"""

import zlib
from collections import defaultdict
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
        self._anchors = np.unique(values)
        self._may_be = np.zeros(1 << _BITS, dtype=np.bool_)
        self._may_be[_slots(self._anchors)] = True
        self._by_anchor = defaultdict[int, list[Pattern]](list)
        for value, pattern in zip(values.tolist(), patterns, strict=True):
            self._by_anchor[value].append(pattern)

    def find(self, data: bytes) -> set[Pattern]:
        """Return the patterns that are somewhere in the bytes."""
        found = set[Pattern]()
        for start in range(0, len(data), _BLOCK):
            # Blocks overlap by a window; patterns are compared in the whole.
            block = np.frombuffer(data, np.uint8, min(_BLOCK + SHORTEST - 1, len(data) - start), start)
            for shift in range(SHORTEST):
                count = (len(block) - shift) // SHORTEST
                windows = block[shift : shift + count * SHORTEST].view("<u8")
                for index in self._anchored(windows):
                    offset = start + shift + int(index) * SHORTEST
                    for pattern in self._by_anchor[int(windows[index])]:
                        begin = offset - _middle(pattern)
                        if begin >= 0 and data.startswith(pattern.content, begin):
                            found.add(pattern)
        return found

    def _anchored(self, windows: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the indices of the windows that are anchors."""
        candidates = np.flatnonzero(self._may_be[_slots(windows)])
        place = np.searchsorted(self._anchors, windows[candidates]).clip(max=len(self._anchors) - 1)
        return candidates[self._anchors[place] == windows[candidates]]


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
