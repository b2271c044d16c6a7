"""What team learning is worth: figures from releases as they would be, by the settings that protect."""

from math import inf

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import PrivacyError
from qe_core.privacy.mechanism import NoiseScales
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import AgentSteps, ProtectedUnit
from qe_core.runtime.experiments import team_own_log
from qe_core.runtime.experiments.team_crowd import Crowd
from qe_core.runtime.experiments.team_figures import (
    EPSILONS,
    NEWCOMER_TEAMS,
    Cell,
    Team,
    TeamFigures,
    noised_cells,
    protecting,
    steps_of,
)
from qe_core.runtime.experiments.team_own_log import own_log_points
from qe_core.runtime.experiments.team_picture import draw_own_log
from qe_core.runtime.experiments.team_report import markdown_of, worth_table
from qe_core.runtime.parameters import contribution_bound
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.runtime.team_demo.newcomers import LOOKS, NewcomerCurves

AGENT = "regression-risk-analyzer"


@pytest.fixture(scope="module")
def team() -> Team:
    """Three databases of one agent in one world; a second of play."""
    return Team(AGENT, 5, 3, Settings())


def test_a_table_without_noise_is_nearly_the_optimum_and_nothing_is_the_baseline(team):
    known = team.evidence(team.releases(inf))
    assert team.value(known) > 0.95
    assert team.value(None) == pytest.approx(
        team.world.value_of(np.full(team.space.state_count, -1), team.discount)
        / team.world.optimal_value(team.discount)
    )


def test_noise_of_a_strong_promise_leaves_less_known_than_that_of_a_weak_one(team):
    # Known pairs: 3 to 20 at ε = 0.5 against 50 to 80 at ε = 8 in 200 draws; below 1 in 10^6 that they cross.
    strong, weak = (team.evidence(team.releases(epsilon)).known_count for epsilon in (0.5, 8.0))
    assert strong < weak


def test_developers_in_small_numbers_are_refused(team):
    # 100 developers in each database against three times the noise of ±160 on their number: 2.4 deviations
    # away, so that all three pass by chance in fewer than 1 of 10^6 runs.
    with pytest.raises(PrivacyError, match=r"[012] of 3 contributors report more than noise"):
        team.evidence(team.crowd_releases(300, 0.5))


def test_a_crowd_counts_no_developer_more_than_its_bound(team):
    bound = contribution_bound(protecting(ProtectedUnit.DEVELOPER, team.settings))
    crowd = Crowd.of(team.space, team.logs, 100, bound, 17)
    exact = crowd.statistics(1_000, np.random.default_rng(0))
    # 50 pairs over 17 agents are 2.94 of this agent each; the sum over 1,000 developers within 5 deviations.
    assert exact.visits.sum() == pytest.approx(1_000 * 50 / 17, abs=5 * np.sqrt(1_000 * 50 / 17))
    assert exact.visits.max() <= 1_000
    assert exact.transitions.sum() == pytest.approx(1_000 * 50 / 17, abs=5 * np.sqrt(1_000 * 50 / 17))
    assert 850 < exact.units < 1_000


def test_noise_falls_on_the_cells_that_matter_alone():
    exact = AgentStatistics(5, np.full((3, 2), 7), np.full((3, 2), 70), np.full((4, 3), 9))
    pairs, rows = np.array([[True, True], [False, False], [True, True]]), np.array([True, False, True, False])
    noisy = noised_cells(exact, NoiseScales(1.0, 1.0, 1.0, 1.0), pairs, rows)
    assert (noisy.visits[1] == 0).all()
    assert (noisy.transitions[[1, 3]] == 0).all()
    # Noise of scale 1 is beyond ±6 with a chance below 10^-8 in each of 17 cells.
    assert (np.abs(noisy.visits[[0, 2]] - 7) <= 6).all()
    assert (np.abs(noisy.transitions[[0, 2]] - 9) <= 6).all()


def test_the_refusal_rule_is_printed_for_both_units():
    table = worth_table(Settings())
    assert "| one task | 1 | ±20 |" in table
    assert table.count("no number is enough") == 10


def test_the_own_log_is_played_through_without_leaving(team, monkeypatch, tmp_path):
    monkeypatch.setattr(team_own_log, "EPSILONS", (0.5, 8.0))
    monkeypatch.setattr(team_own_log, "TEAM_SIZES", (3, 4))
    steps = {AGENT: steps_of(team.logs[0])}
    points = own_log_points(steps, shareable_spaces(), {AGENT: team.discount}, Settings())
    assert [(point.privacy_epsilon, point.databases) for point in points] == [
        (0.5, 3), (0.5, 4), (8.0, 3), (8.0, 4),
    ]  # fmt: skip
    # Known: under a half at ε = 0.5, over two thirds at ε = 8; 20 deviations apart.
    assert points[0].known < points[2].known
    assert 0.5 < points[3].kept <= 1.0 + 1e-9
    assert all(0.0 <= point.agreement <= 1.0 for point in points)
    draw_own_log(points, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").stat().st_size > 1_000


def test_an_empty_log_is_said_to_be_empty():
    with pytest.raises(PrivacyError, match="nothing to play through"):
        own_log_points({AGENT: AgentSteps.empty()}, shareable_spaces(), {AGENT: 0.9}, Settings())


def test_what_would_be_refused_is_marked_beside_what_it_would_be_worth():
    cells = tuple(
        Cell(AGENT, 5, unit, epsilon, size, 0.5, 9)
        for unit, size in ((ProtectedUnit.TASK, 3), (ProtectedUnit.DEVELOPER, 3_000))
        for epsilon in EPSILONS
    )
    looks = np.full((2, len(LOOKS)), 0.96)
    curves = {size: NewcomerCurves(AGENT, looks, looks) for size in NEWCOMER_TEAMS}
    figures = [TeamFigures(cells, -0.5, curves)]
    lines = markdown_of(figures, Settings()).splitlines()
    assert "| 3 | " + " | ".join(["50% (50%)"] * 6) + " |" in lines
    # 1,000 developers in each of three databases are enough at ε = 8 alone, and without noise.
    refused = ["refused; 50% (50%)"] * 4
    assert "| 3,000 | " + " | ".join([*refused, "50% (50%)", "50% (50%)"]) + " |" in lines
    assert "| alone | 96% | 0 (0–0) | 0 (0–0) |" in lines
