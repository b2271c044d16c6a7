"""The vectorised encoding and the contract's own are one and the same."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import StateError
from qe_core.fleet import registry
from qe_core.fleet.features import Bins, Labels
from qe_core.runtime.importing.columns import feature_declarations
from qe_core.runtime.importing.faults import FaultCollector
from qe_core.runtime.importing.states import encode_features

CONTRACTS = tuple(registry())


def values_of(declaration: Bins | Labels) -> st.SearchStrategy[object]:
    """Good, borderline and bad values of one feature."""
    if isinstance(declaration, Labels):
        return st.sampled_from([*declaration.names, "nonsense", 3])
    edges = [
        edge for edge in (*declaration.edges, declaration.lower, declaration.upper) if math.isfinite(edge)
    ]
    near = [
        value
        for edge in edges
        for value in (edge, math.nextafter(edge, -math.inf), math.nextafter(edge, math.inf))
    ]
    floats = st.floats(-10, 1000) | st.sampled_from(near) | st.sampled_from([math.nan, math.inf, -math.inf])
    return floats | st.sampled_from([*declaration.labels, "nonsense"])


@st.composite
def states(draw: st.DrawFn) -> tuple[int, list[dict[str, object]]]:
    index = draw(st.integers(0, len(CONTRACTS) - 1))
    declared = feature_declarations(CONTRACTS[index])
    row = st.fixed_dictionaries({name: values_of(declaration) for name, declaration in declared.items()})
    return index, draw(st.lists(row, min_size=1, max_size=8))


def as_column(values: list[object]) -> pa.Array:
    """As the readers deliver it: numbers if all are, texts otherwise."""
    if all(not isinstance(value, str) for value in values):
        return pa.array([float(value) for value in values], from_pandas=False)
    return pa.array([value if isinstance(value, str) else repr(value) for value in values])


@settings(deadline=None)
@given(states())
def test_columns_are_encoded_exactly_as_the_state_model_does(drawn):
    index, rows = drawn
    contract = CONTRACTS[index]
    columns = {f"state.{name}": as_column([row[name] for row in rows]) for name in rows[0]}
    faults = FaultCollector(len(rows))
    codes = encode_features(contract, columns, "state", np.ones(len(rows), np.bool_), faults)
    is_bad = faults.bad_rows()
    for number, row in enumerate(rows):
        try:
            expected = contract.state_model.from_features(row).encode()
        except StateError:
            assert is_bad[number]
        else:
            assert not is_bad[number]
            assert codes[number] == expected


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_labels_of_a_whole_state_space_encode_to_their_codes(contract):
    codes = np.linspace(0, contract.state_count - 1, 200).astype(np.int64)
    decoded = [contract.state_model.decode(int(code)).model_dump() for code in codes]
    columns = {f"state.{name}": pa.array([state[name] for state in decoded]) for name in decoded[0]}
    faults = FaultCollector(len(codes))
    found = encode_features(contract, columns, "state", np.ones(len(codes), np.bool_), faults)
    assert found.tolist() == codes.tolist()
    assert not faults.bad_rows().any()


def test_a_number_written_as_text_counts_as_the_number():
    contract = registry().get("test-executor")
    state = contract.state_model.decode(0).model_dump()
    columns = {f"state.{name}": pa.array([value]) for name, value in state.items()}
    columns["state.size"] = pa.array(["400"])
    faults = FaultCollector(1)
    code = encode_features(contract, columns, "state", np.ones(1, np.bool_), faults)
    assert contract.state_model.decode(int(code[0])).size == "large"


def test_the_reason_is_in_the_contracts_own_words():
    contract = registry().get("test-executor")
    columns = {
        f"state.{name}": pa.array([value])
        for name, value in contract.state_model.decode(0).model_dump().items()
    }
    columns["state.track_record"] = pa.array([1.5])
    faults = FaultCollector(1)
    encode_features(contract, columns, "state", np.ones(1, np.bool_), faults)
    assert faults.reason(0) == "state.track_record: 1.5 share of successes is outside [0, 1]"


def test_a_feature_without_a_column_is_missing():
    contract = registry().get("test-executor")
    faults = FaultCollector(1)
    encode_features(contract, {"state.size": pa.array([1.0])}, "state", np.ones(1, np.bool_), faults)
    assert "state.risk is missing" in faults.reason(0)
