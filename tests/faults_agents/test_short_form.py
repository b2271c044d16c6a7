"""The short form: processes of agents are killed at random moments and replaced, nothing is lost."""

from pathlib import Path

import pytest

from tests.faults_agents.run import run
from tests.faults_agents.schedule import Plan
from tests.faults_agents.verdict import Diaries, Step, judge

PLAN = Plan(
    seed=4, processes=4, agents=2, episodes=25, kills=4, relapses=2, zombies=1, patience_seconds=240.0
)
STEP: Step = ("test-executor", "a-1", 0)


def test_agents_killed_during_episodes_lose_nothing_and_finish(database_url: str, tmp_path: Path) -> None:
    result = run(PLAN, database_url, tmp_path)
    errors = "".join((tmp_path / str(number) / "errors").read_text() for number in range(PLAN.processes))
    assert result.is_clean, f"{result}\n{errors}"
    assert result.verdict.experiences >= PLAN.processes * PLAN.agents * PLAN.episodes * 3


@pytest.mark.parametrize(
    ("log", "visits", "acknowledged", "life", "wrong"),
    [
        ([], {}, True, 0, {"lost", "unfinished"}),
        ([], {}, False, 0, {"unfinished"}),
        ([], {}, False, 1, set()),
        ([STEP, STEP], {STEP[0]: 2}, True, 0, {"doubled"}),
        ([STEP], {STEP[0]: 2}, True, 0, {"visits_off"}),
        ([STEP, ("test-executor", "b-1", 0)], {STEP[0]: 2}, True, 0, {"invented"}),
        ([STEP], {STEP[0]: 1}, True, 0, set()),
    ],
)
def test_the_judge_finds_what_is_planted(
    log: list[Step], visits: dict[str, int], acknowledged: bool, life: int, wrong: set[str]
) -> None:
    diaries = Diaries({STEP: (0, life)}, frozenset({STEP} if acknowledged else ()))
    verdict = judge(diaries, log, visits, {(0, 1)})
    counts = ("lost", "doubled", "unfinished", "invented", "visits_off")
    assert {name for name in counts if getattr(verdict, name)} == wrong
    assert verdict.is_clean == (not wrong)
