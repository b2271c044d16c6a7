"""The 18 agents: what every one of them promises."""

import pytest

from qe_core.fleet.contract import AgentContract
from qe_core.fleet.registry import built_registry
from qe_core.fleet.roster import AGENTS
from qe_core.fleet.vocabulary import Approach, Category

every_agent = pytest.mark.parametrize("contract", AGENTS, ids=lambda contract: contract.name)

ROSTER = {
    Category.CORE_TESTING: [
        "test-generator", "test-executor", "coverage-analyzer", "quality-gate", "quality-analyzer",
        "code-complexity",
    ],
    Category.PERFORMANCE_SECURITY: ["performance-tester", "security-scanner"],
    Category.ADVANCED_TESTING: [
        "regression-risk-analyzer", "test-data-architect", "api-contract-validator", "flaky-test-hunter",
    ],
    Category.SPECIALIZED: ["deployment-readiness", "visual-tester", "chaos-engineer"],
    Category.STRATEGIC: ["requirements-validator", "production-intelligence", "fleet-commander"],
}  # fmt: skip


def test_the_roster_has_eighteen_agents_in_order() -> None:
    assert [contract.name for contract in AGENTS] == [name for names in ROSTER.values() for name in names]
    for category, names in ROSTER.items():
        assert [contract.name for contract in built_registry().by_category(category)] == names


def test_similarity_groups_join_the_agents_that_may_exchange_knowledge() -> None:
    groups = {
        name: {contract.name for contract in members}
        for name, members in built_registry().similarity_groups().items()
    }
    assert groups == {
        "test-generation": {"test-generator", "test-data-architect"},
        "test-execution": {"test-executor", "regression-risk-analyzer"},
        "coverage-analysis": {"coverage-analyzer", "quality-gate"},
        "security": {"security-scanner", "chaos-engineer"},
    }


all_but_the_pilot = pytest.mark.parametrize("contract", AGENTS[1:], ids=lambda contract: contract.name)
"""test-generator learns from many thousands of replayed sessions, not from 1,000 episodes."""


@all_but_the_pilot
def test_an_agent_is_small_enough_to_learn(contract: AgentContract) -> None:
    own = len(contract.state_model.features()) - len(contract.category.context.features())
    assert contract.state_count <= 2000
    assert 4 <= contract.action_count <= 10
    assert 1 <= own <= 3


@every_agent
def test_every_approach_has_an_action_so_that_tables_can_be_shared(contract: AgentContract) -> None:
    assert set(contract.approaches.values()) == set(Approach)


@every_agent
def test_a_remaining_budget_is_the_last_digit(contract: AgentContract) -> None:
    assert contract.state_model.features()[-1].name == "budget"


@all_but_the_pilot
def test_episodes_are_short(contract: AgentContract) -> None:
    assert contract.horizon <= 10
