"""An agent's context, as it measures it, to the code of a state.

What belongs here: bounding and encoding what comes from outside, quickly. What does not: what features mean
(`qe_core.fleet`).
"""

from collections.abc import Mapping
from typing import TypeAlias

from qe_core.errors import StateError
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.state import StateModel
from qe_core.runtime.errors import ContextSizeError

Context: TypeAlias = StateModel | Mapping[str, object] | int
"""A state of the agent's model, its raw measurements or labels by name, or the code of a state."""

LONGEST_LABEL = 200
"""Characters in a value; labels are words."""


class ContextEncoder:
    """Encodes contexts of one agent.

    Args:
        contract: whose.
    """

    def __init__(self, contract: AgentContract) -> None:
        self._agent = contract.name
        self._model = contract.state_model
        self._state_count = contract.state_count
        self._features: list[tuple[str, dict[str, int]]] = []
        place = self._state_count
        for feature in self._model.features():
            place //= feature.radix
            digits = {label: digit * place for digit, label in enumerate(feature.labels)}
            self._features.append((feature.name, digits))

    def encode(self, context: Context) -> int:
        """Return the code of a context's state, as ``StateModel.encode`` does.

        Raises:
            ContextSizeError: it has more values than the state has features, or longer ones than any label.
            StateError: it is not a state of this agent; the message names what is wrong.
        """
        if isinstance(context, self._model):
            return self._code(context)
        if isinstance(context, Mapping):
            return self._code(self._measured(context))
        if isinstance(context, int) and not isinstance(context, bool):
            if 0 <= context < self._state_count:
                return context
            raise StateError(
                f"{self._agent} has states 0 to {self._state_count - 1}, not {context}; "
                "was it encoded under another contract?"
            )
        raise StateError(
            f"a context of {self._agent} is a {self._model.__name__}, a mapping of its features or the "
            f"code of a state, not a {type(context).__name__}"
        )

    def _measured(self, context: Mapping[str, object]) -> StateModel:
        if len(context) > len(self._features):
            raise ContextSizeError(
                f"a context of {self._agent} has {len(self._features)} features, this one {len(context)} "
                f"values; give only {', '.join(name for name, _ in self._features)}"
            )
        for name, value in context.items():
            if not isinstance(name, str) or max(len(name), _length(value)) > LONGEST_LABEL:
                raise ContextSizeError(
                    f"a context of {self._agent} has names and labels of at most {LONGEST_LABEL} "
                    "characters; give measurements or labels, not texts"
                )
        return self._model.from_features(dict(context))

    def _code(self, state: StateModel) -> int:
        try:
            # A frozen model keeps its fields in its dictionary; asking attribute by attribute takes longer.
            values = state.__dict__
            code = 0
            for name, digits in self._features:
                code += digits[values[name]]
        except (KeyError, TypeError) as error:
            raise StateError(
                f"this {self._model.__name__} was not validated: {error}; build it with its constructor"
            ) from error
        return code


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0
