"""Training for real: sessions are played once, continue where they should, and end in tables."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from qe_core.cli import training
from qe_core.config import Settings, load_settings
from qe_core.environments.catalogue import world_of
from qe_core.errors import LearningError, StoreError
from qe_core.fleet import registry
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.q_table import quantised_weights
from qe_core.runtime.identity import pseudonyms_at
from qe_core.runtime.training import TrainingPlan, next_seed, simulated_play, train

AGENT = "quality-gate"
CONTRACT = registry().get(AGENT)
PLAY = simulated_play(world_of(CONTRACT), load_settings().values)


async def play(store, **changes):
    return await train(store, CONTRACT, TrainingPlan(AGENT, **{"episodes": 20, **changes}), "simulated", PLAY)


async def log(store):
    return (await store.experiences.read_columns(AGENT, 0, 100_000)).drop_columns("experience_id")


async def test_a_session_is_stored_as_it_was_played(store):
    report = await play(store)
    played = PLAY(TrainingPlan(AGENT, 20), None)
    stored = await store.experiences.load_transitions(AGENT, CONTRACT.fingerprint)
    assert report.experiences_new == len(played.transitions) == len(stored)
    assert stored.state.tolist() == played.transitions.state.tolist()
    assert stored.reward.tolist() == played.transitions.reward.tolist()
    rows = await log(store)
    assert rows["propensity"].to_pylist() == played.propensity.tolist()
    assert rows["success"].drop_null().to_pylist() == played.is_success.tolist()
    assert rows["success"].is_valid().to_pylist() == played.is_last_step.tolist()
    assert set(rows["source"].to_pylist()) == {"simulated"}


async def test_the_same_session_again_plays_nothing(store):
    await play(store)
    before = await log(store)
    again = await play(store)
    assert (again.is_repeated, again.experiences_new) == (True, 0)
    assert (await log(store)).equals(before)


async def test_a_session_interrupted_while_storing_is_completed_and_not_doubled(store, monkeypatch):
    whole = store.imports.append_chunk

    async def fail(*arguments):
        await whole(*arguments)
        raise StoreError("the connection was lost")

    monkeypatch.setattr(store.imports, "append_chunk", fail)
    with pytest.raises(StoreError):
        await play(store)
    monkeypatch.setattr(store.imports, "append_chunk", whole)
    before = await log(store)
    await play(store)
    assert (await log(store)).equals(before)
    assert [record.state for record in await store.imports.history()] == ["done"]


async def test_other_seeds_worlds_and_lengths_are_other_sessions(store):
    counts = [
        (await play(store, **changes)).experiences_new
        for changes in ({}, {"seed": 1}, {"world_seed": 1}, {"episodes": 21})
    ]
    assert min(counts) > 0
    assert len(await log(store)) == sum(counts)


async def test_the_next_seed_is_the_first_unused_one(store):
    assert await next_seed(store, AGENT, 0) == 0
    await play(store)
    await play(store, seed=2)
    assert await next_seed(store, AGENT, 0) == 1
    assert await next_seed(store, AGENT, 5) == 0
    assert await next_seed(store, "test-executor", 0) == 0


async def test_a_continued_session_starts_from_the_stored_table(store):
    await play(store, episodes=300)
    transitions = await store.experiences.load_transitions(AGENT, CONTRACT.fingerprint)
    table = q_table_from_transitions(transitions, CONTRACT.state_count, CONTRACT.action_count, 0.95)
    handle = await store.q_tables.ensure(
        "individual", AGENT, CONTRACT.fingerprint, CONTRACT.state_count, CONTRACT.action_names
    )
    await store.q_tables.publish(handle, table, quantised_weights(table), handle.version, {})
    fresh = PLAY(TrainingPlan(AGENT, 50, seed=1), None)
    await play(store, episodes=50, seed=1, is_continuing=True)
    rewards = (await log(store))["reward"].to_pylist()[len(transitions) :]
    assert sum(rewards) > 1.2 * fresh.transitions.reward.sum()


@pytest.mark.parametrize("rule", ["pooled", "matching", "epsilon_greedy"])
def test_every_rule_plays_and_plays_differently(rule):
    plan = TrainingPlan(AGENT, 30)
    settings = Settings.model_validate({"exploration": {"session_rule": rule}})
    played = simulated_play(world_of(CONTRACT), settings)(plan, None)
    is_default = np.array_equal(played.transitions.reward, PLAY(plan, None).transitions.reward)
    assert is_default == (rule == "pooled")


@pytest.mark.parametrize(
    "changes", [{"episodes": 0}, {"episodes": 1_000_001}, {"seed": -1}, {"world_seed": -1}]
)
def test_an_impossible_plan_is_refused(changes):
    with pytest.raises(LearningError):
        TrainingPlan(AGENT, **{"episodes": 20, **changes})


async def test_the_command_plays_learns_and_reports(store, qe, server_directory):
    home = {"QE_HOME": str(server_directory / "training home")}
    outcome = await qe("train", "--agent", AGENT, "--episodes", "40", "--json", **home)
    assert outcome.returncode == 0, outcome.stderr
    (report,) = json.loads(outcome.stdout)
    assert (report["agent"], report["seed"], report["source"]) == (AGENT, 0, "simulated")
    lines = {line["agent"]: line for line in json.loads((await qe("status", "--json")).stdout)}
    assert lines[AGENT]["updates"] == lines[AGENT]["experiences"] == report["experiences_new"]


async def test_sessions_belong_to_whom_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> None:
    for name, value in {
        "QE_DATABASE_URL": database_url,
        "QE_HOME": str(tmp_path),
        "QE_TEAM__DEVELOPER": "ada",
        "QE_TEAM__PROJECT": "checkout",
    }.items():
        monkeypatch.setenv(name, value)
    await training._train([CONTRACT], 20, 0, None, True)
    by_key = pseudonyms_at(tmp_path / "privacy.key")
    with closing(psycopg2.connect(database_url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT DISTINCT developer, project FROM experience_chunks")
        assert cursor.fetchall() == [(by_key.of("developer", "ada"), by_key.of("project", "checkout"))]
