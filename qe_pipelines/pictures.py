"""Pictures for the catalogue: small PNG plots that Dagster shows beside an asset.

What belongs here: drawing arrays and wrapping the result as metadata. What does not: loading or computing
what is drawn.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from qe_core.learning.q_table import QTable
from qe_core.store import EpisodeReturns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#1f4e79"
PALE = "#9dc3e6"
SMOOTHING_EPISODES = 50
"""Episodes in the moving mean of a learning curve."""


@dataclass(frozen=True, slots=True)
class EffectLook:
    """Effect of a candidate at one look at its test.

    Attributes:
        units: recorded until then, over both arms.
        estimate: reward of treatment minus control, points.
        lower: always-valid lower bound.
        upper: always-valid upper bound.
    """

    units: int
    estimate: float
    lower: float
    upper: float


def effect_picture(looks: Sequence[EffectLook]) -> dg.MarkdownMetadataValue:
    """Return a plot of effect and always-valid interval over the units recorded; the last look is dotted."""

    def draw(axes: "Axes") -> None:
        units = [look.units for look in looks]
        axes.fill_between(
            units, [look.lower for look in looks], [look.upper for look in looks], color=PALE, alpha=0.6
        )
        axes.plot(units, [look.estimate for look in looks], color=INK, linewidth=1.5)
        for look in looks[-1:]:
            axes.errorbar(
                look.units, look.estimate, [[look.estimate - look.lower], [look.upper - look.estimate]],
                fmt="o", color=INK, markersize=4, capsize=3,
            )  # fmt: skip
        axes.axhline(0.0, color="grey", linewidth=0.8)
        axes.set(xlabel="units recorded", ylabel="effect, points", title="Candidate minus stable")

    return _picture("effect and always-valid interval", draw)


def learning_curve_picture(returns: EpisodeReturns) -> dg.MarkdownMetadataValue:
    """Return a plot of every episode's return, points, under the mean of the last 50."""

    def draw(axes: "Axes") -> None:
        episode = np.arange(1, len(returns) + 1)
        axes.plot(episode, returns.total_reward, ".", color=PALE, markersize=2)
        axes.plot(episode, moving_mean(returns.total_reward, SMOOTHING_EPISODES), color=INK, linewidth=1.5)
        axes.set(xlabel="episode", ylabel="return, points", title="Learning curve")

    return _picture("learning curve", draw)


def q_value_picture(table: QTable) -> dg.MarkdownMetadataValue:
    """Return a histogram of the values of all visited pairs, points."""

    def draw(axes: "Axes") -> None:
        axes.stairs(*np.histogram(table.q[table.visits > 0], bins=40), fill=True, color=INK)
        axes.set(xlabel="Q-value, points", ylabel="visited pairs", title="Q-values")

    return _picture("Q-value histogram", draw)


def known_pairs_picture(pairs: Mapping[str, tuple[int, int]]) -> dg.MarkdownMetadataValue:
    """Return a bar for each agent: pairs that are known, and pairs that are not."""

    def draw(axes: "Axes") -> None:
        known, unknown = ([counts[side] for counts in pairs.values()] for side in (0, 1))
        axes.bar(range(len(pairs)), known, color=INK, label="known")
        axes.bar(range(len(pairs)), unknown, bottom=known, color=PALE, label="not known")
        axes.set(xlabel="agents, in the order of the table", ylabel="pairs", title="What the team knows")
        axes.legend(fontsize=7, frameon=False)

    return _picture("pairs the team knows", draw)


def drawn_picture(alternative: str, draw: Callable[[Path], None]) -> dg.MarkdownMetadataValue:
    """Return a picture that somebody else draws to a PNG file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "picture.png"
        draw(path)
        return _embedded(alternative, path.read_bytes())


def moving_mean(values: np.ndarray[tuple[int], np.dtype[np.float64]], span: int) -> list[float]:
    """Return for each position the mean of it and up to ``span`` - 1 values before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(total))
    start = np.maximum(stop - span, 0)
    return [float(mean) for mean in (total[stop] - total[start]) / (stop - start)]


def _picture(alternative: str, draw: Callable[["Axes"], None]) -> dg.MarkdownMetadataValue:
    from matplotlib.figure import Figure  # a second that only a run should pay

    figure = Figure(figsize=(4.5, 2.4), dpi=80)
    axes = figure.add_axes((0.13, 0.2, 0.84, 0.69))
    axes.tick_params(labelsize=7)
    draw(axes)
    axes.locator_params(nbins=5)
    axes.title.set_fontsize(9)
    image = BytesIO()
    figure.savefig(image, format="png")
    return _embedded(alternative, image.getvalue())


def _embedded(alternative: str, image: bytes) -> dg.MarkdownMetadataValue:
    encoded = base64.b64encode(image).decode("ascii")
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")
