"""The short form: one race with a death at every step, every planted fault, and the judge by itself."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.budget_races.contributor import STEPS, Doom, Plant
from tests.budget_races.judge import Evidence, Release, judge
from tests.budget_races.races import PLANTED, Plan, prepare, race
from tests.faults.place import Server

EVERY_STEP = tuple(Doom(step, is_late=False) for step in STEPS)
EARLY, LATE = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
SOUND = Evidence(
    lifetime_nano_rho=20,
    debits=[("a", 10, EARLY), ("b", 10, EARLY)],
    releases={"a": Release(10, is_sent=True, may_have_arrived=True), "b": Release(10)},
    logged=Counter(["a", "b"]),
    pushed=Counter(["a"]),
    received={"a": LATE},
    digests={"a": {"x"}, "b": {"y"}},
    made_of={"a": frozenset({1, 2}), "b": frozenset({3})},
    finished=frozenset({1, 2, 3, 4}),
    waiting=frozenset({4}),
)


@pytest.fixture(scope="module")
def killable(server_directory: Path) -> Iterator[Server]:
    """A server that can be killed, prepared for races."""
    folder = server_directory / "races"
    folder.mkdir(mode=0o711)
    folder.chmod(0o711)
    server = Server(folder, folder / "log")
    server.start()
    asyncio.run(prepare(server))
    yield server
    server.embedded.stop()


async def test_releases_at_once_with_a_death_at_every_step_never_overspend(
    killable: Server, tmp_path: Path
) -> None:
    plan = Plan(seed=6, processes=4, affordable=16.5, dooms=EVERY_STEP, server_kills=1)
    result = await race(plan, killable, tmp_path)
    errors = tmp_path / "errors"
    assert result.is_clean, f"{result}\n{errors.read_text() if errors.exists() else ''}"
    assert set(result.deaths) | {doom.step for doom in result.unmet} == set(STEPS)
    assert len(result.unmet) <= 3
    assert (result.verdict.releases, result.server_kills) == (16, 1)


@pytest.mark.parametrize("plant", list(Plant))
async def test_a_planted_fault_is_found(plant: Plant, killable: Server, tmp_path: Path) -> None:
    result = await race(PLANTED[plant].plan(seed=1), killable, tmp_path)
    assert PLANTED[plant].is_found_as in result.verdict.faults
    assert not result.stuck


def test_the_judge_has_nothing_against_what_is_sound() -> None:
    assert judge(SOUND).faults == {}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"lifetime_nano_rho": 19}, {"overspent": 1}),
        ({"debits": SOUND.debits[:1]}, {"unpaid": 1}),
        ({"debits": [*SOUND.debits[:1], ("b", 9, EARLY)]}, {"unpaid": 2}),
        ({"debits": [("a", 10, LATE.replace(day=3)), SOUND.debits[1]]}, {"published_unpaid": 1}),
        (
            {"received": {**SOUND.received, "c": LATE}, "made_of": {**SOUND.made_of, "c": frozenset({4})}},
            {"published_unpaid": 1},
        ),
        ({"received": {}}, {"lost": 1}),
        ({"waiting": frozenset()}, {"lost": 1}),
        ({"logged": Counter(["a"])}, {"unlogged": 1}),
        ({"pushed": Counter(["a", "a"])}, {"unlogged": 1}),
        ({"digests": {"a": {"x", "z"}}}, {"noise_changed": 1}),
        ({"made_of": {"a": frozenset({1, 2}), "b": frozenset({2, 3})}}, {"sent_twice": 1}),
    ],
)
def test_the_judge_finds_what_is_wrong(changed: dict[str, object], found: dict[str, int]) -> None:
    assert judge(replace(SOUND, **changed)).faults == found  # type: ignore[arg-type]


def test_tasks_of_a_withdrawn_release_are_free_unless_it_may_have_arrived() -> None:
    both = {"a": frozenset({1, 2, 3}), "b": frozenset({3})}
    for may_have_arrived, found in ((False, {}), (True, {"sent_twice": 1})):
        withdrawn = Release(10, is_withdrawn=True, may_have_arrived=may_have_arrived)
        evidence = replace(SOUND, made_of=both, releases={**SOUND.releases, "b": withdrawn})
        assert judge(evidence).faults == found
