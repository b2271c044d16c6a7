"""Worlds of performance and security: services with planted slow-downs and weaknesses.

What belongs here: what the actions of the two agents do. What does not: their contracts
(`qe_core.fleet.performance_security`).
"""

from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.fleet.performance_security import PERFORMANCE_TESTER, SECURITY_SCANNER

WORLDS: tuple[WorldDeclaration, ...] = (
    WorldDeclaration(
        contract=PERFORMANCE_TESTER,
        finding="bottleneck",
        frequencies={"throughput": 0.40, "burst": 0.35, "leak": 0.25},
        leans={
            "exposure=public": {"burst": 1.8},
            "exposure=internal": {"leak": 1.8},
            "known_issues=some": {"throughput": 1.4},
        },
        steps={
            "micro-benchmark": Step(cost=1.1, looks=0.45, pays={"size=small": 0.10}),
            "load": Step(cost=1.0, effect=-0.20, fits={"throughput": 0.85}),
            "stress": Step(cost=1.2, effect=0.10, pays={"exposure=public": 0.10}),
            "spike": Step(cost=0.7, effect=-0.30, fits={"burst": 0.85}),
            "soak": Step(cost=1.6, effect=-0.40, fits={"leak": 0.95}),
            "replay-profile": Step(cost=1.4, looks=0.75, pays={"known_issues=some": 0.15}),
        },
    ),
    WorldDeclaration(
        contract=SECURITY_SCANNER,
        finding="suspicion",
        frequencies={"injection": 0.40, "secrets": 0.25, "dependencies": 0.35},
        leans={
            "exposure=public": {"injection": 1.8},
            "exposure=internal": {"secrets": 2.0},
            "track_record=failing": {"dependencies": 1.5},
        },
        typical_tasks=3,
        progress=Progress(feature="known_issues", path=("none", "some"), remaining=(1.0, 0.75), rate=0.2),
        steps={
            "static-scan": Step(cost=0.8, effect=-0.05, fits={"injection": 0.40}),
            "secret-scan": Step(cost=0.6, effect=-0.35, fits={"secrets": 0.85}),
            "dependency-audit": Step(cost=0.8, effect=-0.35, fits={"dependencies": 0.85}),
            "fuzz": Step(cost=1.3, effect=-0.30, fits={"injection": 0.95}, pays={"exposure=public": 0.10}),
            "full-scan": Step(cost=1.7, looks=0.90),
            "known-patterns": Step(cost=1.1, looks=0.45, pays={"known_issues=some": 0.20}),
        },
    ),
)
"""One declaration per agent, in the order of the roster."""
