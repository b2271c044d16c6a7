"""A release as bytes, and reading it back from somebody who need not be friendly.

What belongs here: the one form in which anything leaves, and all checks of it. Nothing that is not a field
here can leave. What does not: adding noise before (`mechanism`), sending and storing (`qe_core.store`).
"""

import zlib
from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from qe_core.errors import ContributionError, PrivacyError
from qe_core.fleet.registry import registry
from qe_core.learning.arrays import Int64Array
from qe_core.privacy.mechanism import ReleasePlan, plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit

LARGEST_VALUE = 2**50
"""Beyond it nothing that was counted can lie, and float64 and sums over all contributors stay exact below."""

_CELL = np.dtype("<i8")


def encode(statistics: AgentStatistics) -> bytes:
    """Return the counts of one agent, compressed; their shapes are not in it.

    Raises:
        PrivacyError: a value is too large to have been counted.
    """
    values = np.concatenate(
        [
            np.array([statistics.units], dtype=np.int64),
            statistics.visits.ravel(),
            statistics.rewards.ravel(),
            statistics.transitions.ravel(),
        ]
    )
    if _is_beyond(values):
        raise PrivacyError("a count is beyond 2**50 and cannot be sent; check the log it was made from")
    # Small numbers of either sign become small positive ones, and bytes of one weight stand together: a third
    # of the size after compression.
    zigzag = ((values << 1) ^ (values >> 63)).astype(_CELL)
    return zlib.compress(zigzag.view(np.uint8).reshape(-1, _CELL.itemsize).T.tobytes(), level=6)


def decode(data: bytes, space: PublicSpace) -> AgentStatistics:
    """Return the counts that ``data`` holds for the agent of ``space``.

    Raises:
        ContributionError: it is not exactly one agent's counts in the form `encode` gives them.
    """
    cell_count = 1 + space.cell_count
    raw = _decompressed(data, cell_count * _CELL.itemsize, space.agent)
    planes = np.frombuffer(raw, dtype=np.uint8).reshape(_CELL.itemsize, cell_count)
    zigzag = np.ascontiguousarray(planes.T).view(_CELL).ravel().astype(np.int64)
    values: Int64Array = ((zigzag >> 1) & np.int64(2**63 - 1)) ^ -(zigzag & 1)
    if _is_beyond(values):
        raise ContributionError(f"a count of {space.agent} is beyond 2**50; nobody can have counted so much")
    pairs = (space.state_count, space.action_count)
    visits, rewards, transitions = np.split(values[1:], [space.pair_count, 2 * space.pair_count])
    return AgentStatistics(
        int(values[0]),
        visits.reshape(pairs),
        rewards.reshape(pairs),
        transitions.reshape(space.row_count, space.outcome_count),
    )


def largest_part_bytes(space: PublicSpace) -> int:
    """Return the bytes beyond which `decode` refuses to read the counts of an agent."""
    return _largest_compressed((1 + space.cell_count) * _CELL.itemsize)


def _largest_compressed(size: int) -> int:
    """Return the bytes that zlib makes of ``size`` bytes it cannot shorten, and a little more."""
    return size + size // 1000 + 64


def _decompressed(data: bytes, size: int, agent: str) -> bytes:
    if len(data) > _largest_compressed(size):
        raise ContributionError(
            f"{len(data):,} bytes for {agent} are more than its counts can take; "
            "it is not a release of this agent"
        )
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ContributionError(
            f"the counts of {agent} are not compressed as releases are: {error}"
        ) from error
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ContributionError(
            f"the counts of {agent} do not fill exactly its {size:,} bytes; "
            "it was made for another contract, cut short or added to"
        )
    return raw


def _is_beyond(values: Int64Array) -> bool:
    return bool(((values > LARGEST_VALUE) | (values < -LARGEST_VALUE)).any())


_Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_AgentName = Annotated[str, Field(min_length=1, max_length=100)]


class ReleaseHeader(BaseModel):
    """All that leaves besides the counts. What is not a field here cannot be said.

    Attributes:
        wire_format: of the counts.
        release_id: drawn at random.
        origin: the database's pseudonym of the time, 32 hexadecimal digits.
        made_on: the day, without time.
        protected_unit: whose presence is hidden.
        pairs: of one unit that count, at most.
        clip_bound: points.
        privacy_epsilon: ε promised.
        privacy_delta: δ promised.
        nano_rho: lost by this release.
        agents: name and fingerprint of the contract of each agent the counts are of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    wire_format: Literal[1] = 1
    release_id: UUID
    origin: _Hex32
    made_on: date
    protected_unit: ProtectedUnit
    pairs: Annotated[int, Field(ge=1, le=100_000)]
    clip_bound: Annotated[float, Field(ge=0.01, le=100.0)]
    privacy_epsilon: Annotated[float, Field(gt=0.0, le=50.0)]
    privacy_delta: Annotated[float, Field(gt=0.0, le=1e-3)]
    nano_rho: Annotated[int, Field(ge=1, le=10**12)]
    agents: Annotated[tuple[tuple[_AgentName, _Fingerprint], ...], Field(min_length=1, max_length=1_000)]

    @model_validator(mode="after")
    def _agents_are_registered(self) -> Self:
        names = [name for name, _ in self.agents]
        if len(set(names)) < len(names):
            raise ValueError("an agent is named twice; a release holds the counts of each agent once")
        if unknown := sorted(set(names) - set(registry().names())):
            raise ValueError(
                f"no agent is called {', '.join(unknown)}; register it here as well, or leave it out"
            )
        return self

    def plan(self) -> ReleasePlan:
        """Return what the header promises, worked out anew; the noise it must have been made with.

        Raises:
            ContributionError: its loss is not the one that follows from its promise.
        """
        bound = ContributionBound(self.protected_unit, self.pairs, self.clip_bound)
        plan = plan_release(bound, len(self.agents), self.privacy_epsilon, self.privacy_delta)
        if plan.nano_rho != self.nano_rho:
            raise ContributionError(
                f"release {self.release_id} says it loses {self.nano_rho} nano-ρ, but "
                f"ε = {self.privacy_epsilon} with δ = {self.privacy_delta} is {plan.nano_rho}; do not use it"
            )
        return plan
