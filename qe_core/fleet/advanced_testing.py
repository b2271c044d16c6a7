"""Advanced testing: the agents for changes, test data, interfaces and flaky tests.

What belongs here: states, actions, rewards and contracts of regression-risk-analyzer,
test-data-architect, api-contract-validator and flaky-test-hunter. What does not: running the suites
they select (`core_testing`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Labels
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import AdvancedTestingContext, Approach, Budget, Category


class RegressionState(AdvancedTestingContext):
    """What is known of a change: how its impact spreads, test time left."""

    impact: Annotated[str, Labels("unknown", "local", "spreading", "configuration")]
    budget: Budget


class RegressionAction(StrEnum):
    """How to select and rank tests for the change."""

    RECENT_FIRST = "recent-first"
    IMPORT_GRAPH = "import-graph"
    COVERAGE_MAP = "coverage-map"
    FAILURE_HISTORY = "failure-history"
    RANDOM_SAMPLE = "random-sample"
    RUN_EVERYTHING = "run-everything"


REGRESSION_RISK_ANALYZER = AgentContract(
    name="regression-risk-analyzer",
    category=Category.ADVANCED_TESTING,
    description="Chooses how to select and rank the tests that a change needs.",
    state_model=RegressionState,
    moving=("impact", "budget"),
    actions=RegressionAction,
    approaches={
        RegressionAction.RECENT_FIRST: Approach.QUICK,
        RegressionAction.IMPORT_GRAPH: Approach.THOROUGH,
        RegressionAction.COVERAGE_MAP: Approach.TARGETED,
        RegressionAction.FAILURE_HISTORY: Approach.REUSE,
        RegressionAction.RANDOM_SAMPLE: Approach.EXPLORATORY,
        RegressionAction.RUN_EVERYTHING: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm(
            "ranking_quality",
            0.25,
            Gain(0.5),
            "cost-aware average percentage of faults detected (APFDc), above a random order's",
        ),
        coverage_gain=0.05,
        defects_found=0.30,
        execution_speed=0.20,
        cost_efficiency=0.10,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "the faults of the change surface early in the order"),
    baseline_action=RegressionAction.RUN_EVERYTHING,
    similarity_group="test-execution",
)


class DataState(AdvancedTestingContext):
    """What is known of the inputs: where they are weakly tested, effort left."""

    weak_spot: Annotated[str, Labels("unknown", "limits", "combinations", "formats")]
    budget: Budget


class DataAction(StrEnum):
    """How to make the next batch of test data."""

    BOUNDARY = "boundary"
    PAIRWISE = "pairwise"
    SCHEMA_DRIVEN = "schema-driven"
    RANDOM = "random"
    REUSED_DATA = "reused-data"
    VALIDATED_SAMPLE = "validated-sample"


TEST_DATA_ARCHITECT = AgentContract(
    name="test-data-architect",
    category=Category.ADVANCED_TESTING,
    description="Chooses how to make test data: boundary, pairwise, schema-driven, random or reused.",
    state_model=DataState,
    moving=("weak_spot", "budget"),
    actions=DataAction,
    approaches={
        DataAction.BOUNDARY: Approach.QUICK,
        DataAction.PAIRWISE: Approach.THOROUGH,
        DataAction.SCHEMA_DRIVEN: Approach.TARGETED,
        DataAction.RANDOM: Approach.EXPLORATORY,
        DataAction.REUSED_DATA: Approach.REUSE,
        DataAction.VALIDATED_SAMPLE: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm("edge_cases_reached", 0.20, Gain(5.0), "input partitions reached for the first time"),
        coverage_gain=0.25,
        defects_found=0.25,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "the data reach branches and mutants that older data did not"),
    baseline_action=DataAction.RANDOM,
    similarity_group="test-generation",
)


class ApiState(AdvancedTestingContext):
    """What is known of the interface: the kind of breach suspected, requests left."""

    breach: Annotated[str, Labels("unknown", "schema", "sequence", "status-codes")]
    budget: Budget


class ApiAction(StrEnum):
    """Which phase of contract testing to run."""

    SCHEMA_DIFF = "schema-diff"
    EXAMPLES = "examples"
    COVERAGE_PHASE = "coverage-phase"
    FUZZING = "fuzzing"
    STATEFUL = "stateful"
    NEGATIVE_CASES = "negative-cases"


API_CONTRACT_VALIDATOR = AgentContract(
    name="api-contract-validator",
    category=Category.ADVANCED_TESTING,
    description="Chooses which phase of testing shows where a service breaks its published contract.",
    state_model=ApiState,
    moving=("breach", "budget"),
    actions=ApiAction,
    approaches={
        ApiAction.SCHEMA_DIFF: Approach.QUICK,
        ApiAction.EXAMPLES: Approach.REUSE,
        ApiAction.COVERAGE_PHASE: Approach.THOROUGH,
        ApiAction.FUZZING: Approach.EXPLORATORY,
        ApiAction.STATEFUL: Approach.TARGETED,
        ApiAction.NEGATIVE_CASES: Approach.GUARDED,
    },
    reward=default_rewards(
        coverage_gain=0.15,
        defects_found=0.45,
        execution_speed=0.15,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "breaches found within the requests allowed"),
    baseline_action=ApiAction.COVERAGE_PHASE,
)


class FlakyState(AdvancedTestingContext):
    """What is known of a suspect suite: the likely cause of its flakiness, reruns left."""

    suspected_cause: Annotated[str, Labels("unknown", "order", "timing", "environment")]
    budget: Budget


class FlakyAction(StrEnum):
    """How to tell flaky tests from sound ones."""

    READ_HISTORY = "read-history"
    RERUN = "rerun"
    SHUFFLE = "shuffle"
    ISOLATE = "isolate"
    STRESS = "stress"
    QUARANTINE = "quarantine"


FLAKY_TEST_HUNTER = AgentContract(
    name="flaky-test-hunter",
    category=Category.ADVANCED_TESTING,
    description="Chooses how to expose flaky tests, and when to quarantine them.",
    state_model=FlakyState,
    moving=("instability", "suspected_cause", "budget"),
    actions=FlakyAction,
    approaches={
        FlakyAction.READ_HISTORY: Approach.REUSE,
        FlakyAction.RERUN: Approach.QUICK,
        FlakyAction.SHUFFLE: Approach.EXPLORATORY,
        FlakyAction.ISOLATE: Approach.TARGETED,
        FlakyAction.STRESS: Approach.THOROUGH,
        FlakyAction.QUARANTINE: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm("f1", 0.40, Gain(0.5), "change in F1 of the flaky tests named; 0.5 is full scale"),
        RewardTerm(
            "missed_flaky", 0.25, Gain(2.0), "flaky tests no longer missed less newly missed; dearer than f1"
        ),
        RewardTerm("rerun_time", 0.15, RelativeToExpected(), "seconds of reruns / seconds expected of them"),
        coverage_gain=0.0,
        defects_found=0.0,
        execution_speed=0.0,
        cost_efficiency=0.10,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(12.0, "flaky tests are named with few missed and few accused wrongly"),
    baseline_action=FlakyAction.RERUN,
)
