"""The watch over what serves: what it compares, what it takes back, whom it tells."""

from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest

from qe_core.errors import UnknownAgentError
from qe_core.fleet import registry
from qe_core.rollout.assignment import Stage
from qe_core.rollout.rollback import RollbackVerdict
from qe_core.runtime.rollout.rollback_manager import WATCH, PolicyRollbackManager, Watched
from qe_core.store import Store
from qe_core.store.ab_tests import EndVerdict
from qe_core.store.policies import Mode, PolicyVersion
from tests.integration.runtime.rollout.playing import AGENT, CONTRACT, best, frozen, settings_with, worst

SETTINGS = settings_with()
_episodes = count()


async def lived(store: Store, version: int | None, tasks: int, success: float, reward: float = 30.0) -> None:
    """Have tasks of one step each follow a version, of known quality."""
    rng = np.random.default_rng(tasks)
    outcomes = np.arange(tasks) < round(success * tasks)
    rng.shuffle(outcomes)
    now = datetime.now(UTC)
    await store.experiences.append(
        {
            "occurred_at": [now + timedelta(microseconds=number) for number in range(tasks)],
            "agent": AGENT,
            "episode": [f"e{next(_episodes)}" for _ in range(tasks)],
            "step": 0,
            "state": 5,
            "action": np.zeros(tasks, dtype=np.int16),
            "reward": np.clip(rng.normal(reward, 5.0, tasks), -100, 100),
            "next_state": 5,
            "terminated": True,
            "truncated": False,
            "propensity": 1.0,
            "exploration_rate": 0.0,
            "success": outcomes,
            "policy_version": None if version is None else np.full(tasks, version),
            "fingerprint": CONTRACT.fingerprint,
            "source": "agent",
        }
    )


async def watched(store: Store, now: datetime | None = None, **changed: object) -> list[Watched]:
    manager = PolicyRollbackManager(store, settings_with(**changed))
    return [of for of in await manager.watch(now or datetime.now(UTC)) if of.agent == AGENT]


async def serving(store: Store) -> tuple[PolicyVersion, PolicyVersion]:
    """Have one version serve well for a while, and another one take its place."""
    good = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, good.number, by="a test", why="first")
    await lived(store, good.number, 400, success=0.9)
    following = await frozen(store, worst(), "following")
    await store.policies.promote(AGENT, following.number, by="a test", why="next")
    return good, following


async def open_kinds(store: Store) -> list[str]:
    return [alert.kind for alert in await store.alerts.list_alerts()]


async def test_a_healthy_version_stays(store: Store) -> None:
    _, following = await serving(store)
    await lived(store, following.number, 2_500, success=0.9)
    [look] = await watched(store)
    assert (look.version, look.decision.verdict) == (following.number, RollbackVerdict.HEALTHY)
    assert look.event is None
    assert await open_kinds(store) == []


async def test_a_version_that_does_harm_is_taken_back_with_its_evidence_and_an_alert(store: Store) -> None:
    good, bad = await serving(store)
    await lived(store, bad.number, 300, success=0.5, reward=0.0)
    [look] = await watched(store)
    assert look.decision.verdict is RollbackVerdict.ROLL_BACK
    assert look.event is not None
    assert (look.event.served_version, look.event.to_version) == (bad.number, good.number)
    assert look.event.rolled_back_by == WATCH
    assert set(look.event.trigger.split(", ")) <= {"success_rate", "mean_return", "sequential"}
    assert look.event.evidence["baseline"]["tasks"] == 400
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert (state.mode, state.stable) == (Mode.SERVING, good.number)
    assert await open_kinds(store) == ["policy-rolled-back"]
    # Right after, the version gone back to has no tasks of its own yet: nothing flaps.
    [after] = await watched(store)
    assert (after.version, after.event) == (good.number, None)


async def test_within_the_cool_down_people_are_told_instead(store: Store) -> None:
    _, bad = await serving(store)
    await lived(store, bad.number, 300, success=0.5, reward=0.0)
    await watched(store)
    third = await frozen(store, np.zeros(CONTRACT.state_count, dtype=np.int64), "third")
    await store.policies.promote(AGENT, third.number, by="a test", why="another try")
    await lived(store, third.number, 300, success=0.4, reward=0.0)
    [look] = await watched(store)
    assert (look.decision.verdict, look.event) == (RollbackVerdict.COOLING_DOWN, None)
    assert look.trouble == "it was rolled back not long ago"
    assert sorted(await open_kinds(store)) == ["policy-rolled-back", "policy-worse"]
    [later] = await watched(store, datetime.now(UTC) + timedelta(hours=2))
    # By the server's clock it is still early: the store has the last word.
    assert later.event is None
    assert "rests for" in later.trouble
    assert (await store.policies.serving([AGENT]))[AGENT].stable == third.number


async def test_where_rollbacks_are_switched_off_people_are_told_until_it_is_over(store: Store) -> None:
    _, bad = await serving(store)
    await lived(store, bad.number, 300, success=0.5, reward=0.0)
    [look] = await watched(store, is_rolling_back=False)
    assert (look.event, look.trouble) == (None, "automatic rollbacks are switched off")
    assert await open_kinds(store) == ["policy-worse"]
    await lived(store, bad.number, 4_000, success=0.95, reward=40.0)
    [better] = await watched(store, is_rolling_back=False)
    assert better.decision.verdict is RollbackVerdict.HEALTHY
    assert await open_kinds(store) == []


async def test_a_live_table_that_turns_bad_goes_back_to_before_it_did(store: Store) -> None:
    early = await frozen(store, best(), "early")
    await lived(store, None, 600, success=0.9)
    good = await frozen(store, np.roll(best(), 1), "good")
    await lived(store, None, 30, success=0.9)
    poisoned = await frozen(store, worst(), "poisoned")
    await lived(store, None, 400, success=0.3, reward=-20.0)
    late = await frozen(store, np.roll(worst(), 1), "too late")
    await lived(store, None, 100, success=0.3, reward=-20.0)
    [look] = await watched(store)
    assert look.version is None
    assert look.event is not None
    assert look.event.to_version < late.number
    assert early.number <= look.event.to_version <= poisoned.number
    assert good.number < poisoned.number
    assert look.event.mode is Mode.LEARNING


async def test_an_agent_without_versions_cannot_be_taken_back_and_says_so(store: Store) -> None:
    await store.q_tables.ensure(
        *("individual", AGENT, CONTRACT.fingerprint, CONTRACT.state_count, CONTRACT.action_names)
    )
    await lived(store, None, 600, success=0.9)
    await lived(store, None, 500, success=0.3, reward=-20.0)
    [look] = await watched(store)
    assert look.event is None
    assert "take a snapshot first" in look.trouble
    assert await open_kinds(store) == ["policy-worse"]


async def test_tasks_nobody_can_judge_are_told_and_hide_no_other_agent(store: Store) -> None:
    """The impossible return: one episode of 1,001 steps of 100 points."""
    steps = 1_001
    await lived(store, None, 100, success=0.9)
    episode = {
        "occurred_at": [datetime.now(UTC) + timedelta(seconds=1, microseconds=step) for step in range(steps)],
        "agent": AGENT, "episode": "endless", "step": np.arange(steps), "state": 5,
        "action": np.zeros(steps, dtype=np.int16), "reward": 100.0, "next_state": 5,
        "terminated": np.arange(steps) == steps - 1, "truncated": False, "propensity": 1.0,
        "exploration_rate": 0.0, "success": None, "policy_version": None,
        "fingerprint": CONTRACT.fingerprint, "source": "agent",
    }  # fmt: skip
    await store.experiences.append(episode)
    seen = await PolicyRollbackManager(store, settings_with()).watch(datetime.now(UTC))
    assert {look.agent for look in seen} == set(registry().names()) - {AGENT}
    [alert] = await store.alerts.list_alerts()
    assert (alert.kind, alert.subject) == ("policy-unwatched", AGENT)
    assert "returns must be finite and within" in alert.summary
    await lived(store, None, 4_100, success=0.9)
    assert len(await watched(store)) == 1
    assert await open_kinds(store) == []


async def test_a_candidate_is_watched_in_its_test_and_compared_with_its_control(store: Store) -> None:
    good = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, good.number, by="a test", why="first")
    await lived(store, good.number, 500, success=0.9)
    bad = await frozen(store, worst(), "candidate")
    test = await store.ab_tests.start(
        AGENT, key="k", control=good.number, treatment=bad.number, by="a test", why="x", stage=Stage.TENTH
    )
    await lived(store, bad.number, 200, success=0.4, reward=0.0)
    looks = await watched(store)
    assert [look.version for look in looks] == [good.number, bad.number]
    assert looks[1].event is not None
    assert (looks[1].event.served_version, looks[1].event.to_version) == (bad.number, good.number)
    assert (await store.ab_tests.test(test.experiment_id)).verdict is EndVerdict.HARM
    assert (await store.policies.serving([AGENT]))[AGENT].stable == good.number


async def test_a_rollback_by_hand_waits_for_nothing(store: Store) -> None:
    good, bad = await serving(store)
    manager = PolicyRollbackManager(store, SETTINGS)
    back = await manager.roll_back(AGENT, by="Ada", why="it feels wrong")
    assert (back.to_version, back.trigger, back.evidence) == (
        good.number,
        "by hand",
        {"why": "it feels wrong"},
    )
    forth = await manager.roll_back(AGENT, by="Ada", why="it was right", to=bad.number)
    assert forth.to_version == bad.number
    with pytest.raises(UnknownAgentError):
        await manager.roll_back("nobody", by="Ada", why="x")
