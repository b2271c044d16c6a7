"""Writing down each test at the CPU second it was found.

Belongs here: the clock of a strategy and the form in which tests leave it. Does not belong here: judging
tests; `inside.measure` does that later, off the clock.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Literal

Kind = Literal["snapshot", "doctest", "property", "shipped"]
"""How a test is run and what its oracle is.

`snapshot` executes a snippet and compares its values or exception with those of the first run; `doctest`
compares printed output; `property` runs under hypothesis; `shipped` is a test of the package, run by pytest.
"""


def cpu_seconds() -> float:
    """CPU seconds of this process since it began, and of its children that ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Emitter:
    """Appends tests to a file of JSON lines, each flushed at once: being killed loses nothing."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (closed on leaving)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def emit(self, kind: Kind, source: str, *, name: str = "", seed: int = 0, passed: bool = True) -> None:
        """Write one test with the CPU seconds spent so far; a failing one is counted and never measured."""
        test = {"seconds": cpu_seconds(), "kind": kind, "source": source, "name": name, "seed": seed}
        self._file.write(json.dumps({**test, "passed": passed}) + "\n")
        self._file.flush()
