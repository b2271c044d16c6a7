"""Pictures of the pilot's comparison.

What belongs here: drawing what `evaluation` measured. What does not: measuring, and writing files.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from qe_core.environments.recorded.sessions import Curve


def figure_outcome_over_time(
    curves: Mapping[float, Mapping[str, Curve]], highlighted: str = "learned"
) -> Figure:
    """Return branches covered over time, one panel per budget and one line per policy.

    Args:
        curves: by budget in seconds a module and by policy, what `share_over_time` returns.
        highlighted: the policy drawn in the foreground.
    """
    figure = Figure(figsize=(4.2 * len(curves), 3.6), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, (budget, lines) in zip(axes, curves.items(), strict=True):
        for name, (moments, shares) in lines.items():
            is_main = name == highlighted
            axis.plot(
                moments * budget,
                shares,
                label=name,
                linewidth=2.4 if is_main else 1.2,
                zorder=3 if is_main else 2,
                linestyle="--" if name == "clairvoyant" else "-",
            )
        axis.set(title=f"{budget:g} s a module", xlabel="CPU seconds spent a module", ylim=(0.0, 1.0))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of branches covered")
    axes[-1].legend(loc="lower right", fontsize="small")
    return figure
