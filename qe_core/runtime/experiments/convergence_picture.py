"""Learning curves as a picture: one panel per agent.

What belongs here: drawing. What does not: the figures (`convergence`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qe_core.runtime.experiments.convergence import TARGET, LearningCurve

COLUMNS = 6


def draw_curves(curves: Sequence[LearningCurve], path: Path) -> None:
    """Draw the share of the optimum by episodes: the mean over worlds and seeds, and its 10-90 % band.

    The dashed line is the target; the dotted one is what the best single action reaches, mean over worlds.

    Args:
        curves: of any agents and worlds, with the same checkpoints.
        path: where to; the ending says how.
    """
    agents = list(dict.fromkeys(curve.agent for curve in curves))
    rows = -(-len(agents) // COLUMNS)
    figure = Figure(figsize=(2.6 * min(COLUMNS, len(agents)), 2.2 * rows), layout="constrained")
    panels = figure.subplots(rows, min(COLUMNS, len(agents)), sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(agents) :]:
        panel.set_visible(False)
    for panel, agent in zip(panels.flat, agents, strict=False):
        own = [curve for curve in curves if curve.agent == agent]
        shares = np.concatenate([curve.shares for curve in own])
        episodes = own[0].checkpoints
        low, high = np.percentile(shares, [10, 90], axis=0)
        panel.fill_between(episodes, low, high, alpha=0.25, linewidth=0)
        panel.plot(episodes, shares.mean(axis=0), marker="o", markersize=3)
        panel.axhline(TARGET, linestyle="--", linewidth=0.8, color="0.3")
        fixed = float(np.mean([curve.best_fixed / curve.optimum for curve in own]))
        panel.axhline(fixed, linestyle=":", linewidth=0.8, color="0.3")
        panel.set_title(agent, fontsize=8)
        panel.set_xscale("log")
        panel.set_ylim(0.0, 1.02)
        panel.tick_params(labelsize=7)
    figure.supxlabel("episodes", fontsize=8)
    figure.supylabel("share of the exact optimum", fontsize=8)
    figure.savefig(path, dpi=110)
