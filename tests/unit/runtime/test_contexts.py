"""Contexts become the codes of states, or are refused by name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import StateError
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.runtime.contexts import LONGEST_LABEL, ContextEncoder
from qe_core.runtime.errors import ContextSizeError

CONTRACT = registry().get("flaky-test-hunter")
ENCODER = ContextEncoder(CONTRACT)
LABELS: dict[str, object] = CONTRACT.state_model.decode(17).model_dump()


@given(st.data())
def test_a_state_its_labels_and_its_code_are_the_same_for_every_agent(data: st.DataObject) -> None:
    contract: AgentContract = data.draw(st.sampled_from(list(registry())))
    code = data.draw(st.integers(0, contract.state_count - 1))
    state = contract.state_model.decode(code)
    encoder = ContextEncoder(contract)
    assert encoder.encode(state) == state.encode() == code
    assert encoder.encode(state.model_dump()) == code
    assert encoder.encode(code) == code


@pytest.mark.parametrize("code", [-1, CONTRACT.state_count])
def test_a_code_outside_the_states_is_refused(code: int) -> None:
    with pytest.raises(StateError, match=f"has states 0 to {CONTRACT.state_count - 1}, not {code}"):
        ENCODER.encode(code)


@pytest.mark.parametrize(
    "context", [None, "17", 17.0, True, [17], registry().get("test-executor").state_model.decode(0)]
)
def test_what_is_no_context_is_refused(context: Any) -> None:
    with pytest.raises(StateError, match="a context of flaky-test-hunter is a"):
        ENCODER.encode(context)


def test_what_is_wrong_in_a_context_is_named() -> None:
    with pytest.raises(StateError, match="risk: 'medium' is not a label"):
        ENCODER.encode(LABELS | {"risk": "medium"})
    with pytest.raises(StateError, match="size: Field required"):
        ENCODER.encode({name: value for name, value in LABELS.items() if name != "size"})
    with pytest.raises(StateError, match="size: nan is not a finite number"):
        ENCODER.encode(LABELS | {"size": float("nan")})


def test_an_oversized_context_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(ContextSizeError, match=f"has {len(LABELS)} features, this one 100000 values"):
        ENCODER.encode({f"extra-{number}": number for number in range(100_000)})
    with pytest.raises(ContextSizeError, match="at most 200 characters"):
        ENCODER.encode(LABELS | {"risk": "x" * (LONGEST_LABEL + 1)})
    misnamed: dict[str, object] = {("x" * 10_000 if name == "risk" else name): 1 for name in LABELS}
    with pytest.raises(ContextSizeError, match="at most 200 characters"):
        ENCODER.encode(misnamed)
    unnamed: Any = {(7 if name == "risk" else name): value for name, value in LABELS.items()}
    with pytest.raises(ContextSizeError):
        ENCODER.encode(unnamed)


def test_a_state_that_was_never_validated_is_refused() -> None:
    with pytest.raises(StateError, match="was not validated"):
        ENCODER.encode(CONTRACT.state_model.model_construct(**LABELS | {"risk": "medium"}))


def test_a_measurement_of_numpy_is_a_number() -> None:
    assert ENCODER.encode(LABELS | {"size": np.float64(50.0)}) == ENCODER.encode(LABELS | {"size": "small"})
