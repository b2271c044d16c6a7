"""Strategies `dynamosa` and `mio`: pynguin's search algorithms.

Belongs here: setting pynguin up and emitting a test whenever its archive covers a new goal. Does not belong
here: pynguin's own assertions, minimising and export, which start after the search and are not what is
compared; the oracle is the snapshot every generated test gets.
"""

from __future__ import annotations

import tempfile
from typing import Any

import pynguin.configuration as config  # type: ignore[import-not-found]
from pynguin import generator
from pynguin.ga.algorithms.archive import (  # type: ignore[import-not-found]
    CoverageArchive,
    MIOArchive,
)
from pynguin.utils.naming import get_module_alias  # type: ignore[import-not-found]

from ..emission import Emitter

_ENDLESS_SECONDS = 3600
"""Pynguin's own limit is wall-clock time; the sandbox's CPU limit ends the search instead."""


_HEADER = """import importlib
globals()[{alias!r}] = importlib.import_module({module!r})
globals().update(vars(importlib.import_module({module!r})))
"""
"""What pynguin's tests find in their namespace: the module by its alias, and everything in it."""


def _configuration(spec: dict[str, Any]) -> config.Configuration:
    directory = tempfile.gettempdir()
    configuration = config.Configuration(
        project_path=spec["sources"][0],
        module_name=spec["module"],
        test_case_output=config.TestCaseOutputConfiguration(output_path=directory),
        algorithm=config.Algorithm.DYNAMOSA if spec["strategy"] == "dynamosa" else config.Algorithm.MIO,
        use_master_worker=False,
        subprocess=False,
        subprocess_if_recommended=False,
    )
    configuration.seeding.seed = spec["seed"]
    configuration.stopping.maximum_search_time = _ENDLESS_SECONDS
    configuration.stopping.maximum_memory = -1
    configuration.statistics_output.report_dir = directory
    configuration.statistics_output.statistics_backend = config.StatisticsBackend.NONE
    return configuration


def run(spec: dict[str, Any]) -> None:
    """Search until all goals are covered or the sandbox ends it."""
    generator.set_configuration(_configuration(spec))
    prepared = generator._setup_and_check()
    if prepared is None:
        raise SystemExit("pynguin cannot set this module up")
    algorithm = generator._instantiate_test_generation_strategy(*prepared)
    alias = get_module_alias(spec["module"])
    header = _HEADER.format(alias=alias, module=spec["module"])
    archive = algorithm.archive
    seen: set[str] = set()
    with Emitter(spec["tests"]) as emitter:

        def emit(goal: Any) -> None:
            code = _covering_code(archive, goal)
            if code and code not in seen:
                seen.add(code)
                emitter.emit("snapshot", header + code)

        archive.add_on_target_covered(emit)
        algorithm.generate_tests()


def _covering_code(archive: Any, goal: Any) -> str:
    """The archive's test for a goal, as source."""
    match archive:
        case MIOArchive():
            solution = archive._archive[goal].get_best_solution_if_any()
        case CoverageArchive():
            solution = archive.get_covering_solution(goal)
        case _:
            raise TypeError(f"pynguin keeps its tests in an unexpected {type(archive).__name__}")
    return str(solution.test_case.to_code()) if solution is not None else ""
