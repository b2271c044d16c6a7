"""Carrying a Q-table over to a changed contract, or saying why it cannot be.

What belongs here: comparing an old contract's summary with a new contract, and the mapping of states and
actions from one to the other. What does not: moving values (the store) and storing summaries.

A value may move only if it still means the same: the same points for the same features. New labels, new
actions, and another order of labels, features or actions change nothing about what was learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from qe_core.errors import ContractError
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.features import Feature


@dataclass(frozen=True, slots=True)
class Reencoding:
    """Where each state and action of an old table stands in the new one.

    Attributes:
        states: the new code of each old code; all distinct.
        actions: the new column of each old column, or None for an action that was dropped.
    """

    states: tuple[int, ...]
    actions: tuple[int | None, ...]

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves and nothing is dropped."""
        return self.states == tuple(range(len(self.states))) and self.actions == tuple(
            range(len(self.actions))
        )


@dataclass(frozen=True, slots=True)
class NotReencodable:
    """The table is started anew.

    Attributes:
        reason: what changed, for people.
    """

    reason: str


def reencode(old: Mapping[str, Any], contract: AgentContract) -> Reencoding | NotReencodable:
    """Return the mapping from a table learned under ``old`` to ``contract``, or why there is none.

    Args:
        old: `AgentContract.summary` of the contract the table was learned under, also after a round trip
            through JSON.
        contract: the contract in use now.

    Raises:
        ContractError: ``old`` is no such summary.
    """
    new = contract.summary()
    try:
        old_features = {
            item["name"]: {"labels": list(item["labels"]), "declared": str(item["declared"])}
            for item in old["features"]
        }
        old_actions = list(old["actions"])
        obstacle = _obstacle(old, old_features, new)
    except (KeyError, TypeError) as error:
        raise ContractError(
            f"not the summary of a contract: {error!r} is missing or of the wrong type; "
            "store what AgentContract.summary() returned"
        ) from error
    if obstacle is not None:
        return NotReencodable(obstacle)
    new_actions = contract.action_names
    return Reencoding(
        states=_codes(
            [(name, item["labels"]) for name, item in old_features.items()], contract.state_model.features()
        ),
        actions=tuple(new_actions.index(name) if name in new_actions else None for name in old_actions),
    )


def _obstacle(old: Mapping[str, Any], old_features: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return the first reason why values may not move, or None."""
    if old["name"] != new["name"]:
        return f"the table belongs to agent {old['name']!r}, not {new['name']!r}"
    if old["reward"] != new["reward"]:
        return "the reward changed, so old values are in other points"
    if old.get("discount") != new.get("discount"):
        return "the discount changed, so old values look another distance ahead"
    new_features = {item["name"]: item for item in new["features"]}
    if added := [name for name in new_features if name not in old_features]:
        return f"old states do not say what {', '.join(added)} was"
    if removed := [name for name in old_features if name not in new_features]:
        return f"several old states become one without {', '.join(removed)}"
    for name, before in old_features.items():
        after = new_features[name]
        if lost := [label for label in before["labels"] if label not in after["labels"]]:
            return f"{name} has no label {', '.join(lost)} any more"
        is_binned = "Bins(" in before["declared"] or "Bins(" in after["declared"]
        if is_binned and before["declared"] != after["declared"]:
            return f"the bins of {name} changed, so its labels mean other numbers"
    moved = [
        name for name, approach in old["actions"].items() if new["actions"].get(name, approach) != approach
    ]
    if moved:
        return f"the approach of {', '.join(moved)} changed, so the action is another one"
    return None


def _codes(old: Sequence[tuple[str, Sequence[str]]], new: Sequence[Feature]) -> tuple[int, ...]:
    """Return the new code of every old code, in order of the old codes."""
    strides, stride = {}, 1
    for feature in reversed(new):
        strides[feature.name] = (stride, feature.labels)
        stride *= feature.radix
    digits = [[strides[name][1].index(label) * strides[name][0] for label in labels] for name, labels in old]
    return tuple(sum(combination) for combination in product(*digits))
