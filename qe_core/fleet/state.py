"""States as frozen models, and their exact encoding as one mixed-radix integer.

What belongs here: the base of every state model, encoding, decoding and projection (ADR 0040:
the base class's features are the leading digits, so projecting a state is an integer
division). What does not: the shared contexts (`vocabulary`) and agents (one module per category).
"""

from functools import cache
from math import prod
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from qe_core.errors import ContractError, StateError
from qe_core.fleet.features import Bins, Feature, Labels


class StateModel(BaseModel):
    """The root of all state models: every field is a feature declared with `Bins` or `Labels`.

    A subclass adds fields; its own features become the trailing digits of the encoded state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def features(cls) -> tuple[Feature, ...]:
        """Return the features in digit order, leading digit first: base class before subclass.

        Raises:
            ContractError: a field carries neither `Bins` nor `Labels`, has a default, or redefines an
                inherited feature.
        """
        return _features(cls)

    @classmethod
    def space_size(cls) -> int:
        """Return the number of distinct states: the product of all radices; 1 without features."""
        return prod(feature.radix for feature in cls.features())

    def encode(self) -> int:
        """Return the state as an integer in [0, space_size)."""
        code = 0
        for feature in self.features():
            code = code * feature.radix + feature.labels.index(getattr(self, feature.name))
        return code

    @classmethod
    def decode(cls, code: int) -> Self:
        """Return the state whose code this is; the exact inverse of `encode`.

        Raises:
            StateError: the code is outside [0, space_size).
        """
        if not 0 <= code < cls.space_size():
            raise StateError(
                f"{cls.__name__} has states 0 to {cls.space_size() - 1}, not {code}; "
                "was it encoded under another contract?"
            )
        labels: dict[str, str] = {}
        for feature in reversed(cls.features()):
            code, digit = divmod(code, feature.radix)
            labels[feature.name] = feature.labels[digit]
        return cls(**labels)

    @classmethod
    def divisor_to(cls, base: "type[StateModel]") -> int:
        """Return d so that code // d is the code of the state seen as a ``base``.

        Raises:
            StateError: ``base`` is not this class or one of its base classes.
        """
        if not issubclass(cls, base):
            raise StateError(
                f"{cls.__name__} does not inherit from {base.__name__}, so it cannot be projected to it"
            )
        return prod(feature.radix for feature in cls.features()[len(base.features()) :])

    @classmethod
    def from_features(cls, values: dict[str, object]) -> Self:
        """Return the state of raw measurements or labels.

        Raises:
            StateError: names each field that is missing, unknown, out of range or not finite.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
                for item in error.errors()
            )
            raise StateError(f"not a {cls.__name__}: {problems}") from error


@cache
def _features(model: type[StateModel]) -> tuple[Feature, ...]:
    features = []
    for name, field in model.model_fields.items():
        if not field.is_required():
            raise ContractError(
                f"{model.__name__}.{name} has a default; a feature is always measured, never assumed"
            )
        match [item for item in field.metadata if isinstance(item, (Bins, Labels))]:
            case [Bins() as bins]:
                features.append(Feature(name, bins.labels))
            case [Labels() as labels]:
                features.append(Feature(name, labels.names))
            case _:
                raise ContractError(
                    f"{model.__name__}.{name} is not a feature: declare it as "
                    "Annotated[str, Bins(...)] or Annotated[str, Labels(...)]"
                )
    for base in model.__mro__[1:]:
        if issubclass(base, StateModel) and base is not StateModel:
            inherited = base.features()
            if tuple(features[: len(inherited)]) != inherited:
                raise ContractError(
                    f"{model.__name__} redefines a feature of {base.__name__}; "
                    "a subclass may only add features"
                )
    return tuple(features)
