"""Encoding, decoding and projection of states, on every state of every agent."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import StateError
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.roster import AGENTS
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import FleetContext

every_agent = pytest.mark.parametrize("contract", AGENTS, ids=lambda contract: contract.name)


class Small(StateModel):
    """Two features, for sums by hand."""

    size: Annotated[str, Bins(edges=(10, 20), names=("s", "m", "l"), lower=0)]
    risk: Annotated[str, Labels("low", "high")]


class Larger(Small):
    """One more digit."""

    phase: Annotated[str, Labels("first", "second", "third", "last")]


@every_agent
def test_encoding_is_a_bijection_on_the_whole_state_space(contract: AgentContract) -> None:
    model = contract.state_model
    states = [model.decode(code) for code in range(contract.state_count)]
    assert [state.encode() for state in states] == list(range(contract.state_count))
    assert len(set(states)) == contract.state_count


@every_agent
def test_projection_by_division_is_the_state_seen_by_its_base_class(contract: AgentContract) -> None:
    for base, divisor in (
        (contract.category.context, contract.category_divisor),
        (FleetContext, contract.fleet_divisor),
    ):
        for code in range(contract.state_count):
            shared = {
                name: label
                for name, label in contract.state_model.decode(code).model_dump().items()
                if name in base.model_fields
            }
            assert base.from_features(shared).encode() == code // divisor


@given(st.data())
def test_measurements_and_their_labels_encode_alike(data: st.DataObject) -> None:
    contract = data.draw(st.sampled_from(AGENTS))
    state = contract.state_model.decode(data.draw(st.integers(0, contract.state_count - 1)))
    measured: dict[str, object] = state.model_dump()
    for name, field in contract.state_model.model_fields.items():
        for item in field.metadata:
            if isinstance(item, Bins):
                index = item.names.index(str(measured[name]))
                measured[name] = item.edges[index - 1] if index else item.lower
    assert contract.state_model.from_features(measured) == state


def test_the_base_classs_features_are_the_leading_digits() -> None:
    state = Larger(size="m", risk="high", phase="third")
    assert state.encode() == (1 * 2 + 1) * 4 + 2 == 14
    assert Larger.divisor_to(Small) == 4
    assert state.encode() // 4 == Small(size=15, risk="high").encode() == 3
    assert Larger.divisor_to(Larger) == 1
    assert StateModel.space_size() == 1


def test_projection_to_a_class_that_is_no_base_is_refused() -> None:
    with pytest.raises(StateError, match="Small does not inherit from Larger, so it cannot be projected"):
        Small.divisor_to(Larger)


def test_states_are_frozen_and_hashable() -> None:
    state = Small(size=1, risk="low")
    assert hash(state) == hash(Small(size="s", risk="low"))
    with pytest.raises(ValueError, match="frozen"):
        state.risk = "high"
