"""Worlds of advanced testing: changes, input data, interfaces and flaky suites.

What belongs here: what the actions of the four agents do. What does not: their contracts
(`qe_core.fleet.advanced_testing`).
"""

from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.fleet.advanced_testing import (
    API_CONTRACT_VALIDATOR,
    FLAKY_TEST_HUNTER,
    REGRESSION_RISK_ANALYZER,
    TEST_DATA_ARCHITECT,
)

WORLDS: tuple[WorldDeclaration, ...] = (
    WorldDeclaration(
        contract=REGRESSION_RISK_ANALYZER,
        finding="impact",
        frequencies={"local": 0.45, "spreading": 0.35, "configuration": 0.20},
        leans={
            "change_size=small": {"local": 1.8},
            "change_size=large": {"spreading": 1.8},
            "instability=unstable": {"configuration": 1.8},
        },
        steps={
            "recent-first": Step(cost=0.6, effect=-0.30, fits={"local": 0.75}),
            "import-graph": Step(cost=1.4, looks=0.85, pays={"size=large": -0.10}),
            "coverage-map": Step(cost=1.0, effect=-0.30, fits={"spreading": 0.90}),
            "failure-history": Step(cost=1.1, looks=0.40, pays={"instability=stable": 0.15}),
            "random-sample": Step(cost=0.8, effect=0.05, pays={"change_size=small": 0.05}),
            "run-everything": Step(cost=1.6, effect=0.00, fits={"configuration": 0.95}),
        },
    ),
    WorldDeclaration(
        contract=TEST_DATA_ARCHITECT,
        finding="weak_spot",
        frequencies={"limits": 0.40, "combinations": 0.30, "formats": 0.30},
        leans={
            "size=large": {"combinations": 1.8},
            "change_size=small": {"limits": 1.5},
            "instability=unstable": {"formats": 1.6},
        },
        steps={
            "boundary": Step(cost=0.7, effect=-0.20, fits={"limits": 0.85}),
            "pairwise": Step(cost=1.2, effect=-0.30, fits={"combinations": 0.95}),
            "schema-driven": Step(cost=0.9, effect=-0.30, fits={"formats": 0.85}),
            "random": Step(cost=0.7, effect=0.05, pays={"instability=unstable": 0.10}),
            "reused-data": Step(cost=1.1, looks=0.45, pays={"change_size=small": 0.15}),
            "validated-sample": Step(cost=1.4, looks=0.80),
        },
    ),
    WorldDeclaration(
        contract=API_CONTRACT_VALIDATOR,
        finding="breach",
        frequencies={"schema": 0.40, "sequence": 0.30, "status-codes": 0.30},
        leans={
            "change_size=large": {"schema": 1.7},
            "change_size=small": {"status-codes": 1.6},
            "instability=unstable": {"sequence": 1.8},
        },
        steps={
            "schema-diff": Step(cost=1.05, looks=0.45, pays={"change_size=large": 0.15}),
            "examples": Step(cost=0.6, effect=-0.05, pays={"track_record=healthy": 0.15}),
            "coverage-phase": Step(cost=1.1, effect=-0.20, fits={"schema": 0.90}),
            "fuzzing": Step(cost=1.5, looks=0.80, pays={"instability=unstable": -0.15}),
            "stateful": Step(cost=1.2, effect=-0.35, fits={"sequence": 0.95}),
            "negative-cases": Step(cost=0.9, effect=-0.30, fits={"status-codes": 0.85}),
        },
    ),
    WorldDeclaration(
        contract=FLAKY_TEST_HUNTER,
        finding="suspected_cause",
        frequencies={"order": 0.35, "timing": 0.40, "environment": 0.25},
        leans={
            "size=large": {"order": 1.7},
            "change_size=large": {"environment": 1.7},
            "risk=high": {"timing": 1.4},
        },
        typical_tasks=3,
        progress=Progress(
            feature="instability",
            path=("unstable", "wavering", "stable"),
            remaining=(1.0, 0.8, 0.45),
            rate=0.2,
        ),
        steps={
            "read-history": Step(cost=1.1, looks=0.55, pays={"change_size=large": -0.15}),
            "rerun": Step(cost=1.5, looks=0.80, pays={"instability=unstable": 0.10}),
            "shuffle": Step(cost=0.9, effect=-0.25, fits={"order": 0.90}),
            "isolate": Step(cost=1.0, effect=-0.25, fits={"environment": 0.90}),
            "stress": Step(cost=1.3, effect=-0.25, fits={"timing": 0.90}),
            "quarantine": Step(
                cost=0.8, effect=-0.05, pays={"instability=unstable": 0.30, "risk=high": -0.30}
            ),
        },
    ),
)
"""One declaration per agent, in the order of the roster."""
