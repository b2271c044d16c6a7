"""The public space an agent's contributions are counted over: known before anybody acted.

What belongs here: its axes, from the agent's contract alone. What does not: counting (`statistics`).

Rewards are counted per (state, action). Successors are counted per (moving part of the state, action): one
step changes only the features a contract names in ``moving``, so a cell of successors is shared by all states
that differ in the others. That keeps the space small enough to put noise on *every* cell, visited or not,
which is what hides whether somebody was there at all (ADR 0100).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from qe_core.errors import PrivacyError
from qe_core.fleet.contract import AgentContract
from qe_core.learning.arrays import Int64Array

LARGEST_CELL_COUNT = 100_000
"""Cells beyond which an agent is not shared: noise on so many would leave nothing to see."""


@dataclass(frozen=True, slots=True)
class PublicSpace:
    """The cells of one agent's contributions.

    A state is its part (the moving features, in digit order) and its rest (the others).

    Attributes:
        agent: whose.
        fingerprint: the contract it follows from.
        state_count: S.
        action_count: A.
        part_count: M, the number of parts.
        part: the part of each state, 0 to M − 1, int64[S].
        rest: the rest of each state, int64[S].
    """

    agent: str
    fingerprint: str
    state_count: int
    action_count: int
    part_count: int
    part: Int64Array
    rest: Int64Array

    @classmethod
    def of(cls, contract: AgentContract) -> Self:
        """Return the space of an agent.

        Raises:
            PrivacyError: the contract names no moving features, or its space is too large to share.
        """
        if not contract.moving:
            raise PrivacyError(
                f"{contract.name} cannot be shared: its contract does not say which features one step can "
                "change; name them in moving=(…)"
            )
        features = contract.state_model.features()
        remaining = np.arange(contract.state_count, dtype=np.int64)
        part, rest = np.zeros_like(remaining), np.zeros_like(remaining)
        parts, rests = 1, 1
        for feature in reversed(features):
            remaining, digit = np.divmod(remaining, feature.radix)
            if feature.name in contract.moving:
                part += parts * digit
                parts *= feature.radix
            else:
                rest += rests * digit
                rests *= feature.radix
        for array in (part, rest):
            array.flags.writeable = False
        space = cls(
            contract.name,
            contract.fingerprint,
            contract.state_count,
            contract.action_count,
            parts,
            part,
            rest,
        )
        if space.cell_count > LARGEST_CELL_COUNT:
            raise PrivacyError(
                f"{contract.name} cannot be shared: its {space.cell_count:,} cells are more than "
                f"{LARGEST_CELL_COUNT:,}, and noise on each would leave nothing to see; use fewer or coarser "
                "features"
            )
        return space

    @property
    def pair_count(self) -> int:
        """S · A, the cells of visits and of rewards."""
        return self.state_count * self.action_count

    @property
    def row_count(self) -> int:
        """M · A, the rows of successors."""
        return self.part_count * self.action_count

    @property
    def outcome_count(self) -> int:
        """M + 1, the successors of a row: a part, or last the end of the episode."""
        return self.part_count + 1

    @property
    def cell_count(self) -> int:
        """All cells of a contribution: visits, rewards and successors."""
        return 2 * self.pair_count + self.row_count * self.outcome_count

    def states(self) -> Int64Array:
        """Return the state of each (rest, part), int64[S / M, M]: the inverse of ``rest`` and ``part``."""
        found = np.empty((self.state_count // self.part_count, self.part_count), dtype=np.int64)
        found[self.rest, self.part] = np.arange(self.state_count)
        return found
