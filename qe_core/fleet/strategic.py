"""Strategy: the agents that read requirements, watch production and plan the fleet's work.

What belongs here: states, actions, rewards and contracts of requirements-validator,
production-intelligence and fleet-commander. What does not: the work that is planned.
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Labels
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import Approach, Budget, Category, StrategicContext


class RequirementsState(StrategicContext):
    """What is known of the text: which kind of defect shows, reading time left."""

    defect_kind: Annotated[str, Labels("unread", "wording", "contradiction", "untestable")]
    budget: Budget


class RequirementsAction(StrEnum):
    """Which check to run over the text."""

    SKIM = "skim"
    READABILITY = "readability"
    AMBIGUITY_TERMS = "ambiguity-terms"
    CONSISTENCY = "consistency"
    TESTABILITY = "testability"
    KNOWN_DEFECTS = "known-defects"


REQUIREMENTS_VALIDATOR = AgentContract(
    name="requirements-validator",
    category=Category.STRATEGIC,
    description="Chooses which checks to run over a requirement's text.",
    state_model=RequirementsState,
    moving=("ambiguity", "defect_kind", "budget"),
    actions=RequirementsAction,
    approaches={
        RequirementsAction.SKIM: Approach.EXPLORATORY,
        RequirementsAction.READABILITY: Approach.QUICK,
        RequirementsAction.AMBIGUITY_TERMS: Approach.TARGETED,
        RequirementsAction.CONSISTENCY: Approach.THOROUGH,
        RequirementsAction.TESTABILITY: Approach.GUARDED,
        RequirementsAction.KNOWN_DEFECTS: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm("precision", 0.15, Gain(1.0), "share of remarks accepted less share rejected"),
        coverage_gain=0.05,
        defects_found=0.40,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.15,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "real defects of the text are named, sound sentences are left alone"),
    baseline_action=RequirementsAction.READABILITY,
)


class ProductionState(StrategicContext):
    """What is known of the metric: its shape, computing time left."""

    shape: Annotated[str, Labels("unseen", "spiky", "drifting", "seasonal")]
    budget: Budget


class ProductionAction(StrEnum):
    """Which detector to run."""

    ROBUST_Z_SCORE = "robust-z-score"
    EWMA = "ewma"
    SEASONAL = "seasonal"
    ISOLATION_FOREST = "isolation-forest"
    CHANGE_POINT = "change-point"
    KNOWN_INCIDENTS = "known-incidents"


PRODUCTION_INTELLIGENCE = AgentContract(
    name="production-intelligence",
    category=Category.STRATEGIC,
    description="Chooses which detector finds the anomalies of a metric.",
    state_model=ProductionState,
    moving=("shape", "budget"),
    actions=ProductionAction,
    approaches={
        ProductionAction.ROBUST_Z_SCORE: Approach.QUICK,
        ProductionAction.EWMA: Approach.GUARDED,
        ProductionAction.SEASONAL: Approach.THOROUGH,
        ProductionAction.ISOLATION_FOREST: Approach.EXPLORATORY,
        ProductionAction.CHANGE_POINT: Approach.TARGETED,
        ProductionAction.KNOWN_INCIDENTS: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm("false_alarms", 0.20, Gain(3.0), "quiet periods left alone less false alarms raised"),
        RewardTerm(
            "detection_delay", 0.10, RelativeToExpected(), "minutes until detection / minutes expected"
        ),
        coverage_gain=0.0,
        defects_found=0.40,
        execution_speed=0.05,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "anomalies are found early and people are not woken for nothing"),
    baseline_action=ProductionAction.ROBUST_Z_SCORE,
)


class CommanderState(StrategicContext):
    """What is known of the set of tasks: how they depend on each other, capacity left."""

    dependencies: Annotated[str, Labels("unknown", "independent", "chained", "layered")]
    budget: Budget


class CommanderAction(StrEnum):
    """How to plan the next batch of tasks."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    HIERARCHICAL = "hierarchical"
    HYBRID = "hybrid"
    DRY_RUN = "dry-run"
    PAST_PLAN = "past-plan"


FLEET_COMMANDER = AgentContract(
    name="fleet-commander",
    category=Category.STRATEGIC,
    description="Chooses a sequential, parallel, hierarchical or hybrid plan for a set of tasks.",
    state_model=CommanderState,
    moving=("dependencies", "budget"),
    actions=CommanderAction,
    approaches={
        CommanderAction.SEQUENTIAL: Approach.GUARDED,
        CommanderAction.PARALLEL: Approach.QUICK,
        CommanderAction.HIERARCHICAL: Approach.THOROUGH,
        CommanderAction.HYBRID: Approach.EXPLORATORY,
        CommanderAction.DRY_RUN: Approach.TARGETED,
        CommanderAction.PAST_PLAN: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm(
            "makespan_saved", 0.45, Gain(0.3), "share of the expected makespan saved; 0.3 is full scale"
        ),
        coverage_gain=0.05,
        defects_found=0.10,
        execution_speed=0.10,
        cost_efficiency=0.20,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "the tasks finish sooner than expected without idle machines"),
    baseline_action=CommanderAction.SEQUENTIAL,
)
