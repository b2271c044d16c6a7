"""Worlds of specialised work: releases to judge, pages to compare, faults to inject.

What belongs here: what the actions of the three agents do. What does not: their contracts
(`qe_core.fleet.specialized`).
"""

from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.fleet.specialized import CHAOS_ENGINEER, DEPLOYMENT_READINESS, VISUAL_TESTER

WORLDS: tuple[WorldDeclaration, ...] = (
    WorldDeclaration(
        contract=DEPLOYMENT_READINESS,
        finding="evidence",
        frequencies={"clean": 0.50, "doubtful": 0.15, "damning": 0.35},
        leans={
            "track_record=failing": {"damning": 1.6},
            "environment=production": {"clean": 1.4},
            "blast_radius=wide": {"doubtful": 1.5},
        },
        unclear=("doubtful",),
        reported=0.1,
        spending=0.8,
        noise_points=4.0,
        typical_tasks=4,
        steps={
            "ship": Step(
                cost=1.0,
                moves_on=True,
                effect=-1.0,
                fits={"clean": 0.95, "doubtful": -0.40},
                pays={"blast_radius=wide": -0.10},
                gains=("needless_holds", "quality_improvement"),
                losses=("escaped_defects",),
            ),
            "canary": Step(
                cost=1.0,
                moves_on=True,
                effect=-0.60,
                fits={"clean": 0.05, "doubtful": 0.40},
                pays={"environment=production": 0.10},
            ),
            "smoke-test": Step(cost=1.05, looks=0.40, pays={"environment=development": 0.10}),
            "full-regression": Step(cost=1.20, looks=0.90, pays={"size=large": -0.30}),
            "compare-last-release": Step(
                cost=1.02, looks=0.30, pays={"track_record=healthy": 0.25, "track_record=failing": -0.15}
            ),
            "hold": Step(
                cost=1.0,
                moves_on=True,
                effect=-1.0,
                fits={"damning": 0.95, "doubtful": 0.15},
                gains=("escaped_defects", "quality_improvement"),
                losses=("needless_holds",),
            ),
        },
    ),
    WorldDeclaration(
        contract=VISUAL_TESTER,
        finding="difference",
        frequencies={"rendering-noise": 0.40, "layout": 0.35, "content": 0.25},
        leans={
            "environment=development": {"layout": 1.7},
            "environment=production": {"content": 1.7},
            "blast_radius=wide": {"rendering-noise": 1.5},
        },
        steps={
            "strict-pixels": Step(cost=0.9, effect=-0.35, fits={"content": 0.90, "rendering-noise": -0.60}),
            "tolerant-pixels": Step(cost=0.8, effect=-0.20, fits={"rendering-noise": 0.75}),
            "structural-similarity": Step(cost=1.1, effect=-0.25, fits={"layout": 0.90}),
            "perceptual-hash": Step(cost=1.05, looks=0.45),
            "regions": Step(cost=1.4, looks=0.80, pays={"size=large": -0.15}),
            "approved-baselines": Step(cost=0.6, effect=0.0, pays={"environment=production": 0.15}),
        },
    ),
    WorldDeclaration(
        contract=CHAOS_ENGINEER,
        finding="weakness",
        frequencies={"latency": 0.40, "crash": 0.30, "exhaustion": 0.30},
        leans={
            "environment=production": {"latency": 1.6},
            "environment=development": {"crash": 1.8},
            "size=large": {"exhaustion": 1.6},
        },
        typical_tasks=3,
        progress=Progress(
            feature="track_record", path=("failing", "mixed", "healthy"), remaining=(1.0, 0.85, 0.6), rate=0.2
        ),
        steps={
            "probe-one-instance": Step(cost=1.05, looks=0.50, pays={"environment=production": 0.10}),
            "replay-incident": Step(cost=1.4, looks=0.80),
            "add-latency": Step(cost=0.7, effect=-0.25, fits={"latency": 0.80}),
            "kill-process": Step(cost=0.8, effect=-0.30, fits={"crash": 0.85}),
            "exhaust-resources": Step(cost=1.1, effect=-0.35, fits={"exhaustion": 0.90}),
            "zone-outage": Step(
                cost=1.5, effect=0.15, pays={"blast_radius=wide": -0.40, "environment=production": -0.20}
            ),
        },
    ),
)
"""One declaration per agent, in the order of the roster."""
