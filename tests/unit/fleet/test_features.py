"""Binning and labels: edges, ranges, kinds of number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qe_core.errors import ContractError
from qe_core.fleet.features import Bins, Feature, Labels, is_number
from qe_core.fleet.roster import AGENTS

SHARE = Bins(edges=(0.2, 0.5), names=("narrow", "moderate", "wide"), lower=0, upper=1, unit="share")
ALL_BINS = {
    (field.name, item)
    for contract in AGENTS
    for field in contract.state_model.features()
    for item in contract.state_model.model_fields[field.name].metadata
    if isinstance(item, Bins)
}


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "narrow"), (0.2, "moderate"), (0.5, "wide"), (1, "wide"),
     (math.nextafter(0.2, 0), "narrow"), (math.nextafter(0.5, 0), "moderate")],
)  # fmt: skip
def test_an_edge_belongs_to_the_bin_above_it_and_both_limits_are_inside(value: float, label: str) -> None:
    assert SHARE.label(value) == label


@pytest.mark.parametrize(("name", "bins"), sorted(ALL_BINS, key=str))
def test_every_declared_edge_opens_the_bin_above_it(name: str, bins: Bins) -> None:
    for index, edge in enumerate(bins.edges):
        assert bins.label(edge) == bins.names[index + 1]
        assert bins.label(math.nextafter(edge, -math.inf)) == bins.names[index]


@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_binning_keeps_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert SHARE.names.index(SHARE.label(low)) <= SHARE.names.index(SHARE.label(high))


def test_a_declared_other_bin_takes_what_is_out_of_range_as_its_last_label() -> None:
    bins = Bins(edges=(1,), names=("none", "some"), lower=0, upper=9, other="unmeasured")
    assert (bins.label(-1), bins.label(10), bins.label("unmeasured")) == ("unmeasured",) * 3
    assert bins.labels == ("none", "some", "unmeasured")


def test_an_other_bin_does_not_hide_a_measurement_that_is_not_a_number() -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        Bins(edges=(1,), names=("none", "some"), other="unmeasured").label(math.nan)


@pytest.mark.parametrize("value", [np.float64(0.3), np.float32(0.3), np.int64(0), 0, 0.3])
def test_numbers_of_numpy_are_numbers(value: object) -> None:
    assert is_number(value)
    assert SHARE.label(value) in SHARE.names


@pytest.mark.parametrize("value", [True, None, "0.3", [0.3], 1j])
def test_truth_values_and_texts_are_not_numbers(value: object) -> None:
    assert not is_number(value)


def test_json_schema_names_labels_and_range() -> None:
    schema = TypeAdapter(AGENTS[1].state_model).json_schema()
    assert schema["properties"]["risk"] == {"enum": ["low", "high"], "title": "Risk", "type": "string"}
    share, labels = schema["properties"]["coverage_gap"]["anyOf"]
    assert share == {"type": "number", "minimum": 0, "maximum": 1}
    assert labels["enum"] == ["narrow", "moderate", "wide"]


def test_a_radix_is_the_number_of_labels() -> None:
    assert Feature("risk", ("low", "high")).radix == 2


def test_labels_are_distinct_and_at_least_two() -> None:
    for names in [(), ("one",), ("one", "one")]:
        with pytest.raises(ContractError, match="at least two distinct labels"):
            Labels(*names)
