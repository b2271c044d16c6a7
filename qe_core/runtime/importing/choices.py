"""States and actions of a batch, agent by agent, as codes and indices under each agent's contract.

What belongs here: the rules that need a contract. What does not: the other columns (`checking`), binning
(`states`).
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.errors import nearest
from qe_core.fleet.contract import AgentContract
from qe_core.runtime.importing.batch_check import BatchCheck
from qe_core.runtime.importing.columns import feature_declarations
from qe_core.runtime.importing.faults import BoolArray, IntArray, quoted
from qe_core.runtime.importing.states import encode_features
from qe_core.runtime.importing.values import Values, to_flags, to_wholes


def choices(check: BatchCheck, contracts: Mapping[str, AgentContract], agents: Values) -> dict[str, IntArray]:
    """Return the columns state, action and next_state, int64[N]; anything where a row has a fault.

    Args:
        check: the batch; receives the faults.
        contracts: the registered agents by name.
        agents: the batch's agents, converted.
    """
    names = pa.array(agents.array, pa.string(), mask=~agents.is_good).dictionary_encode()
    indices = names.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    result = {name: np.zeros(len(check.batch), dtype=np.int64) for name in ("state", "action", "next_state")}
    terminated = to_flags(check.column("terminated"))
    is_over = terminated.array & terminated.is_good
    for index, name in enumerate(names.dictionary.to_pylist()):
        contract = contracts.get(name)
        if contract is None:
            known = nearest(name, contracts)
            check.faults.flag(indices == index, f"agent {quoted(name)} is not registered: {known}")
            continue
        rows = np.flatnonzero(indices == index)
        part = check.part(rows)
        for column, values in _choices_of_agent(part, contract, is_over[rows]).items():
            result[column][rows] = values
        check.faults.absorb(part.faults, rows)
    return result


def _choices_of_agent(check: BatchCheck, contract: AgentContract, is_over: BoolArray) -> dict[str, IntArray]:
    everyone = np.ones(len(check.batch), dtype=np.bool_)
    state = _states(check, contract, "state", everyone, everyone)
    is_next_given = _is_any_given(check, "next_state")
    following = _states(check, contract, "next_state", ~is_over | is_next_given, ~is_over)
    return {
        "action": _actions(check, contract),
        "state": state,
        "next_state": np.where(is_over & ~is_next_given, state, following),
    }


def _actions(check: BatchCheck, contract: AgentContract) -> IntArray:
    values = check.texts("action")
    names = pa.array(values.array, pa.string())
    indices = pc.index_in(names, value_set=pa.array(contract.action_names)).fill_null(-1)
    actions = np.asarray(indices.to_numpy(zero_copy_only=False))
    check.faults.flag(
        values.is_good & (actions < 0),
        lambda row: (
            f"action {quoted(values.array[row])} is not one of {contract.name}: "
            f"{nearest(values.array[row], contract.action_names)}"
        ),
    )
    return actions


def _states(
    check: BatchCheck, contract: AgentContract, prefix: str, is_asked: BoolArray, is_required: BoolArray
) -> IntArray:
    """Return the codes of the rows asked for, from the code column or the feature columns."""
    values = to_wholes(check.column(prefix))
    is_coded = is_asked & ~values.is_missing
    has_features = np.zeros(len(check.batch), dtype=np.bool_)
    own = feature_declarations(contract)
    for name, column in check.batch.columns.items():
        if name.startswith(f"{prefix}."):
            is_present = is_given(column)
            has_features |= is_present
            feature = name.removeprefix(f"{prefix}.")
            if feature not in own:
                check.faults.flag(
                    is_present, f"{name}: {contract.name} has no such feature: {nearest(feature, own)}"
                )
    last = contract.state_count - 1
    check.faults.flag(
        is_coded & values.is_bad,
        lambda row: f"{prefix} {quoted(check.column(prefix)[row].as_py())} is not a whole number",
    )
    check.faults.flag(
        is_coded & values.is_good & ((values.array < 0) | (values.array > last)),
        lambda row: f"{prefix} {values.array[row]} is outside 0 to {last} of {contract.name}",
    )
    check.faults.flag(
        is_coded & has_features, f"{prefix} and {prefix}.<feature> are both given; give one of them"
    )
    is_absent = is_required & ~is_coded & ~has_features
    check.faults.flag(is_absent, f"{prefix} is missing: give its code or {prefix}.<feature> columns")
    is_spelled = is_asked & ~is_coded & has_features
    if not is_spelled.any():
        return np.where(is_coded, values.array, 0)
    spelled = encode_features(contract, check.batch.columns, prefix, is_spelled, check.faults)
    return np.where(is_coded, values.array, spelled)


def _is_any_given(check: BatchCheck, prefix: str) -> BoolArray:
    is_any = np.zeros(len(check.batch), dtype=np.bool_)
    for name, column in check.batch.columns.items():
        if name == prefix or name.startswith(f"{prefix}."):
            is_any |= is_given(column)
    return is_any


def is_given(column: pa.Array) -> BoolArray:
    """Return which rows have a value, bool[N]."""
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
