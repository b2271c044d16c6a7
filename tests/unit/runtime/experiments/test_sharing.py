"""Newcomers and regret of lookups: hand-worked figures, and a small run of each experiment."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qe_core.cli.app import app
from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.errors import LearningError
from qe_core.fleet import registry
from qe_core.runtime.experiments.fleets import LearnedAgent
from qe_core.runtime.experiments.hierarchy import ALONE, LOOKUPS, lookup_regret
from qe_core.runtime.experiments.newcomer import Newcomer, Way
from qe_core.runtime.experiments.transfer import (
    CHECKPOINTS,
    episodes_until,
    median_interval,
    newcomers,
    saved,
)
from qe_core.runtime.experiments.transfer_report import draw_newcomers, markdown_of, write_newcomers

RUNNER = CliRunner()
AGENT = "coverage-analyzer"


def test_the_target_must_be_kept_and_not_only_touched() -> None:
    shares = np.array([0.5, 0.96, 0.9, 0.95, 0.97])
    assert episodes_until(shares, 0.95, (10, 20, 30, 40, 50)) == 40
    assert episodes_until(shares, 0.5, (10, 20, 30, 40, 50)) == 10
    assert episodes_until(shares, 0.98, (10, 20, 30, 40, 50)) == float("inf")


def test_hand_worked_share_of_episodes_saved() -> None:
    alone, helped = np.array([100.0, 300.0]), np.array([50.0, np.inf])
    share, low, high = saved(alone, helped, 400.0)
    assert share == pytest.approx(1 - 450 / 400)
    # Resampling two worlds: both the first (half saved), both the second (a third lost), or one of each.
    assert (low, high) == (pytest.approx(-1 / 3), pytest.approx(0.5))
    assert saved(alone, alone, 400.0) == (0.0, 0.0, 0.0)


def test_medians_and_their_intervals_count_what_never_arrives() -> None:
    middle, low, high = median_interval(np.array([10.0, 20.0, 30.0, np.inf, np.inf]))
    assert middle == 30
    assert low <= 20
    assert high == np.inf


@pytest.mark.parametrize("way", [Way.TRANSFER, Way.HIERARCHY])
def test_others_that_know_nothing_change_nothing(way: Way) -> None:
    one = LearnedAgent(world_of(registry().get("visual-tester"), 0), {})
    newcomer = Newcomer(one, [], Settings())
    assert (newcomer.expected(way) == 0).all()
    checkpoints = (20, 40)
    alone = newcomer.shares(Way.POOLED, 0, checkpoints)
    assert np.array_equal(newcomer.shares(way, 0, checkpoints), alone)
    assert not np.array_equal(newcomer.shares(Way.ISOLATED, 0, checkpoints), alone)


def test_the_ceiling_is_what_shared_features_explain() -> None:
    newcomer = Newcomer(LearnedAgent(world_of(registry().get("chaos-engineer"), 0), {}), [], Settings())
    by_all, by_shared = newcomer.explained_shares()
    assert 0.3 < by_shared < by_all < 1.0
    assert (newcomer.expected(Way.CEILING)[0] == 0).all()
    assert np.abs(newcomer.expected(Way.CEILING)).max() > 5.0


def test_newcomers_are_compared_written_and_drawn(tmp_path: Path) -> None:
    ways = (Way.ISOLATED, Way.TRANSFER, Way.HIERARCHY)
    [curve] = newcomers([AGENT], [0], Settings(), ways)
    assert curve.group == "coverage-analysis"
    assert {way: shares.shape for way, shares in curve.shares.items()} == {
        way: (1, len(CHECKPOINTS)) for way in ways
    }
    assert 0 < curve.explained_by_shared < curve.explained < 1
    text = markdown_of([curve])
    assert f"| {AGENT} | coverage-analysis | " in text
    assert "| **all of them** |" in text
    written, drawn = tmp_path / "newcomers.json", tmp_path / "newcomers.png"
    write_newcomers([curve], written)
    draw_newcomers([curve], drawn)
    [line] = json.loads(written.read_text())["newcomers"]
    assert line["ways"]["isolated"]["shares"] == curve.shares[Way.ISOLATED].tolist()
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_comparing_needs_worlds_and_isolated_learning() -> None:
    with pytest.raises(LearningError, match="compare over 1 seed or more"):
        list(newcomers([AGENT], [], Settings()))
    with pytest.raises(LearningError, match="with isolated"):
        list(newcomers([AGENT], [0], Settings(), (Way.TRANSFER,)))
    with pytest.raises(LearningError, match="two seeds or more"):
        lookup_regret([0], Settings())


def test_regret_of_lookups_from_the_command_line(tmp_path: Path) -> None:
    written, tables = tmp_path / "regret.json", tmp_path / "regret.md"
    done = RUNNER.invoke(
        app,
        ["experiment", "hierarchy", "--worlds", "0-1", "--json", str(written), "--markdown", str(tables)],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(written.read_text())
    assert found["rules"] == [ALONE, *LOOKUPS]
    assert np.shape(found["regret"]) == (5, 5, 18, 2)
    assert np.min(found["regret"]) > -1e-9
    alone = dict(zip(found["rules"], found["mean_regret"], strict=True))[ALONE]
    assert alone[-1] < 0.05 < alone[0]
    assert "| blend, advantage |" in tables.read_text()
