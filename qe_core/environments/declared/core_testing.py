"""Worlds of core testing: suites to run, gaps to close, builds to judge, code to read.

What belongs here: what the actions of the six core-testing agents do. What does not: their contracts
(`qe_core.fleet`) and the project sessions of test-generator (`test_generation`).
"""

from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.environments.declared.test_generation import TEST_GENERATOR_WORLD
from qe_core.fleet.core_testing import COVERAGE_ANALYZER, QUALITY_GATE, TEST_EXECUTOR
from qe_core.fleet.static_analysis import CODE_COMPLEXITY, QUALITY_ANALYZER

CLOSING_GAP = Progress(
    feature="coverage_gap", path=("wide", "moderate", "narrow"), remaining=(1.0, 0.8, 0.5), rate=0.2
)
"""Effective work narrows the gap, and there is less to gain in a narrow one."""

WORLDS: tuple[WorldDeclaration, ...] = (
    TEST_GENERATOR_WORLD,
    WorldDeclaration(
        contract=TEST_EXECUTOR,
        finding="last_run",
        frequencies={"all-passed": 0.40, "new-failures": 0.35, "flaky-failures": 0.25},
        leans={
            "track_record=failing": {"new-failures": 2.0},
            "track_record=healthy": {"all-passed": 1.8},
            "coverage_gap=wide": {"flaky-failures": 1.4},
        },
        steps={
            "run-all": Step(cost=1.3, effect=0.15, pays={"duration=short": 0.15, "duration=long": -0.25}),
            "fast-first": Step(cost=1.15, looks=0.65, pays={"duration=long": -0.10}),
            "failed-first": Step(cost=0.8, effect=-0.35, fits={"new-failures": 0.85}),
            "changed-only": Step(
                cost=0.7, effect=-0.20, fits={"all-passed": 0.45}, pays={"duration=long": 0.15}
            ),
            "shuffle-parallel": Step(
                cost=0.9, effect=-0.25, fits={"all-passed": 0.55}, pays={"duration=short": -0.10}
            ),
            "retry-failures": Step(cost=0.9, effect=-0.40, fits={"flaky-failures": 0.85}),
        },
    ),
    WorldDeclaration(
        contract=COVERAGE_ANALYZER,
        finding="gap_kind",
        frequencies={"branches": 0.40, "error-paths": 0.35, "dead-code": 0.25},
        leans={"churn=busy": {"branches": 1.6}, "churn=calm": {"dead-code": 2.0}},
        typical_tasks=3,
        progress=CLOSING_GAP,
        steps={
            "line-report": Step(cost=1.1, looks=0.45),
            "context-map": Step(cost=1.6, looks=0.85, pays={"size=large": -0.15}),
            "rank-by-churn": Step(
                cost=0.9,
                effect=-0.10,
                fits={"branches": 0.25},
                pays={"churn=busy": 0.30, "churn=calm": -0.20},
            ),
            "send-branches": Step(cost=0.9, effect=-0.30, fits={"branches": 0.85}),
            "send-error-paths": Step(cost=1.0, effect=-0.30, fits={"error-paths": 0.90}),
            "send-for-deletion": Step(cost=0.6, effect=-0.65, fits={"dead-code": 0.80}),
        },
    ),
    WorldDeclaration(
        contract=QUALITY_GATE,
        finding="evidence",
        frequencies={"clean": 0.50, "doubtful": 0.15, "damning": 0.35},
        leans={
            "findings=none": {"clean": 1.8},
            "findings=many": {"damning": 1.8, "doubtful": 1.3},
            "track_record=failing": {"damning": 1.5},
        },
        unclear=("doubtful",),
        reported=0.1,
        spending=0.8,
        noise_points=4.0,
        typical_tasks=3,
        steps={
            "pass": Step(
                cost=1.0,
                moves_on=True,
                effect=-1.0,
                fits={"clean": 0.95, "doubtful": -0.35},
                gains=("needless_blocks", "quality_improvement"),
                losses=("escaped_defects",),
            ),
            "warn": Step(cost=1.0, moves_on=True, effect=-0.50, fits={"doubtful": 0.40, "clean": -0.05}),
            "smoke-run": Step(cost=1.05, looks=0.40),
            "full-run": Step(cost=1.20, looks=0.90, pays={"size=large": -0.30}),
            "compare-history": Step(
                cost=1.02, looks=0.30, pays={"track_record=healthy": 0.25, "track_record=failing": -0.15}
            ),
            "block": Step(
                cost=1.0,
                moves_on=True,
                effect=-1.0,
                fits={"damning": 0.95, "doubtful": 0.15},
                gains=("escaped_defects", "quality_improvement"),
                losses=("needless_blocks",),
            ),
        },
    ),
    WorldDeclaration(
        contract=QUALITY_ANALYZER,
        finding="smell",
        frequencies={"style": 0.40, "types": 0.35, "dead-code": 0.25},
        leans={"annotated=typed": {"types": 0.5, "dead-code": 1.5}, "annotated=untyped": {"types": 1.5}},
        steps={
            "ruff": Step(cost=0.7, effect=-0.15, fits={"style": 0.75}),
            "pylint": Step(cost=1.5, looks=0.80),
            "mypy": Step(cost=1.0, effect=-0.35, fits={"types": 0.90}, pays={"annotated=typed": 0.10}),
            "vulture": Step(cost=0.8, effect=-0.35, fits={"dead-code": 0.85}),
            "bandit": Step(cost=0.9, effect=-0.05, pays={"risk=high": 0.20}),
            "recurring-findings": Step(cost=1.1, looks=0.35, pays={"track_record=failing": 0.20}),
        },
    ),
    WorldDeclaration(
        contract=CODE_COMPLEXITY,
        finding="driver",
        frequencies={"branching": 0.40, "nesting": 0.30, "churn": 0.30},
        leans={
            "structure=procedural": {"nesting": 1.8},
            "structure=object-oriented": {"churn": 1.8},
            "coverage_gap=wide": {"branching": 1.5},
        },
        steps={
            "read-sample": Step(cost=1.3, looks=0.70, pays={"size=large": -0.15}),
            "cyclomatic": Step(cost=0.7, effect=-0.25, fits={"branching": 0.80}),
            "cognitive": Step(cost=0.9, effect=-0.25, fits={"nesting": 0.85}),
            "maintainability-index": Step(cost=1.0, effect=0.05, pays={"structure=object-oriented": 0.15}),
            "churn-weighted": Step(cost=0.9, effect=-0.35, fits={"churn": 0.90}),
            "agreeing-measures": Step(cost=1.4, looks=0.85, pays={"size=small": 0.05}),
        },
    ),
)
"""One declaration per core-testing agent, in the order of the roster."""
