"""The short form: processes of agents are killed at random moments and replaced, nothing is lost."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import QETask
from qe_core.store import Store
from tests.conftest import execute
from tests.faults_agents.phases import Phase, phases
from tests.faults_agents.player import Diary, Seat, WatchedJournal, work
from tests.faults_agents.run import run
from tests.faults_agents.schedule import RECOVERY_SECONDS, Plan, schedule
from tests.faults_agents.verdict import Diaries, Step, judge, stored

PLAN = Plan(
    seed=4, processes=4, agents=2, episodes=25, kills=4, relapses=2, zombies=1, patience_seconds=240.0
)
STEP: Step = ("test-executor", "a-1", 0)
LOSE_ONE = "DELETE FROM experience_chunks WHERE chunk_id = (SELECT min(chunk_id) FROM experience_chunks)"
_COLUMNS = (
    "agent, fingerprint, source, experiences, first_at, last_at, occurred_at, episode, step, state, action, "
    "reward, next_state, terminated, truncated, propensity, exploration_rate, success, policy_version"
)
DOUBLE_ONE = (
    f"INSERT INTO experience_chunks ({_COLUMNS}) SELECT {_COLUMNS} FROM experience_chunks "
    "WHERE chunk_id = (SELECT max(chunk_id) FROM experience_chunks)"
)


def diaries(*, life: int = 0, is_noted: bool = True, is_acknowledged: bool = False) -> Diaries:
    some, none = frozenset({STEP}), frozenset[Step]()
    return Diaries({STEP: (0, life)}, some if is_noted else none, some if is_acknowledged else none)


def test_agents_killed_during_episodes_lose_nothing_and_finish(database_url: str, tmp_path: Path) -> None:
    result = run(PLAN, database_url, tmp_path)
    errors = "".join((tmp_path / str(number) / "errors").read_text() for number in range(PLAN.processes))
    assert result.is_clean, f"{result}\n{errors}"
    assert result.verdict.experiences >= PLAN.processes * PLAN.agents * PLAN.episodes * 3


@pytest.mark.parametrize(
    ("log", "visits", "diaries", "wrong"),
    [
        ([], {}, diaries(is_acknowledged=True), {"lost", "unfinished"}),
        ([], {}, diaries(), {"unfinished"}),
        ([], {}, diaries(is_noted=False), set()),
        ([], {}, diaries(life=1), set()),
        ([STEP, STEP], {STEP[0]: 2}, diaries(is_acknowledged=True), {"doubled"}),
        ([STEP], {STEP[0]: 2}, diaries(is_acknowledged=True), {"visits_off"}),
        ([STEP, ("test-executor", "b-1", 0)], {STEP[0]: 2}, diaries(), {"invented"}),
        ([STEP], {STEP[0]: 1}, diaries(is_acknowledged=True), set()),
    ],
)
def test_the_judge_finds_what_is_planted(
    log: list[Step], visits: dict[str, int], diaries: Diaries, wrong: set[str]
) -> None:
    verdict = judge(diaries, log, visits, {(0, 1)})
    counts = ("lost", "doubled", "unfinished", "invented", "visits_off")
    assert {name for name in counts if getattr(verdict, name)} == wrong
    assert verdict.is_clean == (not wrong)
    assert verdict.not_begun == (STEP not in diaries.noted)


async def test_a_loss_and_a_double_in_the_database_are_found(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "0"
    path.mkdir()
    diary, rng = Diary(path / "diary"), np.random.default_rng(1)
    async with store.live() as live:
        learner = await Learner.open(live, STEP[0], Settings(), rng)
        with WatchedJournal(path / "notes", diary, 0) as journal:
            agent = QEAgent(learner, dict.fromkeys(learner.contract.action_names, work), journal=journal)
            for _ in range(3):
                inputs = {"is_last": True, "pause": 0.0, "points": 1.0}
                await agent.execute_with_learning(QETask(context=5, inputs=inputs))
    found = Diaries.read([path])
    assert judge(found, *await asyncio.to_thread(stored, database_url), set()).is_clean
    await asyncio.to_thread(execute, database_url, LOSE_ONE)
    lost = judge(found, *await asyncio.to_thread(stored, database_url), set())
    assert (lost.lost, lost.doubled, lost.visits_off) == (1, 0, 1)
    await asyncio.to_thread(execute, database_url, DOUBLE_ONE)
    doubled = judge(found, *await asyncio.to_thread(stored, database_url), set())
    assert (doubled.lost, doubled.doubled, doubled.visits_off) == (1, 1, 0)


def test_an_agent_that_is_not_done_in_time_is_stuck(database_url: str, tmp_path: Path) -> None:
    result = run(
        replace(PLAN, processes=1, kills=1, relapses=0, patience_seconds=0.1), database_url, tmp_path
    )
    assert (result.stuck, result.is_clean) == (1, False)


def test_every_seat_is_hit_and_some_again_at_once() -> None:
    plan = replace(PLAN, processes=5, kills=12, relapses=4, zombies=3)
    blows = schedule(plan, np.random.default_rng(1))
    assert len(blows) == plan.blows
    assert {blow.seat for blow in blows} == set(range(5))
    assert sum(blow.is_only_stopped for blow in blows) == 3
    again = [later for earlier, later in pairwise(blows) if earlier.seat == later.seat]
    assert len([blow for blow in again if blow.after_seconds < RECOVERY_SECONDS]) >= 4
    assert blows == schedule(plan, np.random.default_rng(1))


def test_a_diary_tells_what_an_agent_was_doing(tmp_path: Path) -> None:
    seat = Seat("", str(tmp_path), 0, 1, ("a", "b", "c", "d"), 1, 0)
    lines = ["noted 0 a e 0", "resumed 1 a", "resumed 1 b", "resumed 1 c", "decided 1 a e 1", "noted 1 a e 1"]
    lines += ["noted 1 b e 0", "happened 1 b e 0", "acknowledged 1 c e 0", "happened 1 d e 0"]
    (tmp_path / "diary").write_text("\n".join(lines) + "\n")
    assert phases(tmp_path / "diary", seat) == dict.fromkeys(Phase, 1)
