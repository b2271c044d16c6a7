"""The contract of an agent: everything the rest of the system knows about it, declared once.

What belongs here: the declaration, its rules and its fingerprint. What does not: the declarations
themselves (one module per category) and how they are found (`registry`).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from qe_core.errors import ContractError
from qe_core.fleet.rewards import RewardModel
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Approach, Category, FleetContext

MAX_STATES = 20_000
"""The most states a contract may have: beyond it a table cannot be learned within 1,000 episodes."""

MAX_ACTIONS = 12
"""The most actions a contract may have."""


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """When an episode counts as a success.

    Attributes:
        minimum_return: the smallest undiscounted episode return that succeeds, in points.
        description: the same in words.
    """

    minimum_return: float
    description: str

    def is_success(self, episode_return: float) -> bool:
        """Whether an episode with this undiscounted return, in points, succeeded."""
        return episode_return >= self.minimum_return


@dataclass(frozen=True, slots=True)
class AgentContract:
    """One agent's declaration.

    Attributes:
        name: unique in the fleet, lower-case words joined by hyphens.
        category: which category table the agent feeds.
        description: what the agent chooses, in one sentence.
        state_model: its states; inherits from its category's context.
        actions: its strategies, 2 to 12, in column order of its Q-table.
        approaches: the approach of each action.
        reward: its objectives.
        horizon: the most steps of an episode.
        success: when an episode succeeds.
        baseline_action: what it does without learning, and when learning is unavailable.
        similarity_group: agents that may exchange knowledge, or None.
        discount: how much the next step's value counts, in [0, 1), where the agent's steps ask for another
            figure than the setting ``learning.discount``; None follows the setting.
        moving: names of the features that one step can change; the others stay as long as a task is worked
            on. Learning does not use it. What a team shares does (`qe_core.privacy.space`); empty means that
            any may change, and then too much would have to leave.
    """

    name: str
    category: Category
    description: str
    state_model: type[StateModel]
    actions: type[StrEnum]
    approaches: Mapping[StrEnum, Approach] = field(hash=False)
    reward: RewardModel
    horizon: int
    success: SuccessRule
    baseline_action: StrEnum
    similarity_group: str | None = None
    discount: float | None = None
    moving: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        def require(condition: bool, problem: str) -> None:
            if not condition:
                raise ContractError(f"agent {self.name!r}: {problem}")

        require(_is_term(self.name), "a name is lower-case ASCII words joined by hyphens")
        context = self.category.context
        require(
            issubclass(self.state_model, context),
            f"the state model {self.state_model.__name__} must inherit from {context.__name__}, "
            f"the context of category {self.category}",
        )
        actions = list(self.actions)
        require(2 <= len(actions) <= MAX_ACTIONS, f"declare 2 to {MAX_ACTIONS} actions, not {len(actions)}")
        odd = [str(action) for action in actions if not _is_term(str(action))]
        require(not odd, f"an action's name is lower-case ASCII words joined by hyphens, not {odd}")
        missing = [str(action) for action in actions if action not in self.approaches]
        require(not missing, f"actions without an approach: {', '.join(missing)}")
        require(len(self.approaches) == len(actions), "approaches name an action the agent does not have")
        require(
            all(isinstance(approach, Approach) for approach in self.approaches.values()),
            f"each action's approach is one of {', '.join(Approach)}",
        )
        require(
            self.baseline_action in actions,
            f"the baseline action {self.baseline_action!r} is not one of its own",
        )
        require(
            self.discount is None or 0.0 <= self.discount < 1.0,
            f"the discount lies in [0, 1) or is left to the settings, not {self.discount}",
        )
        require(1 <= self.horizon <= 1_000, f"the horizon is 1 to 1000 steps, not {self.horizon}")
        require(
            math.isfinite(self.success.minimum_return),
            f"the return that succeeds must be a finite number of points, not {self.success.minimum_return}",
        )
        require(
            self.state_count <= MAX_STATES,
            f"{self.state_count} states are too many to learn; "
            f"keep to {MAX_STATES} by fewer or coarser features",
        )
        features = [feature.name for feature in self.state_model.features()]
        strange = [name for name in self.moving if name not in features]
        require(not strange, f"moving names no feature of its states: {', '.join(strange)}")

    @property
    def action_names(self) -> tuple[str, ...]:
        """The actions' names in column order."""
        return tuple(str(action) for action in self.actions)

    @property
    def action_count(self) -> int:
        """The number of columns of the agent's Q-table."""
        return len(self.actions)

    @property
    def state_count(self) -> int:
        """The number of rows of the agent's Q-table, visited or not."""
        return self.state_model.space_size()

    @property
    def approach_indices(self) -> tuple[int, ...]:
        """For each action in column order, the column of its approach in category and fleet tables."""
        return tuple(self.approaches[action].column for action in self.actions)

    @property
    def category_divisor(self) -> int:
        """The d for which state // d is the state of the category table."""
        return self.state_model.divisor_to(self.category.context)

    @property
    def fleet_divisor(self) -> int:
        """The d for which state // d is the state of the fleet table."""
        return self.state_model.divisor_to(FleetContext)

    def discount_or(self, default: float) -> float:
        """Return the agent's own discount, or ``default`` (the setting) where it declares none."""
        return default if self.discount is None else self.discount

    def summary(self) -> dict[str, Any]:
        """Return what the fingerprint covers, ready for JSON: features, actions, approaches, rewards."""
        return {
            "name": self.name,
            "category": str(self.category),
            "features": [
                {
                    "name": feature.name,
                    "labels": list(feature.labels),
                    "declared": _declaration(self, feature.name),
                }
                for feature in self.state_model.features()
            ],
            "actions": {str(action): str(self.approaches[action]) for action in self.actions},
            "reward": [
                {
                    "name": term.name,
                    "weight": term.weight,
                    "scale": type(term.scale).__name__,
                    **asdict(term.scale),
                }
                for term in self.reward.terms
            ],
            **({} if self.discount is None else {"discount": self.discount}),
        }

    @property
    def fingerprint(self) -> str:
        """A digest, 16 hexadecimal digits, of everything that gives a stored value its meaning."""
        text = json.dumps(self.summary(), sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=8).hexdigest()


def shared_fingerprint(model: type[StateModel]) -> str:
    """Return the fingerprint of a category or fleet table over ``model`` and the approaches."""
    content = {
        "features": [[feature.name, list(feature.labels)] for feature in model.features()],
        "approaches": [str(approach) for approach in Approach],
    }
    return blake2b(json.dumps(content, separators=(",", ":")).encode(), digest_size=8).hexdigest()


def _is_term(name: str) -> bool:
    return all(word.isascii() and word.isalnum() and word == word.lower() for word in name.split("-"))


def _declaration(contract: AgentContract, feature: str) -> str:
    return repr(contract.state_model.model_fields[feature].metadata)
