"""Newcomers' learning as JSON, as Markdown and as a picture.

What belongs here: showing and writing. What does not: the figures (`transfer`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qe_core.learning.arrays import Float64Array
from qe_core.runtime.experiments.newcomer import Way
from qe_core.runtime.experiments.transfer import (
    CHECKPOINTS,
    TARGETS,
    NewcomerCurve,
    median_interval,
    saved,
)
from qe_core.runtime.files import replaced_file

COLUMNS = 4
COLOURS = {
    Way.ISOLATED: "0.35",
    Way.POOLED: "tab:cyan",
    Way.TRANSFER: "tab:blue",
    Way.HIERARCHY: "tab:green",
    Way.ORDERED: "tab:red",
    Way.BLENDED: "tab:orange",
    Way.CEILING: "tab:purple",
}


def markdown_of(curves: Sequence[NewcomerCurve]) -> str:
    """Return what newcomers needed, in Markdown: one table for each target, one line for each agent."""
    ways = [way for way in Way if way in curves[0].shares]
    seeds = len(curves[0].shares[Way.ISOLATED])
    parts = []
    for target in TARGETS:
        parts += [
            f"Episodes until {target:.0%} of the optimum is reached and kept; median over {seeds} worlds, "
            "with its 90 % interval; then the share saved against isolated learning, with its own.\n",
            "| agent | group | " + " | ".join(ways) + " |",
            "|---|---|" + "---|" * len(ways),
        ]
        for curve in curves:
            needed = {way: curve.episodes(way, target) for way in ways}
            parts.append(f"| {curve.agent} | {curve.group or '–'} | {_cells(needed)} |")
        for name, chosen in _together(curves).items():
            every = {way: np.concatenate([curve.episodes(way, target) for curve in chosen]) for way in ways}
            parts.append(f"| **{name}** | | {_cells(every)} |")
        parts.append("")
    parts.append(knowledge_of(curves))
    return "\n".join(parts)


def _together(curves: Sequence[NewcomerCurve]) -> dict[str, list[NewcomerCurve]]:
    """Return which agents are summed up together, by what the line is called."""
    grouped = [curve for curve in curves if curve.group]
    every = {"all of them": list(curves)}
    return every if len(grouped) in (0, len(curves)) else {"those with a group": grouped} | every


def _cells(needed: Mapping[Way, Float64Array]) -> str:
    """Return one line's cells: isolated learning first, the others with what they save."""
    alone = needed[Way.ISOLATED]
    return " | ".join(
        _episodes(episodes) if way is Way.ISOLATED else f"{_episodes(episodes)}; {_saved(alone, episodes)}"
        for way, episodes in needed.items()
    )


def knowledge_of(curves: Sequence[NewcomerCurve]) -> str:
    """Return how much there was to know, in Markdown."""
    lines = [
        "| agent | of what its actions differ by, effects of features explain | "
        "of features that others have too |",
        "|---|---|---|",
    ]
    lines += [
        f"| {curve.agent} | {curve.explained:.0%} | {curve.explained_by_shared:.0%} |" for curve in curves
    ]
    return "\n".join(lines) + "\n"


def write_newcomers(curves: Sequence[NewcomerCurve], path: Path) -> None:
    """Write everything computed as JSON.

    Args:
        curves: of any agents.
        path: where to; the file appears when it is complete.

    Raises:
        OutputError: it cannot be written there.
    """
    content = {
        "checkpoints_episodes": list(CHECKPOINTS),
        "targets": list(TARGETS),
        "newcomers": [curve.as_json() for curve in curves],
    }
    with replaced_file(path) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def draw_newcomers(curves: Sequence[NewcomerCurve], path: Path) -> None:
    """Draw the mean share of the optimum by episodes: one panel per agent, one line per way.

    Args:
        curves: of any agents.
        path: where to; the ending says how.
    """
    rows = -(-len(curves) // COLUMNS)
    width = min(COLUMNS, len(curves))
    figure = Figure(figsize=(3.0 * width, 2.3 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, width, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(curves) :]:
        panel.set_visible(False)
    for panel, curve in zip(panels.flat, curves, strict=False):
        for way, shares in curve.shares.items():
            panel.plot(CHECKPOINTS, shares.mean(axis=0), color=COLOURS[way], label=str(way), linewidth=1.2)
        for target in TARGETS:
            panel.axhline(target, linestyle=":", linewidth=0.8, color="0.5")
        panel.set_title(curve.agent, fontsize=8)
        panel.set_xscale("log")
        panel.set_ylim(0.0, 1.02)
        panel.tick_params(labelsize=7)
    lines, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=len(labels), fontsize=7, frameon=False)
    figure.supxlabel("episodes of the newcomer", fontsize=8)
    figure.supylabel("share of the exact optimum", fontsize=8)
    figure.savefig(path, dpi=110)


def _episodes(values: Float64Array) -> str:
    middle, low, high = (_count(value) for value in median_interval(values))
    return f"{middle} ({low}–{high})"


def _count(episodes: float) -> str:
    return f"{episodes:.0f}" if np.isfinite(episodes) else f"> {CHECKPOINTS[-1]}"


def _saved(alone: Float64Array, other: Float64Array) -> str:
    share, low, high = saved(alone, other, float(CHECKPOINTS[-1]))
    return f"{share:+.0%} ({low:+.0%} to {high:+.0%})"
