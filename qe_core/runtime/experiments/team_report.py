"""What team learning is worth, as Markdown.

What belongs here: tables. What does not: the figures (`team_figures`), pictures (`team_picture`).
"""

from collections.abc import Sequence
from math import isinf
from typing import assert_never

import numpy as np

from qe_core.config import Settings
from qe_core.privacy.mechanism import plan_release
from qe_core.privacy.units import ProtectedUnit
from qe_core.privacy.worth import worth_of
from qe_core.runtime.experiments.team_figures import (
    EPSILONS,
    NEWCOMER_EPSILON,
    NEWCOMER_TEAMS,
    SHARED_DATABASES,
    TASKS_OF_A_DEVELOPER,
    TASKS_PER_AGENT,
    TeamFigures,
    protecting,
)
from qe_core.runtime.experiments.transfer import CHECKPOINTS, TARGETS, episodes_until, median_interval
from qe_core.runtime.parameters import combine_settings, contribution_bound
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.runtime.team_demo.newcomers import LOOKS


def markdown_of(figures: Sequence[TeamFigures], settings: Settings) -> str:
    """Return tables: value by ε and size for each protected unit, the refusal rule, and newcomers."""
    worlds = {cell.world for cell in figures[0].cells} | {one.cells[0].world for one in figures}
    agents = list(dict.fromkeys(one.cells[0].agent for one in figures))
    baseline = np.mean([one.baseline for one in figures])
    parts = [
        f"Value of the team's table to a newcomer without any own task, in % of the exact optimum; mean over "
        f"{', '.join(agents)}, worlds {min(worlds)} to {max(worlds)}. Always taking the baseline action "
        f"reaches {baseline:.0%}. In brackets the lowest single one. Where it says refused, "
        "nothing is released, and the figure is what it would have been worth. "
        f"δ = {settings.team.privacy_delta:g}.\n",
        f"**One task protected**, {settings.team.pairs_per_task} pairs a task; every database has released "
        f"{TASKS_PER_AGENT:,} tasks of each agent, once.\n",
        _value_table(figures, ProtectedUnit.TASK, "databases", settings),
        f"**One developer protected**, {settings.team.pairs_per_developer} pairs a developer, "
        f"{TASKS_OF_A_DEVELOPER} tasks of each agent a developer; the developers share {SHARED_DATABASES} "
        "databases, which is the best case.\n",
        _value_table(figures, ProtectedUnit.DEVELOPER, "developers", settings),
        "**Smallest useful cohort**: below it a release is refused.\n",
        worth_table(settings),
        f"**Newcomers that learn on**, with the tables of teams at ε = {NEWCOMER_EPSILON:g}, tasks "
        "protected: episodes until a share of the optimum is reached and kept, median with its 90 % "
        "interval.\n",
        _newcomer_table(figures),
    ]
    return "\n".join(parts)


def sizes_of(figures: Sequence[TeamFigures], unit: ProtectedUnit) -> list[int]:
    """Return the sizes that were played through for a protected unit, ascending."""
    return sorted({cell.size for cell in figures[0].cells if cell.unit is unit})


def values_of(
    figures: Sequence[TeamFigures], unit: ProtectedUnit, epsilon: float, size: int
) -> list[float | None]:
    """Return the value in each world of each agent; None where it was refused."""
    wanted = (unit, epsilon, size)
    return [
        cell.value
        for one in figures
        for cell in one.cells
        if (cell.unit, cell.privacy_epsilon, cell.size) == wanted
    ]


def _value_table(figures: Sequence[TeamFigures], unit: ProtectedUnit, name: str, settings: Settings) -> str:
    lines = [
        f"| {name} | " + " | ".join("no noise" if isinf(e) else f"ε = {e:g}" for e in EPSILONS) + " |",
        "|---" * (1 + len(EPSILONS)) + "|",
    ]
    for size in sizes_of(figures, unit):
        cells = []
        for epsilon in EPSILONS:
            values = values_of(figures, unit, epsilon, size)
            known = [value for value in values if value is not None]
            if len(known) < len(values):
                cells.append("refused")
                continue
            cell = f"{np.mean(known):.0%} ({min(known):.0%})"
            cells.append(cell if _is_released(unit, epsilon, size, settings) else f"refused; {cell}")
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _is_released(unit: ProtectedUnit, epsilon: float, size: int, settings: Settings) -> bool:
    """Return whether a database of such a team would release anything."""
    if isinf(epsilon):
        return True
    match unit:
        case ProtectedUnit.TASK:
            units, databases = TASKS_PER_AGENT, size
        case ProtectedUnit.DEVELOPER:
            units, databases = size // SHARED_DATABASES, SHARED_DATABASES
        case _ as never:
            assert_never(never)
    agents, bound = len(shareable_spaces()), contribution_bound(protecting(unit, settings))
    plan = plan_release(bound, agents, epsilon, settings.team.privacy_delta)
    return units >= worth_of(units, databases, plan, agents, combine_settings(settings)).unit_count


def worth_table(settings: Settings) -> str:
    """Return what it takes, by protected unit and ε, that a release is not refused; in Markdown."""
    lines = [
        "| protected | ε | noise on a count | in each of 3 databases | in each of 16 | "
        "databases with one unit each |",
        "|---|---|---|---|---|---|",
    ]
    agents, asked = len(shareable_spaces()), combine_settings(settings)
    for unit in ProtectedUnit:
        for epsilon in EPSILONS:
            if isinf(epsilon):
                continue
            plan = plan_release(
                contribution_bound(protecting(unit, settings)), agents, epsilon, settings.team.privacy_delta
            )
            few, more = (worth_of(1, size, plan, agents, asked) for size in (3, 16))
            alone = "no number is enough" if few.cohort is None else f"{few.cohort:,}"
            lines.append(
                f"| one {unit} | {epsilon:g} | ±{plan.scales.visits:.0f} | {few.unit_count:,} {unit}s | "
                f"{more.unit_count:,} {unit}s | {alone} |"
            )
    return "\n".join(lines) + "\n"


def _newcomer_table(figures: Sequence[TeamFigures]) -> str:
    head = " | ".join(f"to {target:.0%}" for target in TARGETS)
    lines = [f"| newcomer | before the first task | {head} |", "|---" * (2 + len(TARGETS)) + "|"]
    alone = np.concatenate([one.newcomers[NEWCOMER_TEAMS[0]].alone for one in figures])
    rows = {"alone": alone}
    for size in NEWCOMER_TEAMS:
        rows[f"with a team of {size}"] = np.concatenate([one.newcomers[size].with_team for one in figures])
    for name, shares in rows.items():
        needed = []
        for target in TARGETS:
            episodes = np.array([episodes_until(curve, target, LOOKS) for curve in shares])
            middle, low, high = (
                f"{value:.0f}" if np.isfinite(value) else f"> {CHECKPOINTS[-1]}"
                for value in median_interval(episodes)
            )
            needed.append(f"{middle} ({low}–{high})")
        lines.append(f"| {name} | {shares[:, 0].mean():.0%} | " + " | ".join(needed) + " |")
    return "\n".join(lines) + "\n"
