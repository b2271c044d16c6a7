"""The secrets: what they look like, and where each is put.

What belongs here: drawing them, and dealing them out to places. What does not: putting them there
(`contributor`), looking for them (`search`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

COUNT = 1_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that must not be recognisable elsewhere.

    Attributes:
        kind: what it looks like.
        text: as a person wrote it; different from all others in its middle.
    """

    kind: str
    text: str


class Draw:
    """Random words.

    Args:
        seed: of all of them.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def word(self, length: int, letters: str = LETTERS) -> str:
        """Return a word of so many letters."""
        return "".join(letters[index] for index in self._rng.integers(0, len(letters), length))

    def name(self, length: int) -> str:
        """Return a word that begins with a capital letter."""
        return self.word(length).capitalize()


KINDS: dict[str, Callable[[Draw], str]] = {
    "path": lambda draw: f"/home/{draw.word(6)}/{draw.word(8)}/Test_{draw.word(9)}.py",
    "windows path": lambda draw: rf"C:\Users\{draw.name(7)}\{draw.word(8)}\{draw.name(10)}.cs",
    "name": lambda draw: f"{draw.name(7)} {draw.name(9)}",
    "foreign name": lambda draw: f"Jürgen {draw.word(10)}ßen-Ærø",
    "e-mail": lambda draw: f"{draw.word(6)}.{draw.name(8)}@{draw.word(6)}.example.com",
    "code": lambda draw: f"def {draw.word(7)}(x):\n    return x['{draw.word(9)}'] + 1  # {draw.word(5)}\n",
    "token": lambda draw: f"ghp_{draw.word(36, LETTERS + LETTERS.upper() + DIGITS)}",
    "hexadecimal key": lambda draw: draw.word(40, DIGITS + "abcdef"),
    "address": lambda draw: f"https://{draw.word(8)}.corp.example/{draw.word(8)}?key={draw.word(12)}",
    "password": lambda draw: f"{draw.word(5)} {draw.word(8)}-{draw.name(6)}!{draw.word(2, DIGITS)} ",
    "label": lambda draw: f"{draw.word(7)}-{draw.word(9)}",
}
"""One of each kind, by how it looks."""

ANY = tuple(KINDS)
ONE_LINE = tuple(kind for kind in KINDS if kind != "code")
LABELS = ("label",)
FILES = ("label", "name", "e-mail", "token")

PLACES: dict[str, tuple[int, tuple[str, ...]]] = {
    "source of experiences": (40, ANY),
    "name of an imported file": (8, FILES),
    "developer": (22, ANY),
    "project": (22, ANY),
    "unit of a test": (50, ONE_LINE),
    "number of a task": (50, ANY),
    "input of a task": (50, ANY),
    "refused context": (40, ANY),
    "message of an error": (40, ANY),
    "alert": (60, ANY),
    "memory": (60, ANY),
    "webhook": (1, ("address",)),
    "agent of one's own": (6, LABELS),
    "environment": (16, ("name", "e-mail", "token", "label")),
    "opt-out": (30, ANY),
    "reason for a policy": (30, ANY),
    "reason for an adjustment": (20, ANY),
    "A/B test": (16, LABELS),
    "who acts": (4, ANY),
    "directory": (2, LABELS),
    "database": (1, LABELS),
}
"""How many secrets each place takes, and of which kinds; episodes take the others."""

EPISODES = "name of an episode"


def planted(seed: int) -> dict[str, list[Secret]]:
    """Return 1,000 secrets by the place each is put at."""
    draw = Draw(seed)
    places = {place: _drawn(draw, count, kinds) for place, (count, kinds) in PLACES.items()}
    places[EPISODES] = _drawn(draw, COUNT - sum(map(len, places.values())), ANY)
    return places


def _drawn(draw: Draw, count: int, kinds: tuple[str, ...]) -> list[Secret]:
    return [Secret(kind, KINDS[kind](draw)) for kind in (kinds[index % len(kinds)] for index in range(count))]
