"""What agents serve: moved in one transaction with its history, and never to what it must not be."""

import psycopg2
import pytest

from qe_core.rollout.assignment import Stage
from qe_core.store import Store
from qe_core.store.ab_tests import EndVerdict
from qe_core.store.errors import PolicyError
from qe_core.store.live import Live
from qe_core.store.policies import Alias, Mode, ServingState
from tests.conftest import execute
from tests.integration.store.playing import AGENT, CONTRACT, play


@pytest.fixture
async def numbers(store: Store, live: Live) -> tuple[int, int]:
    """Two versions of the agent."""
    found = []
    for reward in (1.0, 2.0):
        await play(store, live, [reward])
        found.append((await store.policies.snapshot(CONTRACT, reason="test", by="me")).number)
    return found[0], found[1]


async def test_an_agent_nobody_has_changed_is_learning(store: Store) -> None:
    assert await store.policies.serving(["nobody"]) == {"nobody": ServingState("nobody")}


async def test_a_promotion_moves_alias_and_mode_and_ends_its_test(
    store: Store, numbers: tuple[int, int]
) -> None:
    first, second = numbers
    state = await store.policies.promote(AGENT, first, by="ann", why="to begin with")
    assert (state.mode, state.stable, state.candidate, state.numbers) == (
        Mode.SERVING,
        first,
        None,
        frozenset([first]),
    )
    test = await store.ab_tests.start(
        AGENT, key="k", control=first, treatment=second, by="ann", why="try", stage=Stage.HALF
    )
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert state.test is not None
    assert (state.candidate, state.numbers, state.test.plan.treatment_below) == (
        second,
        frozenset([first, second]),
        0.5,
    )
    state = await store.policies.promote(AGENT, second, by="bob", why="it won")
    assert (state.stable, state.candidate, state.test) == (second, None, None)
    assert (await store.ab_tests.test(test.experiment_id)).verdict is EndVerdict.PROMOTE
    changes = [
        (one.what, one.before, one.after, one.changed_by) for one in await store.policies.history(AGENT)
    ]
    assert changes == [
        ("candidate", str(second), None, "bob"),
        ("stable", str(first), str(second), "bob"),
        ("candidate", None, str(second), "ann"),
        ("mode", "learning", "serving", "ann"),
        ("stable", None, str(first), "ann"),
    ]


async def test_what_holds_already_is_no_change(store: Store, numbers: tuple[int, int]) -> None:
    await store.policies.promote(AGENT, numbers[0], by="me", why="good")
    before = await store.policies.history(AGENT)
    await store.policies.promote(AGENT, numbers[0], by="me", why="again")
    await store.policies.set_mode(AGENT, Mode.SERVING, by="me", why="again")
    assert await store.policies.history(AGENT) == before


async def test_an_agent_serves_only_with_a_stable_version(store: Store, numbers: tuple[int, int]) -> None:
    with pytest.raises(PolicyError, match="needs a stable version; promote one"):
        await store.policies.set_mode(AGENT, Mode.SERVING, by="me", why="now")
    await store.policies.promote(AGENT, numbers[0], by="me", why="good")
    with pytest.raises(PolicyError, match="serving needs a stable version"):
        await store.policies.point(AGENT, Alias.STABLE, None, by="me", why="away")
    await store.policies.set_mode(AGENT, Mode.LEARNING, by="me", why="let it learn")
    state = await store.policies.point(AGENT, Alias.STABLE, None, by="me", why="away")
    assert (state.mode, state.stable) == (Mode.LEARNING, None)


async def test_another_version_is_not_promoted_while_a_test_runs(
    store: Store, live: Live, numbers: tuple[int, int]
) -> None:
    await play(store, live, [3.0])
    third = (await store.policies.snapshot(CONTRACT, reason="test", by="me")).number
    await store.ab_tests.start(AGENT, key="k", control=numbers[0], treatment=third, by="me", why="try")
    with pytest.raises(PolicyError, match="is running; stop it before version"):
        await store.policies.promote(AGENT, numbers[1], by="me", why="no")


async def test_unknown_agents_and_versions_of_others_are_refused(
    store: Store, numbers: tuple[int, int]
) -> None:
    with pytest.raises(PolicyError, match="nobody has no table yet"):
        await store.policies.promote("nobody", numbers[0], by="me", why="no")
    await store.q_tables.ensure("individual", "another", "f", 3, ["a", "b"])
    with pytest.raises(PolicyError, match=f"is {AGENT}'s, not another's"):
        await store.policies.promote("another", numbers[0], by="me", why="no")
    with pytest.raises(PolicyError, match="there is no policy version 99999"):
        await store.policies.point(AGENT, Alias.CANDIDATE, 99_999, by="me", why="no")


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE policy_history SET why = 'other'", "never changed"),
        ("DELETE FROM policy_history", "never changed"),
        ("TRUNCATE rollback_events, excluded_experiences", "never changed"),
        ("UPDATE policy_versions SET reason = 'other'", "never changed"),
        ("UPDATE table_snapshots SET states = 0", "never changed"),
        ("UPDATE policy_aliases SET agent = 'another'", "violates foreign key"),
        ("DELETE FROM policy_aliases", "violates foreign key"),
        ("INSERT INTO agent_modes VALUES ('another', 'serving')", "violates foreign key"),
        ("INSERT INTO policy_aliases VALUES ('another', 'stable', 1)", "violates foreign key"),
        ("DELETE FROM policy_versions", "violates foreign key"),
    ],
)
async def test_the_schema_refuses_states_that_must_not_be(
    store: Store, numbers: tuple[int, int], database_url: str, statement: str, refusal: str
) -> None:
    await store.policies.promote(AGENT, numbers[0], by="me", why="good")
    with pytest.raises(psycopg2.Error, match=refusal):
        execute(database_url, statement)
