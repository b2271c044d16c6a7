"""Learning curves in a file, and those that ship with the package.

What belongs here: writing and reading. What does not: computing (`convergence`) and showing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qe_core.errors import QEError
from qe_core.runtime.experiments.convergence import TARGET, LearningCurve
from qe_core.runtime.files import replaced_file

SHIPPED = Path(__file__).parent / "measured" / "convergence.json"
"""All agents, 20 seeds each: ``qe experiment convergence --worlds NUMBERS --json FILE`` computes it anew."""

DIGITS = 4


class CurvesError(QEError):
    """A file does not hold learning curves."""


def write_curves(curves: Sequence[LearningCurve], path: Path) -> None:
    """Write learning curves as JSON: everything computed, and what sums it up.

    Args:
        curves: of any agents and worlds.
        path: where to; the file appears when it is complete.

    Raises:
        OutputError: it cannot be written there.
    """
    lines = [json.dumps(_as_json(curve)) for curve in curves]
    with replaced_file(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def read_curves(path: Path = SHIPPED) -> list[LearningCurve]:
    """Return the learning curves in a file, by default those shipped.

    Raises:
        CurvesError: the file is missing or holds something else.
    """
    try:
        return [_from_json(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CurvesError(
            f"{path} does not hold learning curves ({error}); write it with qe experiment convergence --json"
        ) from error


def _as_json(curve: LearningCurve) -> dict[str, object]:
    rounded = np.floor(curve.shares * 10**DIGITS) / 10**DIGITS  # never up across the target
    return {
        **asdict(curve),
        "target": TARGET,
        "seeds_reached": curve.seeds_reached,
        "mean": np.round(curve.shares.mean(axis=0), DIGITS).tolist(),
        "p10": np.round(curve.band(10), DIGITS).tolist(),
        "p90": np.round(curve.band(90), DIGITS).tolist(),
        "shares": rounded.tolist(),
    }


def _from_json(item: dict[str, object]) -> LearningCurve:
    summed = {"target", "seeds_reached", "mean", "p10", "p90"}
    values = {name: value for name, value in item.items() if name not in summed}
    values["checkpoints"] = tuple(values["checkpoints"])  # type: ignore[arg-type]
    values["shares"] = np.asarray(values["shares"], dtype=np.float64)
    return LearningCurve(**values)  # type: ignore[arg-type]
