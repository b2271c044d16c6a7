"""What team learning is worth, as pictures.

What belongs here: drawing. What does not: the figures (`team_figures`, `team_own_log`).
"""

from collections.abc import Sequence
from math import isinf
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qe_core.privacy.units import ProtectedUnit
from qe_core.runtime.experiments.team_figures import (
    EPSILONS,
    NEWCOMER_EPSILON,
    NEWCOMER_TEAMS,
    TeamFigures,
)
from qe_core.runtime.experiments.team_own_log import OwnLogPoint
from qe_core.runtime.experiments.team_report import sizes_of, values_of
from qe_core.runtime.team_demo.newcomers import LOOKS


def draw_team(figures: Sequence[TeamFigures], path: Path) -> None:
    """Draw value by ε for each size, one panel per protected unit, and newcomers' learning.

    Args:
        figures: of any agents and worlds.
        path: where to; the ending says how.
    """
    drawing = Figure(figsize=(11.0, 3.4), layout="constrained")
    panels = drawing.subplots(1, 3, sharey=True)
    finite = [epsilon for epsilon in EPSILONS if not isinf(epsilon)]
    names = {ProtectedUnit.TASK: "databases", ProtectedUnit.DEVELOPER: "developers"}
    for panel, unit in zip(panels, ProtectedUnit, strict=False):
        for size in sizes_of(figures, unit):
            means = [_mean(figures, unit, epsilon, size) for epsilon in finite]
            panel.plot(finite, means, marker="o", markersize=3, label=f"{size:,} {names[unit]}")
        panel.axhline(np.mean([one.baseline for one in figures]), linestyle=":", color="0.4", linewidth=0.8)
        panel.set_xscale("log", base=2)
        panel.set_xticks(finite, [f"{epsilon:g}" for epsilon in finite])
        panel.set_title(f"one {unit} protected", fontsize=9)
        panel.set_xlabel("ε of a release", fontsize=8)
        panel.legend(fontsize=7, frameon=False)
    last = panels[-1]
    first = [one.newcomers[NEWCOMER_TEAMS[0]].alone for one in figures]
    last.plot(LOOKS, np.concatenate(first).mean(axis=0), color="0.35", label="alone")
    for size in NEWCOMER_TEAMS:
        helped = np.concatenate([one.newcomers[size].with_team for one in figures])
        last.plot(LOOKS, helped.mean(axis=0), label=f"with a team of {size}")
    last.set_xscale("symlog", linthresh=10)
    last.set_title(f"a newcomer learns on (ε = {NEWCOMER_EPSILON:g}, one task protected)", fontsize=9)
    last.set_xlabel("own episodes", fontsize=8)
    last.legend(fontsize=7, frameon=False)
    panels[0].set_ylabel("share of the exact optimum", fontsize=8)
    panels[0].set_ylim(-0.05, 1.02)
    for panel in panels:
        panel.tick_params(labelsize=7)
    drawing.savefig(path, dpi=110)


def draw_own_log(points: Sequence[OwnLogPoint], path: Path) -> None:
    """Draw the gain kept by ε, one line for each number of databases.

    Args:
        points: by one log.
        path: where to; the ending says how.
    """
    drawing = Figure(figsize=(5.0, 3.4), layout="constrained")
    panel = drawing.subplots()
    for size in sorted({point.databases for point in points}):
        line = [point for point in points if point.databases == size]
        epsilons = [point.privacy_epsilon for point in line]
        kept = [point.kept for point in line]
        panel.plot(epsilons, kept, marker="o", markersize=3, label=f"{size} databases")
    panel.set_xscale("log", base=2)
    panel.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    panel.set_ylim(-0.05, 1.02)
    panel.set_xlabel("ε of a release", fontsize=8)
    panel.set_ylabel("gain kept of the own exact policy", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.legend(fontsize=7, frameon=False)
    drawing.savefig(path, dpi=110)


def _mean(figures: Sequence[TeamFigures], unit: ProtectedUnit, epsilon: float, size: int) -> float:
    """Return the mean value; what was refused leaves the newcomer with the baseline action."""
    found = zip(values_of(figures, unit, epsilon, size), figures, strict=True)
    return float(np.mean([one.baseline if value is None else value for value, one in found]))
