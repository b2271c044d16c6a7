"""A pilot's plan and the home it is played in."""

from pathlib import Path

import pytest

from qe_core.config import configured_database_url, home_apart, project_home
from qe_core.errors import LearningError
from qe_core.runtime.pilot.live import exploration
from qe_core.runtime.pilot.plan import LAST_RATE, PilotError, PilotPlan, begin_or_go_on, pilot_home


def test_a_home_holds_one_pilot_and_says_which(tmp_path: Path) -> None:
    with home_apart(tmp_path / "pilot"):
        begin_or_go_on(PilotPlan())
        begin_or_go_on(PilotPlan(episodes=80))  # more of the same
        with pytest.raises(PilotError, match=r"tasks 100 seed 0 world 0, not .* tasks 7 .*--fresh"):
            begin_or_go_on(PilotPlan(tasks=7))


def test_the_pilot_has_no_part_in_what_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QE_HOME", str(tmp_path))
    monkeypatch.setenv("QE_DATABASE_URL", "postgresql://somebody/else")
    home = pilot_home(PilotPlan(is_recorded=True))
    assert home == tmp_path / "pilot" / "recorded"
    with home_apart(home):
        assert (project_home(), configured_database_url()) == (home, None)
    assert (project_home(), configured_database_url()) == (tmp_path, "postgresql://somebody/else")


def test_the_graph_looks_ten_times() -> None:
    assert PilotPlan().rounds_every == 5
    assert PilotPlan(episodes=3).rounds_every == 1


@pytest.mark.parametrize("changed", [{"tasks": 0}, {"episodes": 0}, {"seed": -1}, {"world_seed": -1}])
def test_an_impossible_plan_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(LearningError, match="at least one task"):
        PilotPlan(**changed)


def test_exploration_falls_until_the_share_of_tasks_is_done() -> None:
    def rate(done: int) -> float:
        return exploration(5_000, done, LAST_RATE).exploration_rate

    assert rate(0) == 1.0
    assert rate(1_500) == pytest.approx(LAST_RATE**0.5)
    assert rate(3_000) == pytest.approx(LAST_RATE)
    assert rate(4_999) == LAST_RATE
    assert PilotPlan().last_rate == LAST_RATE
    assert PilotPlan(is_recorded=True).last_rate == 0.3
