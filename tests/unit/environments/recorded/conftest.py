"""Made-up recordings in the real schema: fast callers, slow searches, reuse that is all or nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qe_core.environments.recorded.recordings import Recordings
from qe_core.fleet.test_generation import STRATEGIES

CEILING = {
    "literals": (0.3, 0.85),
    "edge-values": (0.3, 0.8),
    "doctests": (0.2, 0.8),
    "neighbour-tests": (0.0, 0.95),
    "ghostwriter": (0.0, 0.1),
    "dynamosa": (0.3, 0.9),
    "mio": (0.3, 0.8),
}
STARTUP = {"dynamosa": 2.5, "mio": 2.5, "ghostwriter": 2.7, "neighbour-tests": 1.2}
PACE = {"dynamosa": 1.5, "mio": 1.8, "doctests": 0.02, "neighbour-tests": 0.7, "ghostwriter": 0.2}
LIMIT = 8.0
NEEDS = {"doctests": "doctests", "neighbour-tests": "neighbour_tests"}


def synthetic_recordings(
    seed: int = 0, packages: int = 6, modules: int = 5, repetitions: int = 3
) -> Recordings:
    """Return recordings of ``packages`` packages, the last third held out."""
    rng = np.random.default_rng(seed)
    described: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    outcomes: dict[str, list[Any]] = {
        name: [] for name in ("package", "module", "strategy", "repetition", "kind", "item", "seconds")
    }
    for package in range(packages):
        for position in range(modules):
            module = _module(
                rng, package, position, "held-out" if package >= 2 * packages // 3 else "training"
            )
            described.append(module)
            difficulty = rng.random(module["branches"])
            for strategy in STRATEGIES:
                ceiling = rng.uniform(*CEILING[strategy])
                if module.get(NEEDS.get(strategy, "branches")) == 0:
                    ceiling = 0.0
                for repetition in range(repetitions):
                    run = {"package": module["package"], "module": module["module"], "strategy": strategy}
                    run["repetition"] = repetition
                    _run(rng, module, run, ceiling, difficulty, runs, outcomes)
    return Recordings(
        _columns(described), _columns(runs), {name: np.asarray(v) for name, v in outcomes.items()}
    )


def _module(rng: np.random.Generator, package: int, position: int, split: str) -> dict[str, Any]:
    branches = int(rng.lognormal(3.5, 0.9)) + 4
    return {
        "package": f"package{package}",
        "module": f"package{package}.module{position}",
        "split": split,
        "position": position,
        "statements": branches * 3,
        "branches": branches,
        "mutants": branches // 2,
        "functions": branches // 6 + 1,
        "classes": int(rng.integers(0, 3)),
        "methods": int(rng.integers(0, 12)),
        "doctests": int(rng.random() < 0.4) * int(rng.integers(1, 9)),
        "annotated_share": float(rng.random()),
        "complexity": branches / 5,
        "max_complexity": int(rng.integers(1, 20)),
        "literal_count": int(rng.integers(0, 50)),
        "neighbour_tests": int(rng.random() < 0.3) * int(rng.integers(1, 9)),
    }


def _run(
    rng: np.random.Generator,
    module: dict[str, Any],
    run: dict[str, Any],
    ceiling: float,
    difficulty: Any,
    runs: list[dict[str, Any]],
    outcomes: dict[str, list[Any]],
) -> None:
    strategy = run["strategy"]
    startup = STARTUP.get(strategy, 0.06) * rng.uniform(0.9, 1.3)
    pace = PACE.get(strategy, 0.15)
    is_search = strategy in ("dynamosa", "mio")
    if is_search:
        startup += module["branches"] / 80
    end = LIMIT if is_search else startup + pace * rng.uniform(2, 8)
    if ceiling == 0.0:
        end = min(startup, end)
    runs.append(run | {"seconds": end, "finished": not is_search, "failure": ""})
    for kind, count in (("branch", module["branches"]), ("mutant", module["mutants"]), ("test", 6)):
        hard = difficulty[rng.integers(0, len(difficulty), count)] if kind != "branch" else difficulty
        reached = np.flatnonzero(hard + rng.normal(0, 0.08, count) < ceiling)
        times = startup + rng.exponential(pace, len(reached))
        for item, seconds in zip(reached.tolist(), times.tolist(), strict=True):
            if seconds <= end:
                for name, value in (*run.items(), ("kind", kind), ("item", item), ("seconds", seconds)):
                    outcomes[name].append(value)


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.asarray([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="session")
def recordings() -> Recordings:
    """Six packages of four modules, four of them for training, three repetitions."""
    return synthetic_recordings(seed=5, packages=6, modules=4)


@pytest.fixture(scope="session")
def record() -> Callable[..., Recordings]:
    """Return a function that makes other recordings of the same kind."""
    return synthetic_recordings


@pytest.fixture
def by_hand() -> Recordings:
    """One package of two modules, 4 and 6 branches, and the few runs that reach anything.

    Module a (4 branches): literals covers 0, 1 at 0.05 s and 2 at 0.15 s, ends at 0.2 s; edge-values covers
    1 and 3 at 0.08 s, ends at 0.1 s. Module b (6 branches): dynamosa covers all at 0.3 s, ends at 0.5 s. Both
    have two mutants; literals kills mutant 0 of a at 0.05 s. Everything else ends at 0.1 s with nothing.
    """
    names = ("a", "b")
    ends = {("a", "literals"): 0.2, ("b", "dynamosa"): 0.5}
    reached = [
        ("a", "literals", "branch", 0, 0.05),
        ("a", "literals", "branch", 1, 0.05),
        ("a", "literals", "branch", 2, 0.15),
        ("a", "literals", "mutant", 0, 0.05),
        ("a", "literals", "test", 0, 0.05),
        ("a", "edge-values", "branch", 1, 0.08),
        ("a", "edge-values", "branch", 3, 0.08),
        *[("b", "dynamosa", "branch", item, 0.3) for item in range(6)],
    ]
    module = {
        "package": "hand",
        "split": "training",
        "mutants": 2,
        "functions": 1,
        "classes": 0,
        "methods": 0,
        "annotated_share": 0.0,
        "complexity": 2.0,
        "literal_count": 0,
        "neighbour_tests": 0,
    }
    modules = [
        module
        | {"module": "a", "position": 0, "branches": 4, "statements": 50, "doctests": 1, "max_complexity": 3},
        module
        | {
            "module": "b",
            "position": 1,
            "branches": 6,
            "statements": 150,
            "doctests": 0,
            "max_complexity": 12,
        },
    ]
    runs = [
        {
            "package": "hand",
            "module": name,
            "strategy": strategy,
            "repetition": 0,
            "seconds": ends.get((name, strategy), 0.1),
        }
        for name in names
        for strategy in STRATEGIES
    ]
    outcomes = [
        {
            "package": "hand",
            "module": name,
            "strategy": strategy,
            "repetition": 0,
            "kind": kind,
            "item": item,
            "seconds": seconds,
        }
        for name, strategy, kind, item, seconds in reached
    ]
    return Recordings(_columns(modules), _columns(runs), _columns(outcomes))
