"""Specialised work: the agents for releases, visual comparison and fault injection.

What belongs here: states, actions, rewards and contracts of deployment-readiness, visual-tester and
chaos-engineer. What does not: the gate on a single build (`core_testing`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Labels
from qe_core.fleet.rewards import Gain, RewardTerm, default_rewards
from qe_core.fleet.vocabulary import Approach, Budget, Category, SpecializedContext


class ReleaseState(SpecializedContext):
    """What is known of the candidate at hand: evidence, time left before the release window closes."""

    evidence: Annotated[str, Labels("missing", "clean", "doubtful", "damning")]
    budget: Budget


class ReleaseAction(StrEnum):
    """Ship, hold, or learn more first."""

    SHIP = "ship"
    CANARY = "canary"
    SMOKE_TEST = "smoke-test"
    FULL_REGRESSION = "full-regression"
    COMPARE_LAST_RELEASE = "compare-last-release"
    HOLD = "hold"


DEPLOYMENT_READINESS = AgentContract(
    name="deployment-readiness",
    category=Category.SPECIALIZED,
    description="Decides whether to ship, to try on a few, to hold, or to ask for evidence first.",
    state_model=ReleaseState,
    moving=("evidence", "budget"),
    actions=ReleaseAction,
    approaches={
        ReleaseAction.SHIP: Approach.QUICK,
        ReleaseAction.CANARY: Approach.EXPLORATORY,
        ReleaseAction.SMOKE_TEST: Approach.TARGETED,
        ReleaseAction.FULL_REGRESSION: Approach.THOROUGH,
        ReleaseAction.COMPARE_LAST_RELEASE: Approach.REUSE,
        ReleaseAction.HOLD: Approach.GUARDED,
    },
    reward=default_rewards(
        RewardTerm(
            "escaped_defects", 0.40, Gain(1.0), "1 when a defective release is held, -1 when it goes out"
        ),
        RewardTerm("needless_holds", 0.30, Gain(1.0), "1 when a sound release goes out, -1 when it is held"),
        coverage_gain=0.0,
        defects_found=0.0,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.05,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(10.0, "sound candidates go out, defective ones do not, while the window is open"),
    baseline_action=ReleaseAction.CANARY,
)


class VisualState(SpecializedContext):
    """What is known of the pages: what kind of difference shows, comparisons left."""

    difference: Annotated[str, Labels("unseen", "rendering-noise", "layout", "content")]
    budget: Budget


class VisualAction(StrEnum):
    """How to compare rendered pages."""

    STRICT_PIXELS = "strict-pixels"
    TOLERANT_PIXELS = "tolerant-pixels"
    STRUCTURAL_SIMILARITY = "structural-similarity"
    PERCEPTUAL_HASH = "perceptual-hash"
    REGIONS = "regions"
    APPROVED_BASELINES = "approved-baselines"


VISUAL_TESTER = AgentContract(
    name="visual-tester",
    category=Category.SPECIALIZED,
    description="Chooses how to compare pages: pixels, structure, perceptual hash or regions.",
    state_model=VisualState,
    moving=("difference", "budget"),
    actions=VisualAction,
    approaches={
        VisualAction.STRICT_PIXELS: Approach.THOROUGH,
        VisualAction.TOLERANT_PIXELS: Approach.GUARDED,
        VisualAction.STRUCTURAL_SIMILARITY: Approach.EXPLORATORY,
        VisualAction.PERCEPTUAL_HASH: Approach.QUICK,
        VisualAction.REGIONS: Approach.TARGETED,
        VisualAction.APPROVED_BASELINES: Approach.REUSE,
    },
    reward=default_rewards(
        RewardTerm("false_alarms", 0.20, Gain(3.0), "harmless differences passed less those reported"),
        coverage_gain=0.05,
        defects_found=0.40,
        execution_speed=0.10,
        cost_efficiency=0.10,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "visual defects are reported, harmless noise is not"),
    baseline_action=VisualAction.TOLERANT_PIXELS,
)


class ChaosState(SpecializedContext):
    """What is known of the system's resilience: the suspected weakness, error budget left."""

    weakness: Annotated[str, Labels("unknown", "latency", "crash", "exhaustion")]
    budget: Budget


class ChaosAction(StrEnum):
    """Which fault to inject, and how wide."""

    PROBE_ONE_INSTANCE = "probe-one-instance"
    REPLAY_INCIDENT = "replay-incident"
    ADD_LATENCY = "add-latency"
    KILL_PROCESS = "kill-process"
    EXHAUST_RESOURCES = "exhaust-resources"
    ZONE_OUTAGE = "zone-outage"


CHAOS_ENGINEER = AgentContract(
    name="chaos-engineer",
    category=Category.SPECIALIZED,
    description="Chooses which fault to inject and how wide, without doing the harm it looks for.",
    state_model=ChaosState,
    moving=("track_record", "weakness", "budget"),
    actions=ChaosAction,
    approaches={
        ChaosAction.PROBE_ONE_INSTANCE: Approach.QUICK,
        ChaosAction.REPLAY_INCIDENT: Approach.REUSE,
        ChaosAction.ADD_LATENCY: Approach.GUARDED,
        ChaosAction.KILL_PROCESS: Approach.TARGETED,
        ChaosAction.EXHAUST_RESOURCES: Approach.EXPLORATORY,
        ChaosAction.ZONE_OUTAGE: Approach.THOROUGH,
    },
    reward=default_rewards(
        RewardTerm("harm_avoided", 0.20, Gain(1.0), "harm kept inside the blast radius, -1 when it spreads"),
        coverage_gain=0.05,
        defects_found=0.40,
        execution_speed=0.05,
        cost_efficiency=0.15,
        quality_improvement=0.10,
        pattern_reuse=0.05,
    ),
    horizon=10,
    success=SuccessRule(20.0, "weaknesses are shown and nobody is harmed"),
    baseline_action=ChaosAction.PROBE_ONE_INSTANCE,
    similarity_group="security",
)
