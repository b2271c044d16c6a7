"""Noise that hides a unit: how much of it, and adding it. The one module here that is not a pure function.

What belongs here: the scale of the noise of a release, and the noise, drawn by OpenDP from the operating
system's randomness. It cannot be seeded: noise that somebody can repeat can be taken away again (ADR 0102).
What does not: what is counted (`statistics`), how losses of releases add up (`accounting`).

The discrete Gaussian (Canonne, Kamath & Steinke 2020) with scale σ on integers that one unit moves by at most
Δ (L2) loses ρ = Δ²/2σ². Noise is drawn for each cell alone, so the arrays of one kind of all agents of a
release together are one such mechanism; the losses of the four kinds add up.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from qe_core.errors import PrivacyError
from qe_core.learning.arrays import Int64Array
from qe_core.privacy.accounting import NANO, largest_nano_rho, rounded_up
from qe_core.privacy.opendp import gaussian
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound


@dataclass(frozen=True, slots=True)
class NoiseScales:
    """The scale σ of the noise on each cell, about its standard deviation, in the unit of the cell.

    Attributes:
        units: on the number of units.
        visits: on visits.
        rewards: on sums of rewards, hundredths of points.
        transitions: on successors.
    """

    units: float
    visits: float
    rewards: float
    transitions: float


SHARES = NoiseScales(units=0.05, visits=0.25, rewards=0.45, transitions=0.25)
"""How a release's ρ is divided between the kinds of array."""


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a release promises, and the noise that keeps it.

    Attributes:
        bound: how much of one unit counts.
        privacy_epsilon: ε of the promise.
        privacy_delta: δ of the promise.
        scales: of the noise.
        nano_rho: what the release loses at most, by OpenDP's own account, rounded up.
    """

    bound: ContributionBound
    privacy_epsilon: float
    privacy_delta: float
    scales: NoiseScales
    nano_rho: int


def plan_release(
    bound: ContributionBound, agent_count: int, privacy_epsilon: float, privacy_delta: float
) -> ReleasePlan:
    """Return the noise with which a release of ``agent_count`` agents keeps (ε, δ) for every unit.

    Raises:
        PrivacyError: no agent, or an ε too small for any noise to keep.
    """
    if agent_count < 1:
        raise PrivacyError(
            "a release needs an agent to be about; declare what moves in at least one contract"
        )
    limit = largest_nano_rho(privacy_epsilon, privacy_delta)
    if limit < 1:
        raise PrivacyError(
            f"privacy_epsilon {privacy_epsilon} with privacy_delta {privacy_delta} leaves nothing to "
            "release; raise one of them"
        )
    # Half a nano-ρ below the limit, so that all that is rounded up on the way still ends at the limit.
    rho = (limit - 0.5) / NANO
    sensitivities = bound.sensitivities(agent_count)
    distances = {
        field.name: rounded_up(math.sqrt(getattr(sensitivities, field.name)))
        for field in fields(sensitivities)
    }
    scales = {
        kind: distance / math.sqrt(2 * rho * getattr(SHARES, kind)) for kind, distance in distances.items()
    }
    spent = sum(gaussian(1, scales[kind]).map(distance) for kind, distance in distances.items())
    nano_rho = math.ceil(spent * NANO)
    if nano_rho > limit:
        raise PrivacyError(
            f"the noise would lose {nano_rho} nano-ρ of {limit} allowed; this is a fault of the product"
        )
    return ReleasePlan(bound, privacy_epsilon, privacy_delta, NoiseScales(**scales), nano_rho)


def noised(exact: AgentStatistics, scales: NoiseScales) -> AgentStatistics:
    """Return ``exact`` with fresh noise on every cell, whether anybody was there or not."""
    return AgentStatistics(
        int(with_noise(np.array([exact.units]), scales.units)[0]),
        with_noise(exact.visits, scales.visits),
        with_noise(exact.rewards, scales.rewards),
        with_noise(exact.transitions, scales.transitions),
    )


def with_noise(values: Int64Array, scale: float) -> Int64Array:
    """Return ``values`` plus independent discrete Gaussian noise of scale σ on each, in the same shape."""
    noisy = gaussian(values.size, scale)(values.ravel().tolist())
    return np.array(noisy, dtype=np.int64).reshape(values.shape)
