"""Newcomers' learning as JSON, as Markdown and as a picture.

What belongs here: showing and writing. What does not: the figures (`transfer`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qe_core.learning.arrays import Float64Array
from qe_core.runtime.experiments.transfer import (
    CHECKPOINTS,
    TARGETS,
    NewcomerCurve,
    Way,
    median_interval,
    saved,
)
from qe_core.runtime.files import replaced_file

COLUMNS = 4
COLOURS = {
    Way.ISOLATED: "0.35",
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
        every = {way: np.concatenate([curve.episodes(way, target) for curve in curves]) for way in ways}
        parts.append(f"| **all of them** | | {_cells(every)} |\n")
    parts.append(knowledge_of(curves))
    return "\n".join(parts)


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
        "| agent | pairs its group told it anything about | of what its actions differ by, "
        "shared states and approaches explain |",
        "|---|---|---|",
    ]
    lines += [f"| {curve.agent} | {curve.told:.0%} | {curve.explained:.0%} |" for curve in curves]
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
