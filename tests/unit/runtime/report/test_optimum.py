"""The report's section on learning curves."""

import numpy as np

from qe_core.runtime.experiments.convergence import LearningCurve
from qe_core.runtime.report.optimum import optimum_section


def curve(agent: str, world_seed: int, last: list[float]) -> LearningCurve:
    """Return a made-up curve of as many seeds."""
    shares = np.array([[0.1, share] for share in last])
    return LearningCurve(agent, "f0", world_seed, 80.0, 8.0, 40.0, "pass", (10, 1000), shares)


def test_pairs_and_sessions_are_counted() -> None:
    shown = optimum_section([curve("a<b", 0, [0.96] * 20), curve("a<b", 1, [0.96] * 18 + [0.9, 0.8])])
    assert "1 of 2 pairs of agent and world" in shown
    assert "38 of 40" in shown
    assert "<td>0.800</td>" in shown
    assert "a&lt;b" in shown
    assert "a<b" not in shown
    assert shown.count("<svg") == 1


def test_without_curves_there_is_no_section() -> None:
    assert optimum_section([]) == ""
