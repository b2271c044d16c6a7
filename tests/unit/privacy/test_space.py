"""The public space: what it is made of, and that worlds keep to it."""

import numpy as np
import pytest

from qe_core.environments.catalogue import declarations, world_of
from qe_core.errors import PrivacyError
from qe_core.fleet import AgentContract, registry
from qe_core.privacy.space import PublicSpace

SHARED = [contract for contract in registry() if contract.moving]


@pytest.mark.parametrize("contract", SHARED, ids=lambda contract: contract.name)
def test_part_and_rest_are_the_state(contract: AgentContract) -> None:
    space = PublicSpace.of(contract)

    states = space.states()[space.rest, space.part]

    np.testing.assert_array_equal(states, np.arange(contract.state_count))
    assert space.part_count * len(space.states()) == contract.state_count


def test_the_part_is_what_moves_in_digit_order() -> None:
    contract = registry().get("test-executor")
    space = PublicSpace.of(contract)
    states = [contract.state_model.decode(code) for code in range(contract.state_count)]

    for code, state in enumerate(states[:200]):
        alike = states[int(space.states()[space.rest[code], (space.part[code] + 1) % space.part_count])]
        assert {name for name in contract.moving if getattr(state, name) != getattr(alike, name)}
        assert all(
            getattr(state, feature.name) == getattr(alike, feature.name)
            for feature in contract.state_model.features()
            if feature.name not in contract.moving
        )


@pytest.mark.parametrize("contract", SHARED, ids=lambda contract: contract.name)
def test_contracts_name_what_moves_in_their_worlds(contract: AgentContract) -> None:
    assert set(contract.moving) == set(declarations()[contract.name].moving_features)


def test_a_step_changes_only_what_moves_unless_the_work_moves_on() -> None:
    contract = registry().get("chaos-engineer")
    space, world = PublicSpace.of(contract), world_of(contract, 3)
    pair = np.repeat(np.arange(len(world.outcome_offsets) - 1), np.diff(world.outcome_offsets))
    goes_on = ~world.terminated

    before, after = (pair // world.action_count)[goes_on], world.next_state[goes_on]

    np.testing.assert_array_equal(space.rest[before], space.rest[after])


def test_an_agent_without_declared_movement_is_not_shared() -> None:
    with pytest.raises(PrivacyError, match="name them in moving"):
        PublicSpace.of(registry().get("test-generator"))
