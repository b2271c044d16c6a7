"""The contract of an agent: its rules, what follows from it, its fingerprint."""

from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import pytest

from qe_core.errors import ContractError
from qe_core.fleet.contract import AgentContract, SuccessRule, shared_fingerprint
from qe_core.fleet.core_testing import TEST_EXECUTOR, ExecutorAction
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.performance_security import SecurityState
from qe_core.fleet.rewards import default_rewards
from qe_core.fleet.roster import AGENTS
from qe_core.fleet.vocabulary import Approach, Category, CoreTestingContext, FleetContext

RULE = TEST_EXECUTOR.success


class TwoActions(StrEnum):
    """The fewest there may be."""

    GO = "go"
    STAY = "stay"


class Shouting(StrEnum):
    """Names that are no field terms."""

    GO = "GO!"
    STAY = "stay"


class Lonely(StrEnum):
    """Nothing to choose."""

    GO = "go"


class Vast(CoreTestingContext):
    """Too many states."""

    thousandth: Annotated[str, Labels(*(f"label-{number}" for number in range(1000)))]


TWO = {TwoActions.GO: Approach.QUICK, TwoActions.STAY: Approach.GUARDED}

VIOLATIONS: list[tuple[dict[str, Any], str]] = [
    ({"name": "Test Executor"}, "agent 'Test Executor': a name is lower-case ASCII words joined by hyphens"),
    ({"name": ""}, "a name is lower-case ASCII words"),
    ({"state_model": SecurityState}, "SecurityState must inherit from CoreTestingContext, the context of"),
    ({"actions": Lonely, "approaches": {Lonely.GO: Approach.QUICK}}, "declare 2 to 12 actions, not 1"),
    (
        {"actions": Shouting, "approaches": dict.fromkeys(Shouting, Approach.QUICK)},
        "an action's name is lower-case ASCII words joined by hyphens, not ['GO!']",
    ),
    ({"actions": TwoActions, "approaches": {TwoActions.GO: Approach.QUICK}}, "without an approach: stay"),
    ({"actions": TwoActions, "approaches": {**TWO, ExecutorAction.RUN_ALL: Approach.QUICK}}, "does not have"),
    (
        {"actions": TwoActions, "approaches": dict.fromkeys(TwoActions, "quick!"), "baseline_action": "go"},
        "each action's approach is one of quick, thorough",
    ),
    ({"baseline_action": TwoActions.GO}, "is not one of its own"),
    ({"discount": 1.0}, "the discount lies in [0, 1) or is left to the settings, not 1.0"),
    ({"horizon": 0}, "the horizon is 1 to 1000 steps, not 0"),
    ({"horizon": 1001}, "the horizon is 1 to 1000 steps, not 1001"),
    ({"success": SuccessRule(float("nan"), "?")}, "must be a finite number of points, not nan"),
    ({"state_model": Vast}, "54000 states are too many to learn; keep to 20000"),
]


@pytest.mark.parametrize(("changes", "message"), VIOLATIONS)
def test_a_declaration_that_breaks_a_rule_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as caught:
        replace(TEST_EXECUTOR, **changes)
    assert message in str(caught.value)


def test_states_and_actions_follow_from_the_declaration() -> None:
    assert TEST_EXECUTOR.state_count == 3 * 2 * 3 * 3 * 4 * 3 * 3 == 1944
    assert TEST_EXECUTOR.category_divisor == 36
    assert TEST_EXECUTOR.fleet_divisor == 108
    assert TEST_EXECUTOR.action_names[0] == "run-all"
    assert TEST_EXECUTOR.approach_indices == (1, 0, 4, 2, 3, 5)
    assert TEST_EXECUTOR.discount_or(0.9) == 0.9
    assert replace(TEST_EXECUTOR, discount=0.5).discount_or(0.9) == 0.5


def test_an_episode_succeeds_from_its_minimum_return_on() -> None:
    rule = SuccessRule(30.0, "words")
    assert rule.is_success(30.0)
    assert not rule.is_success(29.999)


class Reordered(CoreTestingContext):
    """The executor's state with a label more."""

    last_run: Annotated[str, Labels("not-run", "all-passed", "new-failures", "flaky-failures", "crashed")]
    duration: Annotated[
        str, Bins(edges=(60, 600), names=("short", "medium", "long"), lower=0, unit="seconds")
    ]
    budget: Annotated[str, Labels("low", "half", "full")]


@pytest.mark.parametrize(
    "changes",
    [{"state_model": Reordered}, {"reward": default_rewards()}, {"discount": 0.9}, {"name": "other"},
     {"approaches": {**TEST_EXECUTOR.approaches, ExecutorAction.RUN_ALL: Approach.QUICK}}],
)  # fmt: skip
def test_the_fingerprint_changes_with_what_gives_values_their_meaning(changes: dict[str, Any]) -> None:
    assert replace(TEST_EXECUTOR, **changes).fingerprint != TEST_EXECUTOR.fingerprint


@pytest.mark.parametrize(
    "changes", [{"description": "other words"}, {"horizon": 5}, {"similarity_group": None}]
)
def test_the_fingerprint_stays_with_what_does_not(changes: dict[str, Any]) -> None:
    assert replace(TEST_EXECUTOR, **changes).fingerprint == TEST_EXECUTOR.fingerprint


def test_fingerprints_are_sixteen_hexadecimal_digits_and_all_different() -> None:
    shared = [shared_fingerprint(category.context) for category in Category]
    prints = [*(contract.fingerprint for contract in AGENTS), *shared, shared_fingerprint(FleetContext)]
    assert len(set(prints)) == 18 + 5 + 1
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in prints)


def test_a_contract_is_hashable() -> None:
    assert isinstance(hash(TEST_EXECUTOR), int)
    assert isinstance(TEST_EXECUTOR, AgentContract)
