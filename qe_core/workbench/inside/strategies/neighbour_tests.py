"""Strategy `neighbour-tests`: what the package's tests of its other modules do for this one.

Belongs here: which shipped test files are neighbours, and running their tests one by one under pytest. Does
not belong here: the module's own test file, which would be the answer to the question.
"""

from __future__ import annotations

import ast
import contextlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CASES = 5
"""Cases run of one parametrised test; the thousandth adds time and no branch."""

TEST_SECONDS = 0.5
"""CPU seconds after which one shipped test is given up."""


def is_own_test(file: Path, module: str) -> bool:
    """Whether a test file is named after the module (`test_name.py`, `name_test.py`, `tests_name.py`)."""
    plain = re.sub(r"^tests?_?|_?tests?$", "", file.stem).strip("_").lower()
    parts = [part.strip("_").lower() for part in module.split(".")]
    return plain in {parts[-1], "_".join(parts[1:]), "".join(parts[1:])}


_OFFENDING = re.compile(r"\b(socket|subprocess|multiprocessing|threading|asyncio|sleep)\b")


def neighbour_files(tests: str, module: str, seed: int = 0) -> list[Path]:
    """The test files of the package that are not the module's own, those that name the module first.

    Within either group the order is drawn from the seed.

    Files that mention sockets, processes, threads or sleeping are left out: in the sandbox they wait for
    nothing.
    """
    files = [
        file
        for file in sorted(Path(tests).rglob("*.py"))
        if re.match(r"tests?_|.*_tests?\.py$", file.name)
        and not is_own_test(file, module)
        and not _OFFENDING.search(file.read_text("utf-8", "replace"))
    ]
    random.Random(seed).shuffle(files)  # noqa: S311 (not for cryptography)
    word = re.compile(rf"\b{re.escape(module.rpartition('.')[2])}\b")
    return sorted(files, key=lambda file: word.search(file.read_text("utf-8", "replace")) is None)


def count_tests(files: list[Path]) -> int:
    """How many test functions the files hold."""
    count = 0
    for file in files:
        with contextlib.suppress(SyntaxError):
            tree = ast.parse(file.read_text("utf-8", "replace"))
            functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
            count += sum(function.name.startswith("test") for function in functions)
    return count


def few_cases(items: Iterable[Any]) -> Iterator[Any]:
    """The collected tests, of each test function the first few cases only."""
    cases: Counter[str] = Counter()
    for item in items:
        function = item.nodeid.partition("[")[0]
        cases[function] += 1
        if cases[function] <= CASES:
            yield item


def pytest_arguments(tests: str) -> list[str]:
    """Options under which shipped tests run: silent, without configuration, going on after bad files."""
    return [
        "-p", "no:cacheprovider",
        "-p", "no:terminal",
        "-p", "no:faulthandler",
        "-c", "/dev/null",
        f"--rootdir={tests}",
        "--continue-on-collection-errors",
        "--import-mode=importlib",
    ]  # fmt: skip


def run(spec: dict[str, Any]) -> None:
    """Collect the neighbours' tests and run each once, file by file."""
    tests = spec["shipped_tests"]
    files = neighbour_files(tests, spec["module"], spec["seed"]) if tests else []
    if not files:
        return
    import pytest

    from ..emission import Emitter
    from ..guard import cpu_guard
    from ..oracles import run_item

    class Loop:
        """Replaces pytest's loop over the collected tests."""

        def pytest_runtestloop(self, session: pytest.Session) -> bool:
            """Run each test once and emit it."""
            with Emitter(spec["tests"]) as emitter:
                for item in few_cases(session.items):
                    passed = False
                    with contextlib.suppress(BaseException), cpu_guard(TEST_SECONDS):
                        passed = run_item(item)
                    emitter.emit("shipped", item.nodeid, name=str(item.path), passed=passed)
            return True

    pytest.main([*pytest_arguments(tests), *map(str, files)], plugins=[Loop()])
