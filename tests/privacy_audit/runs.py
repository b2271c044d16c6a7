"""Releases of a mechanism, thousands at a time: the product's own, and three that are wrong on purpose.

What belongs here: counting, noise and the wire of many runs. What does not: which data sets (`cases`),
guessing from the outputs (`judging`).

Noise of many runs is drawn in one call. That is the same mechanism: OpenDP draws every cell of a vector
independently, and `noised` is `with_noise` on each array; a test compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from qe_core.learning.arrays import Int64Array
from qe_core.privacy import mechanism
from qe_core.privacy.mechanism import NoiseScales, plan_release
from qe_core.privacy.statistics import AgentStatistics, exact_statistics
from qe_core.privacy.units import AgentSteps, ContributionBound
from qe_core.privacy.wire import decode, encode
from tests.privacy_audit.cases import DELTA, Case

KINDS = tuple(field.name for field in fields(NoiseScales))

Steps = Mapping[str, AgentSteps]
Count = Callable[[Steps, Case, np.random.Generator], Mapping[str, AgentStatistics]]
Scale = Callable[[ContributionBound, int, float], NoiseScales]
Noise = Callable[[Int64Array, float], Int64Array]


def counted(steps: Steps, case: Case, generator: np.random.Generator) -> Mapping[str, AgentStatistics]:
    """Return the product's exact counts."""
    return exact_statistics(steps, case.spaces, case.bound, generator)


def counted_unclipped(
    steps: Steps, case: Case, generator: np.random.Generator
) -> Mapping[str, AgentStatistics]:
    """Return counts with rewards as they are."""
    return exact_statistics(steps, case.spaces, replace(case.bound, clip_bound=1e9), generator)


def scaled(bound: ContributionBound, agent_count: int, privacy_epsilon: float) -> NoiseScales:
    """Return the product's scales of noise."""
    return plan_release(bound, agent_count, privacy_epsilon, DELTA).scales


def scaled_per_key(bound: ContributionBound, agent_count: int, privacy_epsilon: float) -> NoiseScales:
    """Return the scales that would do if a unit had only one key."""
    return scaled(replace(bound, pairs=1), agent_count, privacy_epsilon)


def noise(values: Int64Array, scale: float) -> Int64Array:
    """Return the product's noise on every cell."""
    return mechanism.with_noise(values, scale)


def noise_on_present(values: Int64Array, scale: float) -> Int64Array:
    """Return noise on the cells that are not 0, as one would get it from rows of a table."""
    return np.where(values != 0, noise(values, scale), 0)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A way from steps to what leaves.

    Attributes:
        name: in words.
        count: exact counts from steps.
        scale: of the noise.
        noise: added to counts.
    """

    name: str
    count: Count = counted
    scale: Scale = scaled
    noise: Noise = noise

    def means(self, steps: Steps, case: Case, generator: np.random.Generator, keys: int = 64) -> Int64Array:
        """Return the sum of what ``keys`` draws of a unit's pairs count in one release, int64[cells]."""
        return sum(_flat(self.count(steps, case, generator), case) for _ in range(keys))

    def outputs(self, steps: Steps, case: Case, runs: int, generator: np.random.Generator) -> Int64Array:
        """Return what leaves in ``runs`` independent runs, read from the wire, int64[runs, cells]."""
        total = runs * case.releases
        exact = [self.count(steps, case, generator) for _ in range(total)]
        scales = self.scale(case.bound, len(case.spaces), case.privacy_epsilon)
        sent = {agent: self._sent([one[agent] for one in exact], scales) for agent in case.spaces}
        read = (
            {agent: decode(sent[agent][run], space) for agent, space in case.spaces.items()}
            for run in range(total)
        )
        return np.array([_flat(one, case) for one in read]).reshape(runs, -1)

    def _sent(self, exact: list[AgentStatistics], scales: NoiseScales) -> list[bytes]:
        noisy = {
            kind: self.noise(np.array([getattr(one, kind) for one in exact]), getattr(scales, kind))
            for kind in KINDS
        }
        return [
            encode(AgentStatistics(int(noisy["units"][run]), *(noisy[kind][run] for kind in KINDS[1:])))
            for run in range(len(exact))
        ]


def _flat(statistics: Mapping[str, AgentStatistics], case: Case) -> Int64Array:
    return np.concatenate(
        [np.ravel(getattr(statistics[agent], kind)) for agent in case.spaces for kind in KINDS]
    )


def kind_of_cells(case: Case) -> Int64Array:
    """Return the kind of each cell of one release, as its place in ``KINDS``, int64[cells]."""
    zeros = [AgentStatistics.zeros(space) for space in case.spaces.values()]
    return np.concatenate(
        [np.full(np.size(getattr(one, kind)), place) for one in zeros for place, kind in enumerate(KINDS)]
    )


PRODUCT = Mechanism("the product")
ONLY_PRESENT_KEYS = Mechanism("noise only on present keys", noise=noise_on_present)
BUDGET_PER_KEY = Mechanism("budget per key", scale=scaled_per_key)
NO_CLIPPING = Mechanism("no clipping", count=counted_unclipped)
