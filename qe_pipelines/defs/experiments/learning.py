"""What learning and sharing are worth, as assets: the experiments behind the claims, with their tables.

What belongs here: which worlds and seeds, and how results are shown and judged. What does not: the
experiments (`qe_core.runtime.experiments`). They need no database and run on demand only: neither the graph's
run nor a schedule includes them.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import dagster as dg
import numpy as np
from pydantic import Field
from scipy.stats import binom

from qe_core.environments.catalogue import declarations
from qe_core.fleet import registry
from qe_core.hierarchy.transfer_manager import TransferLearningManager
from qe_core.runtime.experiments.convergence import CHECKPOINTS, TARGET, LearningCurve, convergence
from qe_core.runtime.experiments.convergence_picture import draw_curves
from qe_core.runtime.experiments.hierarchy import LOOKUPS, LookupRegret, default_lookup, lookup_regret
from qe_core.runtime.experiments.newcomer import Way
from qe_core.runtime.experiments.transfer import CHECKPOINTS as NEWCOMER_CHECKPOINTS
from qe_core.runtime.experiments.transfer import TARGETS, NewcomerCurve, newcomers, saved
from qe_core.runtime.experiments.transfer_report import draw_newcomers, markdown_of
from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.pictures import drawn_picture
from qe_pipelines.resources import FleetSettings
from qe_pipelines.verdicts import verdict

Experiment: TypeAlias = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]
"""What an experiment's asset yields: what was found, then whether the claim behind it holds."""

ERROR_RATE = 0.001
"""How often a claim that holds may fail its check by chance."""

STANDARD_ERRORS = 3.0
MATTERS = 0.02
"""A default is beaten where another rule is better by more than so many errors and by what matters."""

REACHED = dg.AssetCheckSpec(
    "the_optimum_is_reached",
    asset="convergence_experiment",
    description="19 of 20 sessions reach 95 % of the exact optimum, as far as these few can tell.",
)
NO_LOSS = dg.AssetCheckSpec(
    "sharing_does_not_delay_newcomers",
    asset="transfer_experiment",
    description="Neither transfer nor the hierarchy costs newcomers episodes beyond the error.",
)
BEST_LOOKUP = dg.AssetCheckSpec(
    "the_default_lookup_is_not_beaten",
    asset="hierarchy_experiment",
    description="No other rule that shares has less regret than the one in the settings, beyond the error.",
)


class ConvergenceConfig(dg.Config):
    """Who learns alone, where and how often; the defaults take about a minute."""

    agents: list[str] = Field(default=[], description="Names; none for all with a simulated world.")
    worlds: list[int] = Field(default=[0], min_length=1, description="World seeds.")
    seeds: int = Field(default=2, ge=1, description="Training seeds in each world.")


class TransferConfig(dg.Config):
    """Who is a newcomer, and where; the defaults take about a minute."""

    agents: list[str] = Field(default=[], description="Names; none for all with a similarity group.")
    worlds: list[int] = Field(default=[0], min_length=1, description="World seeds.")


class HierarchyConfig(dg.Config):
    """Where the rules of lookup are compared; the defaults take about a minute."""

    worlds: list[int] = Field(default=[0, 1, 2], min_length=2, description="World seeds, two or more.")


@dg.asset(group_name=Stage.EXPERIMENTS, owners=OWNERS, kinds={"python"}, check_specs=[REACHED])
def convergence_experiment(config: ConvergenceConfig, settings: FleetSettings) -> Experiment:
    """How close agents come to the exact optimum of their simulated worlds, learning alone."""
    contracts = [registry().get(name) for name in config.agents or declarations()]
    curves = list(convergence(contracts, config.worlds, config.seeds, settings.values))
    sessions = sum(len(curve.shares) for curve in curves)
    reached = sum(curve.seeds_reached for curve in curves)
    yield dg.MaterializeResult(
        metadata={
            "sessions": sessions,
            "sessions that reach 95 %": reached,
            "by agent and world": dg.MetadataValue.md(curves_table(curves)),
            "learning curves": drawn_picture("learning curves", lambda path: draw_curves(curves, path)),
        },
    )
    yield judged_curves(curves)


@dg.asset(group_name=Stage.EXPERIMENTS, owners=OWNERS, kinds={"python"}, check_specs=[NO_LOSS])
def transfer_experiment(config: TransferConfig, settings: FleetSettings) -> Experiment:
    """How fast newcomers learn when the others of their fleet have learned already."""
    manager = TransferLearningManager.of(registry(), settings.values)
    chosen = config.agents or [name for name in declarations() if manager.groups_of(name)]
    curves = list(newcomers(chosen, config.worlds, settings.values))
    yield dg.MaterializeResult(
        metadata={
            "worlds": len(config.worlds),
            "episodes needed": dg.MetadataValue.md(markdown_of(curves)),
            "newcomers": drawn_picture("newcomers", lambda path: draw_newcomers(curves, path)),
        },
    )
    yield judged_newcomers(curves)


@dg.asset(group_name=Stage.EXPERIMENTS, owners=OWNERS, kinds={"python"}, check_specs=[BEST_LOOKUP])
def hierarchy_experiment(config: HierarchyConfig, settings: FleetSettings) -> Experiment:
    """What each rule of lookup costs fleets of several ages."""
    found = lookup_regret(config.worlds, settings.values)
    yield dg.MaterializeResult(
        metadata={
            "worlds": len(config.worlds),
            "regret after episodes": dg.MetadataValue.md(found.markdown()),
        },
    )
    yield judged_lookups(found, default_lookup(settings.values))


def curves_table(curves: Sequence[LearningCurve]) -> str:
    """Return one line for each agent and world, in Markdown."""
    marks = " | ".join(f"{count:,}" for count in curves[0].checkpoints)
    lines = [
        f"| agent | world | optimum | random | best fixed | {marks} | worst | ≥ {TARGET:.0%} |",
        "|---|---|---|---|---|" + "---|" * len(curves[0].checkpoints) + "---|---|",
    ]
    for curve in curves:
        means = " | ".join(f"{mean:.2f}" for mean in curve.shares.mean(axis=0))
        lines.append(
            f"| {curve.agent} | {curve.world_seed} | {curve.optimum:.0f} | {curve.random:.0f} | "
            f"{curve.best_fixed:.0f} | {means} | {curve.shares[:, -1].min():.3f} | "
            f"{curve.seeds_reached}/{len(curve.shares)} |"
        )
    return "\n".join(lines) + "\n"


def judged_curves(curves: Sequence[LearningCurve]) -> dg.AssetCheckResult:
    """Return whether so many sessions miss the target as would be rare if one in twenty did."""
    sessions = sum(len(curve.shares) for curve in curves)
    missed = [
        f"{curve.agent} in world {curve.world_seed}: {len(curve.shares) - curve.seeds_reached} of "
        f"{len(curve.shares)} sessions stay below {TARGET:.0%}"
        for curve in curves
        if curve.seeds_reached < len(curve.shares)
    ]
    allowed = int(binom.isf(ERROR_RATE, sessions, 1.0 - TARGET))
    misses = sessions - sum(curve.seeds_reached for curve in curves)
    looked_at = f"{misses} of {sessions} sessions of {CHECKPOINTS[-1]:,} episodes miss, {allowed} may"
    return verdict(missed if misses > allowed else [], looked_at, REACHED)


def judged_newcomers(curves: Sequence[NewcomerCurve]) -> dg.AssetCheckResult:
    """Return whether a way of sharing costs newcomers episodes over all agents, beyond its interval."""
    faults, figures = [], []
    for target in TARGETS:
        for way in (Way.TRANSFER, Way.HIERARCHY):
            alone, helped = (
                np.concatenate([curve.episodes(each, target) for curve in curves])
                for each in (Way.ISOLATED, way)
            )
            share, low, high = saved(alone, helped, float(NEWCOMER_CHECKPOINTS[-1]))
            figures.append(f"{way} saves {share:+.0%} to {target:.0%} ({low:+.0%} to {high:+.0%})")
            if high < 0.0:
                faults.append(figures[-1])
    return verdict(faults, "; ".join(figures), NO_LOSS)


def judged_lookups(found: LookupRegret, chosen: str) -> dg.AssetCheckResult:
    """Return whether a rule that shares beats the chosen one at any age, world by world."""
    own = found.regret[found.rules.index(chosen)].mean(axis=1)
    faults = []
    for name in LOOKUPS:
        gain = own - found.regret[found.rules.index(name)].mean(axis=1)
        error = gain.std(axis=1, ddof=1) / np.sqrt(gain.shape[1])
        faults += [
            f"{name} has {mean:.3f} less regret than {chosen} after {age:,} episodes"
            for age, mean, spread in zip(found.ages, gain.mean(axis=1), error, strict=True)
            if mean > max(STANDARD_ERRORS * spread, MATTERS)
        ]
    return verdict(faults, f"{chosen} against {len(LOOKUPS) - 1} other rules", BEST_LOOKUP)
