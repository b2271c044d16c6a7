"""A policy's way on the command line: frozen, served, tested, held, stopped, taken back."""

import json

import numpy as np
import pytest

from qe_core.rollout.assignment import Arm
from qe_core.store import Store
from qe_core.store.ab_tests import UnitRow
from tests.integration.runtime.rollout.playing import (
    AGENT,
    QUICK,
    best,
    frozen,
    opened,
    play_one,
    settings_with,
    worst,
)

INSIST = ("--insist", "a trial")


async def two_versions(store: Store) -> tuple[int, int]:
    """Freeze a good policy and serve it; freeze a bad one."""
    good = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, good.number, by="a test", why="first")
    return good.number, (await frozen(store, worst(), "bad")).number


async def test_versions_are_frozen_listed_shown_promoted_and_remembered(store: Store, qe):
    empty = await qe("policy", "snapshot")
    assert "no agent has experienced anything yet" in empty.stdout
    async with store.live(reading=QUICK) as live:
        await play_one(await opened(live, settings_with()), seed=1)
    taken = await qe("policy", "snapshot", "--why", "before lunch")
    assert AGENT in taken.stdout
    again = await qe("policy", "snapshot", AGENT)
    assert "no, unchanged" in again.stdout
    [version] = json.loads((await qe("policy", "snapshot", AGENT, "--json")).stdout)
    number = str(version["number"])
    assert version["reason"] == "before lunch"
    assert f"Version {number}" in (await qe("policy", "show", number)).stdout
    assert json.loads((await qe("policy", "show", number, "--json")).stdout) == version

    done = await qe("policy", "promote", AGENT, number, "--why", "good [enough]")
    assert done.stdout.strip() == f"{AGENT} serves version {number}"
    state = next(
        of for of in json.loads((await qe("policy", "list", "--json")).stdout) if of["agent"] == AGENT
    )
    assert (state["mode"], state["stable"]) == ("serving", version["number"])
    assert "serving" in (await qe("policy", "list")).stdout
    one = (await qe("policy", "list", AGENT)).stdout
    assert "before lunch" in one
    assert "good" in one
    switched = await qe("policy", "mode", AGENT, "learning", "--why", "a new suite")
    assert switched.stdout.strip() == f"{AGENT} is learning"
    history = json.loads((await qe("policy", "history", AGENT, "--json")).stdout)
    assert [(of["what"], of["after"]) for of in history] == [
        ("mode", "learning"), ("mode", "serving"), ("stable", number),
    ]  # fmt: skip
    assert "good [enough]" in (await qe("policy", "history", AGENT)).stdout


async def test_a_test_is_started_shown_held_moved_and_stopped_by_a_person(store: Store, qe):
    good, bad = await two_versions(store)
    refused = await qe("ab", "start", AGENT, "--candidate", str(bad), "--why", "x")
    assert refused.returncode == 1
    assert "Nothing was started" in refused.stderr
    assert "no running tests" in (await qe("ab", "status")).stdout
    started = await qe("ab", "start", AGENT, "--candidate", str(bad), "--why", "a [trial]", *INSIST)
    assert f"version {bad} against {good}, at 10 %" in started.stdout
    [line] = json.loads((await qe("ab", "status", "--json")).stdout)
    number = str(line["experiment_id"])
    assert line["look"]["verdict"] == "not enough data"
    twice = await qe("ab", "start", AGENT, "--candidate", str(bad), "--why", "x", *INSIST)
    assert twice.returncode == 1
    assert "one at a time" in twice.stderr

    held = await qe("ab", "hold", number, "--why", "weekend")
    assert "is held at 10 %" in held.stdout
    assert "weekend" in json.loads((await qe("ab", "status", "--json")).stdout)[0]["look"]["held_by"]
    released = await qe("ab", "hold", number, "--release", "--why", "Monday")
    assert "goes on by its verdicts" in released.stdout
    moved = await qe("ab", "advance", number, "--why", "quiet")
    assert "is at 50 %" in moved.stdout
    analysed = (await qe("ab", "analyse", number)).stdout
    for text in ("not enough data", "units an arm needs", "quiet", "a [trial]", "Guardrails"):
        assert text in analysed
    full = json.loads((await qe("ab", "analyse", number, "--json")).stdout)
    assert [entry["to_stage"] for entry in full["course"]] == [10, 50]
    stopped = await qe("ab", "stop", number, "--why", "enough")
    assert "ended: stopped by hand" in stopped.stdout
    again = await qe("ab", "stop", number, "--why", "enough")
    assert again.returncode == 1
    assert "has ended" in again.stderr
    assert "stopped by hand" in (await qe("ab", "status", "--all")).stdout


async def test_a_person_may_promote_against_the_verdict_and_roll_back(store: Store, qe):
    good, bad = await two_versions(store)
    started = json.loads(
        (await qe("ab", "start", AGENT, "--candidate", str(bad), "--why", "x", *INSIST, "--json")).stdout
    )
    promoted = await qe("ab", "promote", str(started["experiment_id"]), "--why", "no choice", "--json")
    assert json.loads(promoted.stdout)["verdict"] == "promote"
    assert (await store.policies.serving([AGENT]))[AGENT].stable == bad
    back = await qe("rollback", AGENT, "--why", "no good")
    assert f"is back from version {bad} to version {good}" in back.stdout
    listed = (await qe("policy", "list", AGENT)).stdout
    assert "withdrawn" in listed
    assert "by hand" in listed
    forward = json.loads(
        (await qe("rollback", AGENT, "--to", str(bad), "--why", "it was fine", "--json")).stdout
    )
    assert (forward["to_version"], forward["evidence"]) == (bad, {"why": "it was fine"})
    assert "policy-rolled-back" in (await qe("alerts", "list")).stdout


async def test_missing_units_are_made_good_from_the_log(store: Store, qe):
    good, bad = await two_versions(store)
    test = await store.ab_tests.start(AGENT, key="k", control=good, treatment=bad, by="a test", why="x")
    done = await qe("ab", "recover", str(test.experiment_id))
    assert done.stdout.strip() == "0 units and 0 outcomes were missing and are there now"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("policy", "list", "test-executer"), "did you mean"),
        (("policy", "show", "99"), "99"),
        (("policy", "promote", AGENT, "99", "--why", "x"), "no table yet"),
        (("policy", "mode", AGENT, "servin", "--why", "x"), "did you mean serving"),
        (("policy", "mode", AGENT, "serving", "--why", "x"), "no table yet"),
        (("policy", "snapshot", "nobody"), "nobody"),
        (("ab", "start", AGENT, "--why", "x"), "nothing was learned since"),
        (("ab", "analyse", "99"), "there is no test 99"),
        (("ab", "hold", "99", "--why", "x"), "there is no test 99"),
        (("ab", "stop", "99", "--why", "x"), "there is no test 99"),
        (("rollback", AGENT, "--why", "x"), "take a snapshot first"),
        (("rollback", "nobody", "--why", "x"), "nobody"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(qe_here, command, message):
    outcome = qe_here(*command)
    assert outcome.returncode == 1
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr


async def test_a_result_is_shown_with_every_figure(store: Store, qe):
    good, bad = await two_versions(store)
    test = await store.ab_tests.start(AGENT, key="k", control=good, treatment=bad, by="a test", why="x")
    now, rng = test.started_at, np.random.default_rng(1)
    rows = [
        UnitRow(
            *(test.experiment_id, f"{arm}{n}", 10, arm, version, now),
            *(None, float(rng.normal(mean, 10)), True, 1.0, 2.0, now),
        )
        for arm, version, mean in ((Arm.CONTROL, good, 50.0), (Arm.TREATMENT, bad, 20.0))
        for n in range(60)
    ]
    await store.ab_tests.record_units(rows)
    text = (await qe("ab", "analyse", str(test.experiment_id))).stdout
    assert "stop for harm" in text
    for figure in (
        "Cohen's d",
        "Hedges' g",
        "Welch",
        "interval that holds at every look",
        "power",
        "days to go",
    ):
        assert figure in text
    assert "60 + 60" in (await qe("ab", "status")).stdout
