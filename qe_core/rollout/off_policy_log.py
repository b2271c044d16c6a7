"""Logged episodes as off-policy evaluation needs them: whole, in order, with the propensity of every action.

What belongs here: the container, putting a log in order, leaving out what is incomplete, padding by step.
What does not: loading a log (the store) and what is estimated from it (`off_policy`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, as_column, name_rows
from qe_core.learning.experience import Transitions


@dataclass(frozen=True, slots=True)
class LoggedEpisodes:
    """Whole episodes, one after the other, each in the order of its steps.

    Attributes:
        transitions: N steps.
        propensity: the probability with which each action was taken, in (0, 1], float64[N].
        offsets: where each episode begins, int64[E + 1]; the last entry is N.
        incomplete_count: episodes of the log that were left out, because a step or the end was missing.
    """

    transitions: Transitions
    propensity: Float64Array
    offsets: Int64Array
    incomplete_count: int = 0

    @classmethod
    def from_columns(
        cls,
        transitions: Transitions,
        episode: npt.ArrayLike,
        step: npt.ArrayLike,
        propensity: npt.ArrayLike,
    ) -> Self:
        """Return the complete episodes among these steps, given in any order.

        An episode is complete when its steps are 0, 1, 2, … and its last one, and only that, is terminated or
        truncated. The first appearance decides the order of episodes.

        Args:
            transitions: N steps.
            episode: what each step's episode is called: N numbers or strings.
            step: its place in the episode, from 0.
            propensity: the probability with which its action was taken.

        Raises:
            LearningError: lengths differ, or a propensity is not in (0, 1]; the message names the first rows.
        """
        names, steps = np.asarray(episode), as_column("step", step, np.int64)
        chances = as_column("propensity", propensity, np.float64)
        if {len(names), len(steps), len(chances)} != {len(transitions)}:
            raise LearningError(
                f"the log has {len(transitions)} transitions, {len(names)} episode names, {len(steps)} steps "
                f"and {len(chances)} propensities; give one of each per step"
            )
        is_bad = ~((chances > 0.0) & (chances <= 1.0))
        if is_bad.any():
            raise LearningError(
                f"propensities must lie in (0, 1], but {name_rows(is_bad, chances)}; what was logged without "
                "its propensity cannot be used to evaluate another policy"
            )
        _, first_row, of_row = np.unique(names, return_index=True, return_inverse=True)
        place = np.empty(len(first_row), dtype=np.int64)
        place[np.argsort(first_row)] = np.arange(len(first_row))
        number = place[of_row]
        order = np.lexsort((steps, number))
        number, steps = number[order], steps[order]
        is_end = (transitions.terminated | transitions.truncated)[order]
        is_complete = _complete(number, steps, is_end, len(first_row))
        kept = order[is_complete[number]]
        lengths = np.bincount(number, minlength=len(first_row))[is_complete]
        return cls(
            transitions=_rows(transitions, kept),
            propensity=chances[kept],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            incomplete_count=int((~is_complete).sum()),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def length(self) -> Int64Array:
        """Steps of each episode, int64[E]."""
        return np.diff(self.offsets)

    @property
    def horizon(self) -> int:
        """Steps of the longest episode, 0 where there is none."""
        return int(self.length.max(initial=0))

    @property
    def start_states(self) -> Int64Array:
        """Each episode's first state, int64[E]."""
        return self.transitions.state[self.offsets[:-1]]

    def select(self, is_chosen: BoolArray) -> Self:
        """Return only the chosen episodes, given a flag for each."""
        rows = np.repeat(is_chosen, self.length)
        return type(self)(
            transitions=_rows(self.transitions, np.flatnonzero(rows)),
            propensity=self.propensity[rows],
            offsets=np.concatenate([[0], np.cumsum(self.length[is_chosen])]).astype(np.int64),
        )

    def by_step(self, values: Float64Array, fill: float) -> Float64Array:
        """Return one number per step as a table, float64[E, horizon], ``fill`` after an episode's end."""
        is_step = np.arange(self.horizon) < self.length[:, np.newaxis]
        table = np.full(is_step.shape, fill)
        table[is_step] = values
        return table


def _complete(number: Int64Array, step: Int64Array, is_end: BoolArray, count: int) -> BoolArray:
    """Return which episodes are complete, bool[count], given their steps ordered by episode and step."""
    is_first = np.diff(number, prepend=-1) != 0
    is_last = np.diff(number, append=count) != 0
    expected = np.arange(len(number)) - np.maximum.accumulate(np.where(is_first, np.arange(len(number)), 0))
    is_bad = (step != expected) | (is_end != is_last)
    return np.asarray(np.bincount(number[is_bad], minlength=count) == 0)


def _rows(transitions: Transitions, rows: Int64Array) -> Transitions:
    """Return these rows of the transitions, in this order."""
    return Transitions(
        transitions.state[rows], transitions.action[rows], transitions.reward[rows],
        transitions.next_state[rows], transitions.terminated[rows], transitions.truncated[rows],
    )  # fmt: skip
