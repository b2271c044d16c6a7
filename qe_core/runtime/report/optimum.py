"""The report's section on how fast agents come to the optimum of their simulated worlds.

What belongs here: the shipped learning curves as table and charts. What does not: measuring them
(`qe_core.runtime.experiments`).
"""

from collections.abc import Sequence
from html import escape
from math import log10

import numpy as np

from qe_core.runtime.experiments.convergence import TARGET, LearningCurve
from qe_core.runtime.report.charts import Line, legend, line_chart
from qe_core.runtime.report.markup import section, table


def optimum_section(curves: Sequence[LearningCurve]) -> str:
    """Return the section as HTML, or nothing where there are no curves.

    Args:
        curves: of any agents and worlds, with the same checkpoints.
    """
    if not curves:
        return ""
    by_agent: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        by_agent.setdefault(curve.agent, []).append(curve)
    worlds, seeds = sorted({curve.world_seed for curve in curves}), len(curves[0].shares)
    enough = sum(20 * curve.seeds_reached >= 19 * len(curve.shares) for curve in curves)
    explained = (
        f"<p>Every agent alone, from nothing, in the worlds {', '.join(map(str, worlds))} of its family with "
        f"{seeds} training seeds each: the exact value of the learned policy as a share of the optimum after "
        "so many episodes, the mean and where 80 % of the sessions lie. "
        f"{enough} of {len(curves)} pairs of agent and world reach {TARGET:.0%} on at least 19 of 20 seeds. "
        f"<code>qe experiment convergence --worlds {','.join(map(str, worlds))}</code> plays it again.</p>"
    )
    marks = [f"{count:,}" for count in curves[0].checkpoints]
    headings = ["agent", "random", "best fixed action", *marks, "worst session", f"sessions at {TARGET:.0%}"]
    rows = [_row(agent, own) for agent, own in by_agent.items()]
    keys = legend([("line-1", "mean"), ("line-quiet", "10th and 90th percentile")])
    charts = "".join(_chart(agent, own) for agent, own in by_agent.items())
    return section(
        "How fast is the optimum reached?",
        f'{explained}{table(headings, rows)}{keys}<div class="charts narrow">{charts}</div>',
    )


def _row(agent: str, curves: Sequence[LearningCurve]) -> list[str]:
    shares = np.concatenate([curve.shares for curve in curves])
    low, high = np.percentile(shares, [10, 90], axis=0)
    return [
        escape(agent),
        f"{np.mean([curve.random / curve.optimum for curve in curves]):.2f}",
        f"{np.mean([curve.best_fixed / curve.optimum for curve in curves]):.2f}",
        *(
            f'{mean:.2f} <span class="soft">({least:.2f} to {most:.2f})</span>'
            for mean, least, most in zip(shares.mean(axis=0), low, high, strict=True)
        ),
        f"{shares[:, -1].min():.3f}",
        f"{sum(curve.seeds_reached for curve in curves)} of {len(shares)}",
    ]


def _chart(agent: str, curves: Sequence[LearningCurve]) -> str:
    shares = np.concatenate([curve.shares for curve in curves])
    low, high = np.percentile(shares, [10, 90], axis=0)
    episodes = [log10(count) for count in curves[0].checkpoints]
    lines = [
        Line("10th percentile", episodes, low.tolist(), "line-quiet"),
        Line("90th percentile", episodes, high.tolist(), "line-quiet"),
        Line("mean", episodes, shares.mean(axis=0).tolist(), "line-1"),
    ]
    return line_chart(agent, lines, "episodes, powers of ten", "share of the optimum", (0.0, 1.0))
