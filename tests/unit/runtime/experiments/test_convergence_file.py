"""Learning curves in files: what is written is read, what ships belongs to today's contracts."""

import json
from pathlib import Path

import numpy as np
import pytest

from qe_core.fleet.registry import built_registry
from qe_core.fleet.roster import AGENTS
from qe_core.runtime.experiments.convergence import CHECKPOINTS, LearningCurve
from qe_core.runtime.experiments.convergence_file import CurvesError, read_curves, write_curves
from qe_core.runtime.files import OutputError

CURVE = LearningCurve(
    "quality-gate", "f0", 3, 80.0, -5.0, 40.0, "pass", (10, 100), np.array([[0.12345, 0.96], [0.3, 0.9]])
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_curves([CURVE, CURVE], tmp_path / "curves.json")
    first, second = read_curves(tmp_path / "curves.json")
    assert first.shares == pytest.approx(CURVE.shares, abs=1e-4)
    assert (first.shares <= CURVE.shares).all()
    assert (first.agent, first.checkpoints, first.best_fixed_action) == ("quality-gate", (10, 100), "pass")
    assert second.seeds_reached == 1


def test_the_file_sums_up_what_it_holds(tmp_path: Path) -> None:
    write_curves([CURVE], tmp_path / "curves.json")
    (item,) = json.loads((tmp_path / "curves.json").read_text())
    assert item["seeds_reached"] == 1
    assert item["mean"] == pytest.approx([0.2117, 0.93], abs=1e-4)
    assert item["p10"][1] == pytest.approx(0.906)


@pytest.mark.parametrize("content", ["", "3", '[{"agent": "x"}]', "[3]"])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(CurvesError, match="write it with qe experiment convergence"):
        read_curves(tmp_path / "other.json")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_curves([CURVE], tmp_path / "nowhere" / "curves.json")


def test_what_ships_is_whole_and_of_the_contracts_as_they_are() -> None:
    curves = read_curves()
    worlds = {curve.world_seed for curve in curves}
    assert set(range(5)) < worlds
    assert sorted((curve.agent, curve.world_seed) for curve in curves) == sorted(
        (contract.name, world_seed) for contract in AGENTS for world_seed in worlds
    )
    for curve in curves:
        assert curve.fingerprint == built_registry().get(curve.agent).fingerprint
        assert curve.checkpoints == CHECKPOINTS
        assert curve.shares.shape == (20, len(CHECKPOINTS))
