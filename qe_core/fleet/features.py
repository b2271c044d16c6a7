"""Features: how one measured quantity becomes one of a few labels.

What belongs here: declarations that sit on a state model's fields (`Bins` for numbers, `Labels` for
names) and the binning itself. What does not: whole states and their encoding (`state`).
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, TypeGuard

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from qe_core.errors import ContractError, nearest


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a real number: of Python or numpy, finite or not, but no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Feature:
    """One digit of an encoded state.

    Attributes:
        name: the field's name on the state model.
        labels: the values it can take, in digit order; the radix is their number.
    """

    name: str
    labels: tuple[str, ...]

    @property
    def radix(self) -> int:
        """The number of labels, at least 2."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Labels:
    """Declares a feature that is one of a few names.

    Args:
        names: at least two distinct names, in digit order.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if len(names) < 2 or len(set(names)) != len(names):
            raise ContractError(f"a feature needs at least two distinct labels, got {names!r}")
        object.__setattr__(self, "names", names)

    def label(self, value: object) -> str:
        """Return ``value`` if it is one of the names.

        Raises:
            ValueError: it is not; the message lists what is allowed.
        """
        if isinstance(value, str) and value in self.names:
            return value
        hint = nearest(value, self.names) if isinstance(value, str) else "one of " + ", ".join(self.names)
        raise ValueError(f"{value!r} is not a label of this feature: {hint}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the field by `label`."""
        return core_schema.no_info_plain_validator_function(
            self.label, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the field as an enumeration of its names."""
        return {"type": "string", "enum": list(self.names)}


@dataclass(frozen=True, slots=True)
class Bins:
    """Declares a feature that bins a number.

    ``edges`` e1 < e2 < … split the line into half-open intervals [lower, e1), [e1, e2), …, [ek, upper]:
    an edge belongs to the bin above it. A number outside [lower, upper] is an error, unless ``other``
    names a label for it; then that label is the last digit.

    Args:
        edges: the inner edges, strictly increasing, in ``unit``.
        names: one label for each interval: one more than there are edges.
        lower: the smallest number accepted, inclusive.
        upper: the largest number accepted, inclusive.
        unit: what the number counts, for people.
        other: the label of numbers outside the range, or None to refuse them.
    """

    edges: tuple[float, ...]
    names: tuple[str, ...]
    lower: float = -math.inf
    upper: float = math.inf
    unit: str = ""
    other: str | None = None

    def __post_init__(self) -> None:
        ladder = (self.lower, *self.edges, self.upper)
        if not self.edges or any(a >= b for a, b in pairwise(ladder)):
            raise ContractError(f"bin edges must increase strictly between lower and upper, got {ladder}")
        if len(self.names) != len(self.edges) + 1 or len(set(self.labels)) != len(self.labels):
            raise ContractError(
                f"{len(self.edges)} edges need {len(self.edges) + 1} distinct labels, got {self.names}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels in digit order, ``other`` last where it is declared."""
        return self.names if self.other is None else (*self.names, self.other)

    def label(self, value: object) -> str:
        """Return the label of a number, or ``value`` itself if it is already one of the labels.

        Raises:
            ValueError: it is neither, not finite, or outside the range where no ``other`` is declared.
        """
        if isinstance(value, str):
            if value in self.labels:
                return value
            raise ValueError(f"{value!r} is not a label of this feature: {nearest(value, self.labels)}")
        if not is_number(value):
            raise ValueError(f"{value!r} is neither a number nor one of {', '.join(self.labels)}")
        if not math.isfinite(value):
            raise ValueError(f"{value!r} is not a finite number; measure again or leave the experience out")
        if not self.lower <= value <= self.upper:
            if self.other is not None:
                return self.other
            raise ValueError(
                f"{value!r} {self.unit} is outside [{self.lower:g}, {self.upper:g}]".replace("  ", " ")
            )
        return self.names[bisect_right(self.edges, value)]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the field by `label`."""
        return core_schema.no_info_plain_validator_function(
            self.label, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the field as a number in range or one of its labels."""
        number: dict[str, Any] = {"type": "number"}
        if math.isfinite(self.lower):
            number["minimum"] = self.lower
        if math.isfinite(self.upper):
            number["maximum"] = self.upper
        return {"anyOf": [number, {"type": "string", "enum": list(self.labels)}]}
