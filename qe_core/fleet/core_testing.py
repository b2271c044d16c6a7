"""Core testing: the agents that run suites, find coverage gaps and hold the quality gate.

What belongs here: states, actions, rewards and contracts of test-executor, coverage-analyzer and
quality-gate. What does not: test-generator (`test_generation`), the two agents that read code without
running it (`static_analysis`) and the worlds agents are tried in (`qe_core.environments`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import Approach, Budget, Category, CoreTestingContext


class ExecutorState(CoreTestingContext):
    """What is known before a run: what the last run showed, how long the suite takes, time left."""

    last_run: Annotated[str, Labels("not-run", "all-passed", "new-failures", "flaky-failures")]
    duration: Annotated[
        str, Bins(edges=(60, 600), names=("short", "medium", "long"), lower=0, unit="seconds")
    ]
    budget: Budget


class ExecutorAction(StrEnum):
    """How to run the suite next."""

    RUN_ALL = "run-all"
    FAST_FIRST = "fast-first"
    FAILED_FIRST = "failed-first"
    CHANGED_ONLY = "changed-only"
    SHUFFLE_PARALLEL = "shuffle-parallel"
    RETRY_FAILURES = "retry-failures"


TEST_EXECUTOR = AgentContract(
    name="test-executor",
    category=Category.CORE_TESTING,
    description="Chooses how to run a suite: order, selection, parallelism and retries.",
    state_model=ExecutorState,
    moving=("last_run", "budget"),
    actions=ExecutorAction,
    approaches={
        ExecutorAction.RUN_ALL: Approach.THOROUGH,
        ExecutorAction.FAST_FIRST: Approach.QUICK,
        ExecutorAction.FAILED_FIRST: Approach.REUSE,
        ExecutorAction.CHANGED_ONLY: Approach.TARGETED,
        ExecutorAction.SHUFFLE_PARALLEL: Approach.EXPLORATORY,
        ExecutorAction.RETRY_FAILURES: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm(
            "feedback_time",
            0.15,
            RelativeToExpected(),
            "seconds to the first real failure / seconds expected of the suite",
        ),
        coverage_gain=0.10,
        defects_found=0.35,
        execution_speed=0.15,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "the suite's failures are shown and sorted within the time given"),
    baseline_action=ExecutorAction.RUN_ALL,
    similarity_group="test-execution",
)


class CoverageState(CoreTestingContext):
    """What is known of the gap: which kind dominates, how busy the code is, analysis time left."""

    gap_kind: Annotated[str, Labels("unknown", "branches", "error-paths", "dead-code")]
    churn: Annotated[str, Bins(edges=(5,), names=("calm", "busy"), lower=0, unit="changes a month")]
    budget: Budget


class CoverageAction(StrEnum):
    """Which analysis to run, or what to send on."""

    LINE_REPORT = "line-report"
    CONTEXT_MAP = "context-map"
    RANK_BY_CHURN = "rank-by-churn"
    SEND_BRANCHES = "send-branches"
    SEND_ERROR_PATHS = "send-error-paths"
    SEND_FOR_DELETION = "send-for-deletion"


COVERAGE_ANALYZER = AgentContract(
    name="coverage-analyzer",
    category=Category.CORE_TESTING,
    description="Chooses which gap analysis to run and what to send on to be tested or deleted.",
    state_model=CoverageState,
    moving=("coverage_gap", "gap_kind", "budget"),
    actions=CoverageAction,
    approaches={
        CoverageAction.LINE_REPORT: Approach.QUICK,
        CoverageAction.CONTEXT_MAP: Approach.THOROUGH,
        CoverageAction.RANK_BY_CHURN: Approach.REUSE,
        CoverageAction.SEND_BRANCHES: Approach.TARGETED,
        CoverageAction.SEND_ERROR_PATHS: Approach.EXPLORATORY,
        CoverageAction.SEND_FOR_DELETION: Approach.GUARDED,
    },
    reward=default_rewards(
        coverage_gain=0.45,
        defects_found=0.10,
        execution_speed=0.15,
        cost_efficiency=0.10,
        quality_improvement=0.15,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "what was sent on closed a gap worth the analysis"),
    baseline_action=CoverageAction.SEND_BRANCHES,
    similarity_group="coverage-analysis",
)


class GateState(CoreTestingContext):
    """What is known of the build at hand: evidence, static findings, time left for the series of builds."""

    evidence: Annotated[str, Labels("missing", "clean", "doubtful", "damning")]
    findings: Annotated[
        str, Bins(edges=(1, 10), names=("none", "some", "many"), lower=0, unit="static findings")
    ]
    budget: Budget


class GateAction(StrEnum):
    """Decide on the build, or ask for evidence first."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    SMOKE_RUN = "smoke-run"
    FULL_RUN = "full-run"
    COMPARE_HISTORY = "compare-history"
    BLOCK = "block"


QUALITY_GATE = AgentContract(
    name="quality-gate",
    category=Category.CORE_TESTING,
    description="Decides whether a build passes, passes with a warning or is blocked, or asks for evidence.",
    state_model=GateState,
    moving=("evidence", "budget"),
    actions=GateAction,
    approaches={
        GateAction.PASS: Approach.QUICK,
        GateAction.WARN: Approach.EXPLORATORY,
        GateAction.SMOKE_RUN: Approach.TARGETED,
        GateAction.FULL_RUN: Approach.THOROUGH,
        GateAction.COMPARE_HISTORY: Approach.REUSE,
        GateAction.BLOCK: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm(
            "escaped_defects", 0.40, Gain(1.0), "1 when a defective build is stopped, -1 when it gets through"
        ),
        RewardTerm(
            "needless_blocks", 0.30, Gain(1.0), "1 when a sound build goes on at once, -1 when it is blocked"
        ),
        coverage_gain=0.0,
        defects_found=0.0,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(15.0, "right verdicts over a series of builds, without wearing out those who wait"),
    baseline_action=GateAction.WARN,
    similarity_group="coverage-analysis",
)
