"""The picture of the audit: how often guesses were right and wrong, and where the claim says they cannot be.

What belongs here: drawing. What does not: figures (`judging`).
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from scipy import stats

from tests.privacy_audit.bounds import separation_of
from tests.privacy_audit.cases import DELTA
from tests.privacy_audit.judging import Finding
from tests.privacy_audit.runs import PRODUCT

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(findings: Sequence[Finding], path: Path) -> None:
    """Write the rates of guessing in all findings that claim ε = 1 to ``path``, a PNG."""
    shown = [one for one in findings if one.case.privacy_epsilon == 1.0 and abs(one.case.claim - 1.0) < 1e-3]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
    wrong = np.geomspace(1e-4, 1.0, 400)
    allowed = np.minimum(np.minimum(np.e * wrong + DELTA, 1 - (1 - wrong - DELTA) / np.e), 1.0)
    best = stats.norm.cdf(stats.norm.ppf(wrong) + separation_of(shown[0].case.nano_rho))
    for axis, title in zip(axes, ("The product", "Wrong on purpose"), strict=True):
        axis.fill_between(wrong, allowed, 1.0, color="tab:red", alpha=0.15, label="ruled out by ε = 1")
        axis.plot(wrong, best, color="black", linestyle="--", linewidth=1, label="most the noise allows")
        for one in shown:
            if (one.mechanism == PRODUCT.name) == (title == "The product"):
                label = (
                    one.case.name if one.mechanism == PRODUCT.name else f"{one.mechanism} ({one.case.name})"
                )
                axis.plot(*one.roc.T, marker=".", markersize=3, linewidth=0.8, label=label)
        axis.set(
            title=title, xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1),
            xlabel="says “was there” although not",
        )  # fmt: skip
        axis.legend(loc="lower right", fontsize=8)
    axes[0].set_ylabel("says “was there” rightly")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
