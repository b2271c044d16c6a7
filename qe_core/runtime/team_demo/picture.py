"""How a newcomer learns with its team and without, as a picture.

What belongs here: drawing. What does not: the figures (`newcomers`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qe_core.runtime.experiments.transfer import TARGETS
from qe_core.runtime.team_demo.newcomers import LIMIT, LOOKS, NewcomerCurves

ALONE, TEAM = "#c2570c", "#2563c9"


def draw_newcomers(curves: Sequence[NewcomerCurves], path: Path) -> None:
    """Draw the share of the optimum by episodes, and for each agent the episodes until 95 % of it.

    The band holds 80 % of all newcomers of all agents.

    Args:
        curves: one for each agent, at least one.
        path: the PNG file.
    """
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    over_time, by_agent = figure.subplots(1, 2, width_ratios=(3, 4))
    _draw_over_time(over_time, curves)
    _draw_by_agent(by_agent, curves)
    figure.savefig(path, dpi=110, format="png")


def _draw_over_time(axes: Axes, curves: Sequence[NewcomerCurves]) -> None:
    for name, colour, shares in (
        ("alone", ALONE, np.concatenate([one.alone for one in curves])),
        ("with the team", TEAM, np.concatenate([one.with_team for one in curves])),
    ):
        low, high = np.percentile(shares, [10, 90], axis=0)
        axes.fill_between(LOOKS, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(LOOKS, shares.mean(axis=0), color=colour, linewidth=2, label=name)
    for target in TARGETS:
        axes.axhline(target, linestyle="--", linewidth=0.8, color="0.5")
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(0, LOOKS[-1])
    axes.set_ylim(-0.1, 1.03)
    axes.set(xlabel="episodes of the newcomer", ylabel="share of the exact optimum")
    axes.set_title("All agents: mean, and where 80 % of newcomers lie", fontsize=10)
    axes.legend(loc="lower right", frameon=False)


def _draw_by_agent(axes: Axes, curves: Sequence[NewcomerCurves]) -> None:
    places = np.arange(len(curves))[::-1]
    for shift, name, colour, is_helped in (
        (0.2, "alone", ALONE, False),
        (-0.2, "with the team", TEAM, True),
    ):
        needed = [np.minimum(one.episodes(TARGETS[-1], is_helped=is_helped), LIMIT) for one in curves]
        axes.barh(places + shift, [np.median(one) for one in needed], 0.38, color=colour, label=name)
        for place, one in zip(places, needed, strict=True):
            axes.plot(one, np.full(len(one), place + shift), ".", color="0.15", markersize=3)
    axes.set_yticks(places, [one.agent for one in curves], fontsize=8)
    axes.set(xlabel=f"episodes; {LIMIT:,} stands for not within {LOOKS[-1]:,}")
    axes.set_title(f"Episodes until {TARGETS[-1]:.0%} for good: median, and each newcomer", fontsize=10)
    axes.legend(loc="lower right", frameon=False)
