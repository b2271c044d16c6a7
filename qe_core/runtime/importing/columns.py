"""The documented columns of an experience file: for people, as JSON Schema and as examples.

What belongs here: names, meanings and ranges. What does not: reading or checking files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qe_core.fleet.contract import AgentContract
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import REWARD_LIMIT

Kind: TypeAlias = Literal["text", "whole number", "number", "flag", "time"]

MAX_TEXT_LENGTH = 200
"""The longest agent, episode, action or source accepted, in characters."""

MAX_STEP = 1_000_000
"""The highest step of an episode accepted."""


@dataclass(frozen=True, slots=True)
class Column:
    """One documented column.

    Attributes:
        name: as it appears in the file.
        kind: what its values are.
        is_required: whether every row must have it.
        meaning: for people, with ranges and defaults.
        schema: its JSON Schema.
    """

    name: str
    kind: Kind
    is_required: bool
    meaning: str
    schema: Mapping[str, Any]


_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}
_CODE = {"type": "integer", "minimum": 0}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}

COLUMNS: tuple[Column, ...] = (
    Column("agent", "text", True, "name of a registered agent, for example test-executor", _TEXT),
    Column("episode", "text", True, "names the episode, unique for the agent within its source", _TEXT),
    Column(
        "step",
        "whole number",
        True,
        "0, 1, 2, … within the episode",
        {"type": "integer", "minimum": 0, "maximum": MAX_STEP},
    ),
    Column(
        "state",
        "whole number",
        False,
        "the state's code; or instead one column state.<feature> for each of the agent's features",
        _CODE,
    ),
    Column("action", "text", True, "name of one of the agent's actions", _TEXT),
    Column(
        "reward",
        "number",
        True,
        f"points, {-REWARD_LIMIT:g} to {REWARD_LIMIT:g}",
        {"type": "number", "minimum": -REWARD_LIMIT, "maximum": REWARD_LIMIT},
    ),
    Column(
        "next_state",
        "whole number",
        False,
        "the state after the action, as code or next_state.<feature> columns; may be absent when terminated",
        {"type": ["integer", "null"], "minimum": 0},
    ),
    Column(
        "terminated",
        "flag",
        True,
        "true when the task itself ended here: nothing is expected to follow",
        {"type": "boolean"},
    ),
    Column(
        "truncated",
        "flag",
        False,
        "true when the episode was cut off here; never together with terminated; false when absent",
        {"type": ["boolean", "null"]},
    ),
    Column(
        "occurred_at",
        "time",
        False,
        "ISO 8601 with a zone, for example 2026-03-01T12:00:00Z; when absent, the time of the first import",
        {"type": ["string", "null"], "format": "date-time"},
    ),
    Column(
        "propensity",
        "number",
        False,
        "probability with which the action was chosen, above 0 up to 1; 1 when absent",
        {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
    ),
    Column("exploration_rate", "number", False, "share of random choices then, 0 to 1", _SHARE),
    Column(
        "success",
        "flag",
        False,
        "whether the episode succeeded; only on its last step",
        {"type": ["boolean", "null"]},
    ),
    Column(
        "source",
        "text",
        False,
        "where the experience comes from; import:<file name> when absent",
        {**_TEXT, "type": ["string", "null"]},
    ),
)
"""Every column except the features, in the order of `qe export`."""

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)

STATE_PREFIXES: tuple[str, ...] = ("state", "next_state")


def feature_declarations(contract: AgentContract) -> dict[str, Bins | Labels]:
    """Return how each feature of the agent's state is declared, in digit order."""
    fields = contract.state_model.model_fields
    return {
        feature.name: next(item for item in fields[feature.name].metadata if isinstance(item, (Bins, Labels)))
        for feature in contract.state_model.features()
    }


def json_schema(contracts: tuple[AgentContract, ...]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one row, with each agent's states and actions.

    Args:
        contracts: the agents whose experiences are welcome.
    """
    features: dict[str, Any] = {}
    for contract in contracts:
        described = contract.state_model.model_json_schema()["properties"]
        for name in feature_declarations(contract):
            for prefix in STATE_PREFIXES:
                options = features.setdefault(f"{prefix}.{name}", {"anyOf": [{"type": "null"}]})["anyOf"]
                option = {key: value for key, value in described[name].items() if key != "title"}
                if option not in options:
                    options.append(option)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Experience",
        "description": "One step of one episode of one agent. A file holds one such object on each line.",
        "type": "object",
        "properties": {
            **{column.name: {**column.schema, "description": column.meaning} for column in COLUMNS},
            **features,
        },
        "required": [column.name for column in COLUMNS if column.is_required],
        "additionalProperties": False,
        "allOf": [_agent_rule(contract) for contract in contracts],
    }


def example_rows(contract: AgentContract, count: int = 3) -> list[dict[str, Any]]:
    """Return an episode of ``count`` steps of the agent, with features given by their labels.

    The last step terminates, so it has no next state.
    """
    names = contract.action_names
    features = contract.state_model.features()

    def state(prefix: str, step: int) -> dict[str, str]:
        return {
            f"{prefix}.{feature.name}": feature.labels[(step + index) % feature.radix]
            for index, feature in enumerate(features)
        }

    rows = []
    for step in range(count):
        is_last = step == count - 1
        rows.append(
            {
                "agent": contract.name,
                "episode": "example-1",
                "step": step,
                **state("state", step),
                "action": names[step % len(names)],
                "reward": 12.5 if is_last else -1.0,
                **({} if is_last else state("next_state", step + 1)),
                "terminated": is_last,
                "truncated": False,
                "occurred_at": f"2026-03-01T12:00:{step:02d}Z",
                "propensity": 0.85,
                "exploration_rate": 0.15,
                **({"success": True} if is_last else {}),
                "source": "import:example",
            }
        )
    return rows


def _agent_rule(contract: AgentContract) -> dict[str, Any]:
    code = {"minimum": 0, "maximum": contract.state_count - 1}
    return {
        "if": {"properties": {"agent": {"const": contract.name}}, "required": ["agent"]},
        "then": {
            "properties": {
                "action": {"enum": list(contract.action_names)},
                "state": code,
                "next_state": code,
            },
        },
    }
