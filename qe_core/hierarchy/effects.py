"""What an action's value is made of, level by level: effects of the fleet's, a category's and own features.

What belongs here: which effects there are, and how those of an upper level become what a lower one expects.
What does not: estimating them (`effect_estimation`) and beliefs about values (`pooling`).

A state's features are inherited: the fleet's come first, then its category's, then its own (ADR 0040). So the
first columns of an agent's effects are its category's, and the first of these the fleet's.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Category, FleetContext
from qe_core.learning.arrays import Float64Array, Int64Array, require_range


class Level(IntEnum):
    """Who has a feature."""

    FLEET = 0
    CATEGORY = 1
    OWN = 2


@dataclass(frozen=True, slots=True)
class EffectDesign:
    """Which effects add up to the value of an action in each of N states.

    Effects are arranged in columns: one that counts everywhere, then one for each label of each feature. In a
    column, row 0 is what all actions share, and rows 1 to A what one action adds.

    Attributes:
        columns: which columns count in which state, 0 or 1, float64[N, K]; those that count in none of the
            states are left out.
        levels: whose feature a column belongs to, a ``Level``, int64[K].
        places: of these columns among all that the state model has, int64[K].
    """

    columns: Float64Array
    levels: Int64Array
    places: Int64Array

    @classmethod
    def of(cls, model: type[StateModel], category: Category, states: npt.ArrayLike) -> Self:
        """Return the effects in these states.

        Args:
            model: whose states: an agent's, the category's context or the fleet's.
            category: whose context the model is or inherits from; any for the fleet's.
            states: codes, int[N].

        Raises:
            LearningError: a code is none of the model's.
        """
        codes = np.asarray(states, dtype=np.int64)
        require_range("state", codes, model.space_size())
        radices = [feature.radix for feature in model.features()]
        first_of = (len(FleetContext.features()), len(category.context.features()))
        columns, levels = [np.ones((len(codes), 1))], [Level.FLEET]
        for place, digits in enumerate(np.unravel_index(codes, radices)):
            columns.append(np.equal.outer(digits, np.arange(radices[place])).astype(np.float64))
            levels += [Level(sum(place >= first for first in first_of))] * radices[place]
        whole = np.concatenate(columns, axis=1)
        places = np.flatnonzero(whole.any(axis=0))
        return cls(whole[:, places], np.array(levels, dtype=np.int64)[places], places)

    @property
    def column_count(self) -> int:
        """K."""
        return int(self.columns.shape[1])

    def values(self, effects: Float64Array) -> Float64Array:
        """Return what effects add up to in each state, points, float64[N, A], given float64[1 + A, K]."""
        return np.asarray(self.columns @ (effects[0] + effects[1:]).T)


def column_count(model: type[StateModel]) -> int:
    """Return how many columns the effects of a state model have."""
    return 1 + sum(feature.radix for feature in model.features())


def expected_effects(
    upper: Float64Array, model: type[StateModel], approach_indices: npt.ArrayLike
) -> Float64Array:
    """Return what a lower level expects of its effects, points, float64[1 + A, columns of its model].

    Every action expects what the upper level found for its approach. What all actions share is not handed
    down: agents differ in their level of reward and agree more on which approach is better (ADR 0033).
    Columns the upper level does not have expect 0.

    Args:
        upper: effects of the upper level, points, float64[1 + approaches, its columns].
        model: of the lower level; inherits from the upper level's.
        approach_indices: the upper level's column of each of the A actions.

    Raises:
        LearningError: the upper level has more columns than the lower one, or not that approach.
    """
    chosen = np.asarray(approach_indices, dtype=np.int64)
    require_range("approach_indices", chosen, len(upper) - 1)
    columns = column_count(model)
    if upper.shape[1] > columns:
        raise LearningError(
            f"{upper.shape[1]} effects cannot be handed down to {model.__name__}, which has {columns}; "
            "the lower level's model must inherit from the upper one's"
        )
    expected = np.zeros((1 + len(chosen), columns))
    expected[1:, : upper.shape[1]] = upper[1 + chosen]
    return expected
