"""Performance and security: the agents that load a service and look for its weaknesses.

What belongs here: states, actions, rewards and contracts of performance-tester and security-scanner.
What does not: fault injection, which is a specialised agent's (`specialized`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Labels
from qe_core.fleet.rewards import Gain, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import Approach, Budget, Category, PerformanceSecurityContext


class PerformanceState(PerformanceSecurityContext):
    """What is known of the service's limits: the suspected bottleneck, machine time left."""

    bottleneck: Annotated[str, Labels("unknown", "throughput", "burst", "leak")]
    budget: Budget


class PerformanceAction(StrEnum):
    """Which load to put on the service."""

    MICRO_BENCHMARK = "micro-benchmark"
    LOAD = "load"
    STRESS = "stress"
    SPIKE = "spike"
    SOAK = "soak"
    REPLAY_PROFILE = "replay-profile"


PERFORMANCE_TESTER = AgentContract(
    name="performance-tester",
    category=Category.PERFORMANCE_SECURITY,
    description="Chooses which kind of load shows a slow-down soonest.",
    state_model=PerformanceState,
    moving=("bottleneck", "budget"),
    actions=PerformanceAction,
    approaches={
        PerformanceAction.MICRO_BENCHMARK: Approach.QUICK,
        PerformanceAction.LOAD: Approach.THOROUGH,
        PerformanceAction.STRESS: Approach.EXPLORATORY,
        PerformanceAction.SPIKE: Approach.TARGETED,
        PerformanceAction.SOAK: Approach.GUARDED,
        PerformanceAction.REPLAY_PROFILE: Approach.REUSE,
    },
    reward=default_rewards(
        coverage_gain=0.05,
        defects_found=0.45,
        execution_speed=0.20,
        cost_efficiency=0.15,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "slow-downs found before the machine time is spent"),
    baseline_action=PerformanceAction.LOAD,
)


class SecurityState(PerformanceSecurityContext):
    """What is known of the attack surface: the suspected weakness, scanning time left."""

    suspicion: Annotated[str, Labels("unknown", "injection", "secrets", "dependencies")]
    budget: Budget


class SecurityAction(StrEnum):
    """Which scan to run."""

    STATIC_SCAN = "static-scan"
    SECRET_SCAN = "secret-scan"  # noqa: S105 - a scan, not a secret
    DEPENDENCY_AUDIT = "dependency-audit"
    FUZZ = "fuzz"
    FULL_SCAN = "full-scan"
    KNOWN_PATTERNS = "known-patterns"


SECURITY_SCANNER = AgentContract(
    name="security-scanner",
    category=Category.PERFORMANCE_SECURITY,
    description="Chooses which scan finds weaknesses without drowning people in false alarms.",
    state_model=SecurityState,
    moving=("known_issues", "suspicion", "budget"),
    actions=SecurityAction,
    approaches={
        SecurityAction.STATIC_SCAN: Approach.TARGETED,
        SecurityAction.SECRET_SCAN: Approach.QUICK,
        SecurityAction.DEPENDENCY_AUDIT: Approach.GUARDED,
        SecurityAction.FUZZ: Approach.EXPLORATORY,
        SecurityAction.FULL_SCAN: Approach.THOROUGH,
        SecurityAction.KNOWN_PATTERNS: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm("precision", 0.15, Gain(1.0), "share of findings confirmed less share refuted"),
        coverage_gain=0.05,
        defects_found=0.45,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "confirmed weaknesses outweigh the time and the false alarms"),
    baseline_action=SecurityAction.STATIC_SCAN,
    similarity_group="security",
)
