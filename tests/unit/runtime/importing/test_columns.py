"""The documented columns: schema, examples and checks say the same."""

import pytest

from qe_core.fleet import registry
from qe_core.runtime.importing import COLUMNS, example_rows, json_schema


@pytest.mark.parametrize("contract", tuple(registry()), ids=lambda contract: contract.name)
def test_the_example_of_every_agent_is_accepted(contract, check, write_lines):
    rows = example_rows(contract)
    (batch,) = check(write_lines(rows))
    assert batch.faults == ()
    stored = batch.rows.to_pylist()
    labels = {
        name.removeprefix("state."): value for name, value in rows[0].items() if name.startswith("state.")
    }
    assert stored[0]["state"] == contract.state_model.from_features(labels).encode()
    assert stored[-1]["success"] is True


def test_the_schema_describes_every_column_and_feature():
    schema = json_schema(tuple(registry()))
    assert [name for name in schema["properties"] if "." not in name] == [column.name for column in COLUMNS]
    for contract in registry():
        for feature in contract.state_model.features():
            assert f"state.{feature.name}" in schema["properties"]
            assert f"next_state.{feature.name}" in schema["properties"]
    assert schema["additionalProperties"] is False


def test_the_schema_limits_states_and_actions_to_each_agent():
    schema = json_schema(tuple(registry()))
    rule = next(
        item for item in schema["allOf"] if item["if"]["properties"]["agent"]["const"] == "quality-gate"
    )
    contract = registry().get("quality-gate")
    assert rule["then"]["properties"]["action"]["enum"] == list(contract.action_names)
    assert rule["then"]["properties"]["state"]["maximum"] == contract.state_count - 1


def test_required_columns_are_those_whose_absence_is_a_fault(reasons, write_lines, make_row):
    for column in COLUMNS:
        faults = reasons(write_lines([make_row(**{column.name: ...})]))
        is_needed = column.is_required or column.name in (
            "state",
            "next_state",
        )  # those may be features instead
        assert (1 in faults) == is_needed, column.name
