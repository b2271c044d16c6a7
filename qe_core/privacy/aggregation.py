"""Many contributors' noisy statistics as one empirical MDP that no single one of them can bend far.

What belongs here: who is counted, capped shares, the pooled means and successors, which pairs are known.
What does not: noise itself (`mechanism`), what the MDP's solution is worth (`shared_knowledge`).

Everything here works on figures that already carry noise, so it costs no privacy (post-processing). Why one
member moves a mean by at most share · 2 · clip_bound, whatever it sends, is in ADR 0104.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.errors import PrivacyError
from qe_core.learning.arrays import BoolArray, Float64Array
from qe_core.privacy.mechanism import NoiseScales
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics

VISIBLE = 2.0
"""Standard deviations of noise below which a count of successors is taken for noise."""

HUNDREDTHS = 100.0
ROUNDING = 1e-9

LARGEST_COUNT = 2.0**40
"""No database counts further. Sums of whole numbers up to it are exact, so nobody can drown others."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one contributor has released about one agent, all its releases added up.

    Attributes:
        contributor: who, by the name the central server knows it by.
        statistics: with noise.
        scales: standard deviations of the noise of one release.
        releases: how many were added up, 1 or more.
    """

    contributor: str
    statistics: AgentStatistics
    scales: NoiseScales
    releases: int = 1


@dataclass(frozen=True, slots=True)
class CombineSettings:
    """What is asked of contributions before anything follows from them.

    Attributes:
        minimum_cohort: contributors without whom nothing is combined.
        minimum_group: visits without which a pair is not known.
        maximum_share: of the evidence on any pair that one contributor can have, in (0, 1).
        sureness: standard deviations of noise by which a count must exceed what is asked of it, 0 or more.
        clip_bound: rewards lie within ± this, points.
    """

    minimum_cohort: int = 3
    minimum_group: int = 10
    maximum_share: float = 0.5
    sureness: float = 3.0
    clip_bound: float = 100.0

    def __post_init__(self) -> None:
        if self.minimum_cohort < 1 or self.minimum_group < 1:
            raise PrivacyError("a cohort and a group have 1 member or more; correct the setting")
        if not 0.0 < self.maximum_share < 1.0 or self.sureness < 0 or self.clip_bound <= 0:
            raise PrivacyError(
                "maximum_share must lie in (0, 1), sureness be 0 or more and clip_bound above 0; "
                "correct the setting"
            )


@dataclass(frozen=True, slots=True)
class NoisyMdp:
    """What contributors report together; pairs that are not known hold 0.

    Attributes:
        is_known: pairs enough was reported about, bool[S, A].
        visits: reported visits as far as they count, float64[S, A].
        reward: mean reward, points, float64[S, A].
        reward_variance: of that mean, by privacy noise alone, points², float64[S, A].
        successors: probability of each outcome of a row, float64[M · A, M + 1]; 0 where nothing is known.
        contributors: who was counted, sorted.
        left_out: who reported nothing that stands out from noise, sorted.
    """

    is_known: BoolArray
    visits: Float64Array
    reward: Float64Array
    reward_variance: Float64Array
    successors: Float64Array
    contributors: tuple[str, ...]
    left_out: tuple[str, ...]


def combine(space: PublicSpace, contributions: Sequence[Contribution], settings: CombineSettings) -> NoisyMdp:
    """Return what these contributors report together about one agent.

    The order of contributions does not matter, and the same contributions give the same bits. A member that
    sends whatever numbers it likes moves the mean reward of a known pair by at most
    maximum_share · 2 · clip_bound and a row of successors by at most maximum_share in total variation, and
    makes no pair known that the others' reports leave unknown.

    Args:
        space: the agent's.
        contributions: one for each contributor.
        settings: what is asked of them.

    Raises:
        PrivacyError: a contributor appears twice, a contribution does not fit the space, or fewer
            contributors than the minimum cohort report anything that stands out from noise.
    """
    cohort, left_out = _cohort(space, contributions, settings)
    counts, rewards, transitions = (
        np.clip([getattr(one.statistics, name) for one in cohort], -LARGEST_COUNT, LARGEST_COUNT)
        for name in ("visits", "rewards", "transitions")
    )
    count_noise, reward_noise, row_noise = (
        np.array([getattr(one.scales, name) * one.releases**0.5 for one in cohort])[:, None, None]
        for name in ("visits", "rewards", "transitions")
    )
    capped = capped_shares(counts, settings.maximum_share)
    visits = capped.sum(axis=0)
    successors = _pooled_rows(transitions, row_noise, settings.maximum_share)
    is_known = _is_reported_by_enough(counts, count_noise, settings) & (visits > 0)
    is_known &= successors.any(axis=1).reshape(space.part_count, space.action_count)[space.part]
    kept = np.divide(capped, counts, out=np.zeros_like(capped), where=capped > 0)
    limit = settings.clip_bound * capped
    total = np.clip(kept * rewards / HUNDREDTHS, -limit, limit).sum(axis=0)
    reward = np.divide(total, visits, out=np.zeros_like(visits), where=is_known)
    of_rewards = ((kept * reward_noise / HUNDREDTHS) ** 2).sum(axis=0)
    of_counts = reward**2 * ((kept * count_noise) ** 2).sum(axis=0)
    return NoisyMdp(
        is_known=is_known,
        visits=np.where(is_known, visits, 0.0),
        reward=reward,
        reward_variance=np.divide(
            of_rewards + of_counts, visits**2, out=np.zeros_like(visits), where=is_known
        ),
        successors=successors,
        contributors=tuple(one.contributor for one in cohort),
        left_out=left_out,
    )


def capped_shares(counts: Float64Array, maximum_share: float) -> Float64Array:
    """Return counts cut off at the highest level at which none is more than its share of their sum.

    Negative counts are worth 0. Where fewer than 1 / maximum_share are above 0, no level above 0 will do, and
    all are worth 0. When one count changes, the shares of all others move together in one direction, which
    is what bounds what one contributor can do to a mean (ADR 0104).

    Args:
        counts: one row for each contributor, float64[K, …].
        maximum_share: in (0, 1).
    """
    positive = np.maximum(counts, 0.0)
    falling = np.concatenate([-np.sort(-positive, axis=0), np.zeros((1, *counts.shape[1:]))])
    rests = falling[::-1].cumsum(axis=0)[::-1]
    level = np.full(counts.shape[1:], np.inf)
    for cut, (highest, rest) in enumerate(zip(falling, rests, strict=True)):
        left = 1.0 - maximum_share * cut
        if left < ROUNDING:
            break
        is_open = np.isinf(level)
        candidate = maximum_share * rest / left
        level = np.where(is_open & (highest <= candidate * (1.0 + ROUNDING)), candidate, level)
    return np.minimum(positive, np.where(np.isinf(level), 0.0, level))


def _cohort(
    space: PublicSpace, contributions: Sequence[Contribution], settings: CombineSettings
) -> tuple[list[Contribution], tuple[str, ...]]:
    """Return who is counted and who is left out, each sorted by name."""
    ordered = sorted(contributions, key=lambda one: one.contributor)
    names = [one.contributor for one in ordered]
    if len(set(names)) < len(names):
        raise PrivacyError(f"{space.agent}: a contributor appears twice; add its releases up first")
    shapes = (
        (space.state_count, space.action_count),
        (space.state_count, space.action_count),
        (space.row_count, space.outcome_count),
    )
    for one in ordered:
        found = one.statistics
        if (found.visits.shape, found.rewards.shape, found.transitions.shape) != shapes:
            raise PrivacyError(
                f"{space.agent}: the contribution of {one.contributor} does not fit the agent's public "
                "space; leave out what was released under another contract"
            )
    stands_out = [
        one.statistics.units > settings.sureness * one.scales.units * one.releases**0.5 for one in ordered
    ]
    cohort = [one for one, is_in in zip(ordered, stands_out, strict=True) if is_in]
    if len(cohort) < settings.minimum_cohort:
        raise PrivacyError(
            f"{space.agent}: {len(cohort)} of {len(ordered)} contributors report more than noise, and "
            f"{settings.minimum_cohort} are needed so that none can see another; wait for more contributors"
        )
    return cohort, tuple(one.contributor for one, is_in in zip(ordered, stands_out, strict=True) if not is_in)


def _is_reported_by_enough(counts: Float64Array, noise: Float64Array, settings: CombineSettings) -> BoolArray:
    """Return which pairs reach the minimum group, surely together and likely without any one, bool[S, A].

    All together by as many standard deviations of their noise as asked, and whichever one contributor is left
    out still by one, so that nobody makes a pair known alone. A count below what noise can explain counts as
    that much below 0, so that nobody can hide a pair that many have seen by a huge negative number.
    """
    floored = np.maximum(counts, -settings.sureness * noise)
    total, variance = floored.sum(axis=0), (noise**2).sum(axis=0)
    is_sure = total >= settings.minimum_group + settings.sureness * np.sqrt(variance)
    is_likely = total - floored >= settings.minimum_group + np.sqrt(variance - noise**2)
    return np.asarray(is_sure & is_likely.all(axis=0))


def _pooled_rows(transitions: Float64Array, noise: Float64Array, maximum_share: float) -> Float64Array:
    """Return the mean of the contributors' own successor distributions, float64[M · A, M + 1].

    Each is made a distribution by itself and weighed by a capped count, because a mean of distributions is
    all that is known to be bounded by the shares.
    """
    seen = np.where((transitions > 0) & (transitions >= VISIBLE * noise), transitions, 0.0)
    mass = seen.sum(axis=2)
    weight = capped_shares(mass, maximum_share)
    total = weight.sum(axis=0)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    own = np.divide(seen, mass[:, :, None], out=np.zeros_like(seen), where=mass[:, :, None] > 0)
    pooled = (share[:, :, None] * own).sum(axis=0)
    return np.asarray(pooled / np.maximum(pooled.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny))
