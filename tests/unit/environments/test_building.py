"""The rules by which steps change states and earn points, in a world small enough to follow."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from qe_core.environments.building import draw_world, measurements
from qe_core.environments.declarations import Progress, Step, WorldDeclaration
from qe_core.environments.declared import WORLDS
from qe_core.environments.world import World
from qe_core.fleet.core_testing import COVERAGE_ANALYZER
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardModel, RewardTerm, Target
from qe_core.fleet.vocabulary import Approach

Drawn = Callable[[str, int], World]
DECLARED = {declaration.contract.name: declaration for declaration in WORLDS}


def successors(world: World, code: int, action: str) -> dict[tuple[str, ...], float]:
    """Return the probability of each next state's moving labels, or of the end, after an action."""
    rows = world.outcomes(code, world.contract.action_names.index(action))
    found: dict[tuple[str, ...], float] = {}
    for row in range(rows.start, rows.stop):
        labels = world.contract.state_model.decode(int(world.next_state[row])).model_dump()
        moving = (labels["gap_kind"], labels["coverage_gap"], labels["budget"])
        key = ("the end",) if world.terminated[row] else moving
        found[key] = found.get(key, 0.0) + float(world.probability[row])
    return found


def code_of(world: World, **labels: str) -> int:
    """Return the code of the first reachable state with these labels."""
    for code in np.flatnonzero(world.is_reachable).tolist():
        found = world.contract.state_model.decode(code).model_dump()
        if all(found[name] == label for name, label in labels.items()):
            return int(code)
    raise AssertionError(f"no reachable state with {labels}")


def test_a_look_shows_a_hidden_finding_costs_points_and_gains_nothing(drawn: Drawn) -> None:
    world = drawn("coverage-analyzer", 0)
    hidden = code_of(world, gap_kind="unknown", budget="full")
    after = successors(world, hidden, "context-map")
    assert sum(chance for (kind, *_), chance in after.items() if kind != "unknown") > 0.5
    assert world.reward_mean[hidden, world.contract.action_names.index("context-map")] < 0
    known = code_of(world, gap_kind="branches", budget="full")
    assert all(kind == "branches" for kind, *_ in successors(world, known, "context-map"))


def test_work_that_fits_the_finding_pays_settles_it_and_moves_on_the_gap(drawn: Drawn) -> None:
    world = drawn("coverage-analyzer", 0)
    names = world.contract.action_names
    known = code_of(world, gap_kind="error-paths", coverage_gap="wide", budget="full")
    right, wrong = names.index("send-error-paths"), names.index("send-for-deletion")
    assert world.reward_mean[known, right] > 30 > 0 > world.reward_mean[known, wrong]
    after = successors(world, known, "send-error-paths")
    assert sum(chance for (kind, *_), chance in after.items() if kind == "unknown") > 0.2
    assert sum(chance for (_, gap, _), chance in after.items() if gap == "moderate") > 0.05
    assert all(gap != "narrow" for _, gap, _ in after)


def test_the_budget_only_falls_and_its_end_ends_the_episode(drawn: Drawn) -> None:
    world = drawn("coverage-analyzer", 0)
    order = ("low", "half", "full")
    for budget in order:
        code = code_of(world, budget=budget)
        for action in world.contract.action_names:
            after = successors(world, code, action)
            left = [key[-1] for key in after if key != ("the end",)]
            assert all(order.index(label) in (order.index(budget), order.index(budget) - 1) for label in left)
            assert (("the end",) in after) == (budget == "low")


def test_a_verdict_moves_on_to_another_build_under_the_same_budget(drawn: Drawn) -> None:
    world = drawn("quality-gate", 0)
    features = [feature.name for feature in world.contract.state_model.features()]
    state = code_of(world, evidence="damning", budget="full")
    rows = world.outcomes(state, world.contract.action_names.index("block"))
    arrivals = {
        tuple(world.contract.state_model.decode(int(code)).model_dump()[name] for name in features[:-1])
        for code in world.next_state[rows]
    }
    starts = {
        tuple(world.contract.state_model.decode(int(code)).model_dump()[name] for name in features[:-1])
        for code in np.flatnonzero(world.start)
    }
    assert arrivals == starts


def test_the_gate_prefers_the_verdict_the_evidence_calls_for(drawn: Drawn) -> None:
    world = drawn("quality-gate", 0)
    passing, blocking = (world.contract.action_names.index(name) for name in ("pass", "block"))
    clean, damning = (code_of(world, evidence=label) for label in ("clean", "damning"))
    assert world.reward_mean[clean, passing] > 20 > 0 > world.reward_mean[clean, blocking]
    assert world.reward_mean[damning, blocking] > 20 > -20 > world.reward_mean[damning, passing]


@pytest.mark.parametrize("agent", ["quality-gate", "deployment-readiness"])
def test_whether_to_ask_for_evidence_first_depends_on_the_task(agent: str, drawn: Drawn) -> None:
    """Of the tasks without evidence in five worlds, some are worth a look and some a verdict at once."""
    asked = []
    for seed in range(5):
        world = drawn(agent, seed)
        looks = [step.looks > 0 for step in DECLARED[agent].steps_in_order]
        asked += [
            looks[world.optimal_policy()[code]]
            for code in np.flatnonzero(world.start)
            if world.contract.state_model.decode(int(code)).model_dump()["evidence"] == "missing"
        ]
    assert 0.25 <= np.mean(asked) <= 0.9


def test_a_good_slice_shows_in_the_state_that_follows(drawn: Drawn) -> None:
    world = drawn("test-generator", 0)
    model = world.contract.state_model
    best, worst = [
        divmod(int(index), world.action_count)
        for index in (
            np.where(world.is_reachable[:, np.newaxis], world.reward_mean, -np.inf).argmax(),
            np.where(world.is_reachable[:, np.newaxis], world.reward_mean, np.inf).argmin(),
        )
    ]

    def shows(state: int, action: int, label: str) -> float:
        rows = world.outcomes(state, action)
        goes_on = ~world.terminated[rows]
        shown = [
            model.decode(int(code)).model_dump()["track_record"] for code in world.next_state[rows][goes_on]
        ]
        return float(world.probability[rows][goes_on][[text == label for text in shown]].sum())

    assert shows(*best, "healthy") > shows(*best, "failing")
    assert shows(*worst, "failing") > shows(*worst, "healthy")


def test_measurements_go_through_the_contracts_own_terms() -> None:
    reward = RewardModel(
        (
            RewardTerm("gain", 0.4, Gain(0.5), "share"),
            RewardTerm("pattern_reuse", 0.2, Gain(1.0), "share"),
            RewardTerm("size", 0.2, Target(10.0, 4.0), "tests"),
            RewardTerm("time", 0.2, RelativeToExpected(), "ratio"),
        )
    )
    step = Step(cost=0.5, gains=(), losses=("gain",))
    assert measurements(reward, step, Approach.QUICK, 0.5, 0.7) == {"gain": 0.25, "size": 12.0, "time": 0.7}
    assert measurements(reward, step, Approach.REUSE, 0.5, 0.7)["pattern_reuse"] == 0.5
    assert measurements(reward, step, Approach.REUSE, -0.5, 0.7) == {"gain": -0.25, "time": 0.7}
    assert reward.terms[2].score(12.0) == 0.5


def test_a_world_without_anything_hidden_or_limited_ends_by_its_verdict() -> None:
    steps = {name: Step(cost=1.0, effect=0.5, ends=True) for name in COVERAGE_ANALYZER.action_names}
    world = draw_world(
        WorldDeclaration(contract=COVERAGE_ANALYZER, steps=steps, budget=None, typical_tasks=3), 0
    )
    assert world.terminated.all()
    assert (
        world.next_state
        == np.repeat(np.arange(world.state_count), np.diff(world.outcome_offsets.reshape(-1)[::6]))
    ).all()
    assert world.optimal_value() == pytest.approx(
        world.start @ np.where(world.is_reachable, world.reward_mean.max(axis=1), 0.0)
    )


def test_without_a_visible_budget_each_step_may_be_the_last() -> None:
    steps = {name: Step(cost=0.5, effect=0.5) for name in COVERAGE_ANALYZER.action_names}
    steps["line-report"] = Step(cost=0.5, moves_on=True)
    declared = WorldDeclaration(
        contract=COVERAGE_ANALYZER, steps=steps, budget=None, spending=0.2, typical_tasks=3
    )
    world = draw_world(declared, 0)
    state = int(np.flatnonzero(world.start)[0])
    rows = world.outcomes(state, 0)
    over = world.probability[rows][world.terminated[rows]].sum()
    assert over == pytest.approx(0.1, rel=0.5)
    goes_on = ~world.terminated[rows]
    arrivals = world.start[world.next_state[rows][goes_on]] * (1 - over)
    assert world.probability[rows][goes_on].tolist() == pytest.approx(arrivals.tolist())
    assert world.reward_mean[state, 0] == 0.0


def test_the_last_label_of_progress_stays() -> None:
    declared = DECLARED["coverage-analyzer"]
    progress = Progress("coverage_gap", ("wide", "moderate", "narrow"), (1.0, 1.0, 1.0), rate=1.0)
    world = draw_world(replace(declared, progress=progress), 0)
    narrow = code_of(world, coverage_gap="narrow", budget="full")
    assert {gap for _, gap, _ in successors(world, narrow, "send-branches")} == {"narrow"}
