"""Core testing without running anything: the agents that read code and measure it.

What belongs here: states, actions, rewards and contracts of quality-analyzer and code-complexity. What
does not: agents that run tests (`core_testing`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import Gain, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import Approach, Budget, Category, CoreTestingContext


class AnalyzerState(CoreTestingContext):
    """What is known of the code's smells: the dominant kind, how far it is annotated, time left."""

    smell: Annotated[str, Labels("unseen", "style", "types", "dead-code")]
    annotated: Annotated[
        str, Bins(edges=(0.5,), names=("untyped", "typed"), lower=0, upper=1, unit="share annotated")
    ]
    budget: Budget


class AnalyzerAction(StrEnum):
    """Which static analyser to spend time on."""

    RUFF = "ruff"
    PYLINT = "pylint"
    MYPY = "mypy"
    VULTURE = "vulture"
    BANDIT = "bandit"
    RECURRING_FINDINGS = "recurring-findings"


QUALITY_ANALYZER = AgentContract(
    name="quality-analyzer",
    category=Category.CORE_TESTING,
    description="Chooses which static analysers to spend time on.",
    state_model=AnalyzerState,
    moving=("smell", "budget"),
    actions=AnalyzerAction,
    approaches={
        AnalyzerAction.RUFF: Approach.QUICK,
        AnalyzerAction.PYLINT: Approach.THOROUGH,
        AnalyzerAction.MYPY: Approach.TARGETED,
        AnalyzerAction.VULTURE: Approach.EXPLORATORY,
        AnalyzerAction.BANDIT: Approach.GUARDED,
        AnalyzerAction.RECURRING_FINDINGS: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm("false_alarms", 0.10, Gain(5.0), "false findings avoided less false findings reported"),
        coverage_gain=0.0,
        defects_found=0.35,
        execution_speed=0.15,
        cost_efficiency=0.10,
        quality_improvement=0.25,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "real smells found for the seconds spent"),
    baseline_action=AnalyzerAction.RUFF,
)


class ComplexityState(CoreTestingContext):
    """What is known of the code's difficulty: what drives it, how it is built, time left."""

    driver: Annotated[str, Labels("unread", "branching", "nesting", "churn")]
    structure: Annotated[str, Labels("procedural", "object-oriented")]
    budget: Budget


class ComplexityAction(StrEnum):
    """Which measure to take and trust."""

    READ_SAMPLE = "read-sample"
    CYCLOMATIC = "cyclomatic"
    COGNITIVE = "cognitive"
    MAINTAINABILITY_INDEX = "maintainability-index"
    CHURN_WEIGHTED = "churn-weighted"
    AGREEING_MEASURES = "agreeing-measures"


CODE_COMPLEXITY = AgentContract(
    name="code-complexity",
    category=Category.CORE_TESTING,
    description="Chooses which complexity measure to trust for where defects hide.",
    state_model=ComplexityState,
    moving=("driver", "budget"),
    actions=ComplexityAction,
    approaches={
        ComplexityAction.READ_SAMPLE: Approach.EXPLORATORY,
        ComplexityAction.CYCLOMATIC: Approach.QUICK,
        ComplexityAction.COGNITIVE: Approach.TARGETED,
        ComplexityAction.MAINTAINABILITY_INDEX: Approach.THOROUGH,
        ComplexityAction.CHURN_WEIGHTED: Approach.REUSE,
        ComplexityAction.AGREEING_MEASURES: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm(
            "ranking_quality",
            0.40,
            Gain(0.3),
            "share of surviving mutants in the functions ranked first, above chance",
        ),
        coverage_gain=0.0,
        defects_found=0.20,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.10,
    ),
    horizon=10,
    success=SuccessRule(20.0, "functions ranked high hide more surviving mutants than chance"),
    baseline_action=ComplexityAction.CYCLOMATIC,
)
