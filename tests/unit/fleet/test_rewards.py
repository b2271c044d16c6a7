"""Rewards: the rules of multi-objective scoring, by hand and by property."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import ContractError, RewardError
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.rewards import (
    DEFAULT_TERMS,
    REWARD_LIMIT,
    Gain,
    RelativeToExpected,
    RewardModel,
    RewardTerm,
    Target,
    default_rewards,
)
from qe_core.fleet.roster import AGENTS

DEFAULT = default_rewards()
every_agent = pytest.mark.parametrize("contract", AGENTS, ids=lambda contract: contract.name)


def measurements_of(model: RewardModel) -> st.SearchStrategy[dict[str, float]]:
    """Measurements a caller may report: any subset of the terms, in range."""
    numbers = st.floats(min_value=-1e6, max_value=1e6)
    ratios = st.floats(min_value=0, max_value=1e6)
    return st.fixed_dictionaries(
        {}, optional={term.name: ratios if term.is_saving else numbers for term in model.terms}
    )


def test_default_weights_are_the_ordered_ones() -> None:
    assert DEFAULT.weights == {
        "coverage_gain": 0.30, "defects_found": 0.25, "execution_speed": 0.15,
        "cost_efficiency": 0.10, "quality_improvement": 0.10, "pattern_reuse": 0.10,
    }  # fmt: skip


def test_a_reward_worked_by_hand() -> None:
    measured = {"coverage_gain": 0.125, "defects_found": 1.5, "execution_speed": 0.8, "cost_efficiency": 1.5}
    # 100 · (0.30 · 0.5 + 0.25 · 0.5 + 0.15 · 0.2 − 0.10 · 0.5)
    assert DEFAULT.reward(measured) == pytest.approx(25.5)
    # failed: the gains are forfeited, the loss stays
    assert DEFAULT.reward(measured, failed=True) == pytest.approx(-5.0)


def test_doing_nothing_scores_zero_and_no_bonus_for_taking_no_time() -> None:
    idle = {"coverage_gain": 0.0, "defects_found": 0.0, "execution_speed": 0.0, "cost_efficiency": 0.0}
    assert DEFAULT.reward({}) == 0.0
    assert DEFAULT.reward(idle) == 0.0


def test_savings_count_for_no_more_than_what_was_gained() -> None:
    saved = {"execution_speed": 0.0, "cost_efficiency": 0.0}  # worth 25 points at most
    assert DEFAULT.reward({"coverage_gain": 0.025, **saved}) == pytest.approx(3 + 3)
    assert DEFAULT.reward({"coverage_gain": 0.25, **saved}) == pytest.approx(30 + 25)


@every_agent
@settings(max_examples=25)
@given(data=st.data())
def test_a_reward_is_bounded_and_a_failure_never_beats_doing_nothing(
    contract: AgentContract, data: st.DataObject
) -> None:
    measured = data.draw(measurements_of(contract.reward))
    reward, failed = contract.reward.reward(measured), contract.reward.reward(measured, failed=True)
    assert -REWARD_LIMIT <= reward <= REWARD_LIMIT
    assert failed <= 0.0
    assert failed <= reward + 1e-9


@given(st.floats(min_value=-10, max_value=10))
def test_losing_and_gaining_coverage_are_symmetrical_and_bounded(change: float) -> None:
    gained, lost = DEFAULT.reward({"coverage_gain": change}), DEFAULT.reward({"coverage_gain": -change})
    assert gained == -lost
    assert abs(gained) <= 30 + 1e-9


@given(data=st.data())
def test_more_of_a_gain_never_scores_less(data: st.DataObject) -> None:
    measured = data.draw(measurements_of(DEFAULT))
    more = {**measured, "defects_found": measured.get("defects_found", 0.0) + 1.0}
    assert DEFAULT.reward(more) >= DEFAULT.reward({"defects_found": 0.0, **measured}) - 1e-9


@every_agent
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_not_finite_is_refused_by_name(contract: AgentContract, value: float) -> None:
    for term in contract.reward.terms:
        with pytest.raises(RewardError, match=f"measurement '{term.name}' is {value}: measure again"):
            contract.reward.reward({term.name: value})


@every_agent
def test_weights_sum_to_one_and_terms_explain_themselves(contract: AgentContract) -> None:
    assert math.fsum(contract.reward.weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(term.description for term in contract.reward.terms)


def test_scales_worked_by_hand() -> None:
    assert [Gain(0.25).normalise(value) for value in (0.125, -0.125, 1.0, -1.0)] == [0.5, -0.5, 1.0, -1.0]
    assert [RelativeToExpected().normalise(value) for value in (0, 1, 1.5, 9)] == [1.0, 0.0, -0.5, -1.0]
    assert [Target(10, 4).normalise(value) for value in (10, 14, 6, 18, 99)] == [1.0, 0.0, 0.0, -1.0, -1.0]


def test_missing_a_flaky_test_is_dearer_than_the_same_share_of_f1() -> None:
    flaky = next(contract for contract in AGENTS if contract.name == "flaky-test-hunter").reward
    # one flaky test in four missed: recall and so F1 fall, and the miss itself weighs in addition
    missed = flaky.reward({"f1": -0.14, "missed_flaky": -1.0})
    accused = flaky.reward({"f1": -0.14})
    assert missed < accused < 0


@pytest.mark.parametrize("name", ["quality-gate", "deployment-readiness"])
def test_letting_a_defect_out_costs_more_than_a_needless_block(name: str) -> None:
    weights = next(contract for contract in AGENTS if contract.name == name).reward.weights
    needless = weights.get("needless_blocks", weights.get("needless_holds"))
    assert needless is not None
    assert weights["escaped_defects"] > needless


def test_reweighting_keeps_the_sum() -> None:
    model = DEFAULT.reweighted({"coverage_gain": 0.2, "defects_found": 0.35})
    assert model.weights["defects_found"] == 0.35
    assert default_rewards(coverage_gain=0.0, defects_found=0.55).weights.keys() == {
        term.name for term in DEFAULT_TERMS if term.name != "coverage_gain"
    }


def test_an_agents_own_term_is_kept_beside_the_defaults() -> None:
    own = RewardTerm("edge_cases", 0.2, Gain(5), "new partitions")
    model = default_rewards(own, coverage_gain=0.1)
    assert model.terms[-1] is own
    with pytest.raises(ContractError, match="weights must sum to 1"):
        default_rewards(own)
