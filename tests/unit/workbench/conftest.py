"""A tiny package whose branches can be counted by hand, written anew for every test that wants it."""

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qe_core.workbench.inside import survey

SHAPES = '''
"""Shapes."""

LIMIT = 10


def area(width: int, height: int) -> int:
    """Area of a rectangle.

    >>> area(2, 3)
    6
    >>> area(-1, 3)
    Traceback (most recent call last):
        ...
    ValueError: negative
    """
    if width < 0 or height < 0:
        raise ValueError("negative")
    return width * height


def name(corners: int) -> str:
    if corners == 3:
        return "triangle"
    return "polygon"


class Box:
    def __init__(self, size: int) -> None:
        self.size = size

    def fits(self, other: int) -> bool:
        if other < self.size:
            return True
        return False
'''
"""Without the blank first line `area` begins at line 6, `name` at 21, `Box` at 27."""

SHIPPED = """
import pytest
from tiny.shapes import area


@pytest.mark.parametrize("side", [1, 2])
def test_square(side):
    assert area(side, side) == side * side


def test_wrong():
    assert area(1, 1) == 2
"""

DECLARATION = """
[[subject]]
name = "tiny"
version = "1.0"
sha256 = ""
licence = "MIT"
source = "src"
tests = "tests"
modules = ["tiny.shapes"]
path = "tiny-1.0"
"""


@dataclass(frozen=True)
class Tiny:
    """Where the tiny package lies, and what the phases are told about it."""

    root: Path
    spec: dict[str, Any]

    def emitted(self) -> list[dict[str, Any]]:
        """The tests a strategy has emitted."""
        path = Path(self.spec["tests"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def emit(self, *tests: dict[str, Any]) -> None:
        """Write tests as a strategy would have."""
        common = {"seconds": 1.0, "kind": "snapshot", "name": "", "seed": 0, "passed": True}
        Path(self.spec["tests"]).write_text("".join(json.dumps({**common, **test}) + "\n" for test in tests))

    def result(self) -> dict[str, Any]:
        """What the survey or the measurement wrote."""
        found: dict[str, Any] = json.loads(Path(self.spec["result"]).read_text())
        return found


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """The tiny package, importable while the test runs."""
    root = tmp_path / "tiny-1.0"
    package = root / "src" / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shapes.py").write_text(SHAPES.removeprefix("\n"))
    (root / "tests").mkdir()
    (root / "tests" / "test_other.py").write_text(textwrap.dedent(SHIPPED))
    (root / "tests" / "test_shapes.py").write_text("def test_own():\n    pass\n")
    (tmp_path / "subjects.toml").write_text(DECLARATION)
    monkeypatch.syspath_prepend(str(root / "src"))
    importlib.invalidate_caches()
    spec = {
        "module": "tiny.shapes",
        "sources": [str(root / "src"), str(root)],
        "shipped_tests": str(root / "tests"),
        "mutants": 50,
        "seed": 7,
        "seconds": 8.0,
        "tests": str(tmp_path / "tests.jsonl"),
        "result": str(tmp_path / "result.json"),
        "survey": str(tmp_path / "survey.json"),
    }
    yield Tiny(root, spec)
    for module in [module for module in sys.modules if module.partition(".")[0] == "tiny"]:
        del sys.modules[module]


@pytest.fixture
def surveyed(tiny: Tiny) -> Tiny:
    """The tiny package with its survey made."""
    survey.run({**tiny.spec, "result": tiny.spec["survey"]})
    return tiny
