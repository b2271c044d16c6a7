"""Worlds of strategy: texts to check, metrics to watch, sets of tasks to plan.

What belongs here: what the actions of the three agents do. What does not: their contracts
(`qe_core.fleet.strategic`).
"""

from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.fleet.strategic import FLEET_COMMANDER, PRODUCTION_INTELLIGENCE, REQUIREMENTS_VALIDATOR

WORLDS: tuple[WorldDeclaration, ...] = (
    WorldDeclaration(
        contract=REQUIREMENTS_VALIDATOR,
        finding="defect_kind",
        frequencies={"wording": 0.40, "contradiction": 0.30, "untestable": 0.30},
        leans={
            "size=large": {"contradiction": 1.8},
            "deadline=near": {"untestable": 1.6},
            "track_record=failing": {"wording": 1.4},
        },
        typical_tasks=3,
        progress=Progress(
            feature="ambiguity",
            path=("contradictory", "vague", "clear"),
            remaining=(1.0, 0.85, 0.55),
            rate=0.2,
        ),
        steps={
            "skim": Step(cost=1.05, looks=0.50, pays={"size=large": -0.10}),
            "readability": Step(cost=0.5, effect=0.0, pays={"ambiguity=clear": 0.10}),
            "ambiguity-terms": Step(cost=0.7, effect=-0.25, fits={"wording": 0.80}),
            "consistency": Step(cost=1.2, effect=-0.30, fits={"contradiction": 0.95}),
            "testability": Step(cost=1.0, effect=-0.30, fits={"untestable": 0.90}),
            "known-defects": Step(cost=1.4, looks=0.80, pays={"deadline=near": -0.10}),
        },
    ),
    WorldDeclaration(
        contract=PRODUCTION_INTELLIGENCE,
        finding="shape",
        frequencies={"spiky": 0.40, "drifting": 0.30, "seasonal": 0.30},
        leans={
            "size=large": {"seasonal": 1.7},
            "ambiguity=clear": {"spiky": 1.6},
            "deadline=far": {"drifting": 1.6},
        },
        steps={
            "robust-z-score": Step(cost=0.6, effect=-0.25, fits={"spiky": 0.80}),
            "ewma": Step(cost=0.8, effect=-0.10, fits={"drifting": 0.35}),
            "seasonal": Step(cost=1.1, effect=-0.30, fits={"seasonal": 0.95}),
            "isolation-forest": Step(cost=1.4, looks=0.80, pays={"size=small": -0.10}),
            "change-point": Step(cost=1.0, effect=-0.35, fits={"drifting": 0.90}),
            "known-incidents": Step(cost=1.05, looks=0.40, pays={"ambiguity=contradictory": -0.15}),
        },
    ),
    WorldDeclaration(
        contract=FLEET_COMMANDER,
        finding="dependencies",
        frequencies={"independent": 0.40, "chained": 0.30, "layered": 0.30},
        leans={
            "size=small": {"independent": 1.6},
            "size=large": {"layered": 1.7},
            "ambiguity=contradictory": {"chained": 1.6},
        },
        steps={
            "sequential": Step(cost=0.8, effect=-0.30, fits={"chained": 0.75}),
            "parallel": Step(cost=0.9, effect=-0.40, fits={"independent": 0.90}),
            "hierarchical": Step(cost=1.1, effect=-0.30, fits={"layered": 0.95}),
            "hybrid": Step(cost=1.0, effect=0.10, pays={"deadline=near": 0.05}),
            "dry-run": Step(cost=1.4, looks=0.85, pays={"deadline=near": -0.15}),
            "past-plan": Step(cost=1.05, looks=0.45, pays={"track_record=healthy": 0.15}),
        },
    ),
)
"""One declaration per agent, in the order of the roster."""
