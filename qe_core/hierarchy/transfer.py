"""Knowledge passed between similar agents as a prior, and taken back.

What belongs here: what one agent offers another, what of all offers the other takes, and the report of it.
What does not: who is similar to whom (`transfer_manager`), whether an offer does harm (`negative_transfer`).

A prior is a value without visits. Whoever looks at a table can tell it from what its agent saw itself, so
priors are never passed on, never aggregated, and can be taken back at any time by writing them anew from the
offers that remain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import APPROACH_COUNT, AggregationPart, aggregate
from qe_core.hierarchy.project import project_pairs
from qe_core.learning.arrays import BoolArray, Float64Array, require_fraction, require_shape
from qe_core.learning.q_table import QTable


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """What may be passed on, and how strongly it counts.

    Attributes:
        minimum_confidence: pairs at or below it are not offered, in [0, 1].
        factor: applied to a transferred value, in [0, 1].
    """

    minimum_confidence: float = 0.7
    factor: float = 0.8

    def __post_init__(self) -> None:
        require_fraction("minimum_confidence", self.minimum_confidence)
        require_fraction("transfer factor", self.factor)


DEFAULT_TRANSFER = TransferSettings()


@dataclass(frozen=True, slots=True)
class Offer:
    """What one source says about a target's pairs.

    Attributes:
        source: the agent that gives.
        prior: value times factor, points, float64[S, A]; 0 where it says nothing.
        weight: evidence behind it, float64[S, A]; 0 where it says nothing.
        pairs_offered: the source's pairs above the confidence asked for.
        pairs_doubtful: its visited pairs that are not.
    """

    source: str
    prior: Float64Array
    weight: Float64Array
    pairs_offered: int
    pairs_doubtful: int

    @property
    def is_known(self) -> BoolArray:
        """Where it says anything, bool[S, A]."""
        return self.weight > 0


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What became of one offer.

    Attributes:
        source: the agent that gave.
        target: the agent that received.
        pairs_offered: pairs of the source above the confidence asked for.
        pairs_doubtful: visited pairs of the source that were not offered, for lack of confidence.
        pairs_taken: pairs of the target that hold a prior from it now.
        pairs_kept: pairs of the target where it met own evidence, which stands.
        mean_absolute_prior: mean size of what it says about the pairs taken, points, 0 if none was.
        refused_because: why nothing was taken although it was offered; empty if it was not refused.
    """

    source: str
    target: str
    pairs_offered: int
    pairs_doubtful: int
    pairs_taken: int
    pairs_kept: int
    mean_absolute_prior: float
    refused_because: str


def offer(
    source: AggregationPart,
    target: AggregationPart,
    state_count: int,
    settings: TransferSettings = DEFAULT_TRANSFER,
) -> Offer:
    """Return what a source says about a target's pairs.

    The source's confident pairs are averaged by weight per shared (state, approach); every pair of the target
    that projects to such a cell hears that value times the factor.

    Args:
        source: who gives; with the divisor to the states *both share*: their category's where they belong to
            one category, else the fleet's.
        target: who receives, likewise.
        state_count: number of shared states.
        settings: confidence asked for and factor.

    Raises:
        LearningError: both are the same agent, or do not fit the shared states.
    """
    if source.name == target.name:
        raise LearningError(f"{source.name} cannot transfer to itself; name another agent of its group")
    is_visited = source.table.visits > 0
    is_confident = source.weights / np.maximum(source.table.visits, 1) > settings.minimum_confidence
    confident = replace(
        source,
        table=replace(source.table, visits=np.where(is_confident, source.table.visits, 0)),
        weights=np.where(is_confident, source.weights, 0.0),
    )
    shared = aggregate([confident], state_count)
    cells = project_pairs(target.table.state_count, target.divisor, target.approach_indices, APPROACH_COUNT)
    if cells.max() >= shared.weights.size:
        raise LearningError(
            f"{target.name} does not fit {state_count} shared states by divisor {target.divisor}; "
            "give both sides the divisor to the states they share"
        )
    return Offer(
        source=source.name,
        prior=settings.factor * shared.table.q.reshape(-1)[cells],
        weight=shared.weights.reshape(-1)[cells],
        pairs_offered=int(is_confident.sum()),
        pairs_doubtful=int((is_visited & ~is_confident).sum()),
    )


def keep_priors(rebuilt: QTable, stored: QTable) -> QTable:
    """Return a rebuilt table with the priors that are stored, where there still is no own evidence.

    Building an agent's table from its log knows nothing of what others told it; without this every rebuild
    would forget it until the next transfer.

    Raises:
        LearningError: the tables differ in shape.
    """
    require_shape("stored table", stored.q, rebuilt.q.shape)
    is_prior = (rebuilt.visits == 0) & (stored.visits == 0)
    return replace(rebuilt, q=np.where(is_prior, stored.q, rebuilt.q))


def take_offers(
    target: AggregationPart, offers: Mapping[str, Offer], refused: Mapping[str, str]
) -> tuple[QTable, tuple[TransferReport, ...]]:
    """Return the target's table with exactly the priors that these offers give, and a report for each.

    Where several offers meet, they are averaged by weight. Pairs with own evidence keep every bit; priors
    that no offer supports any more are gone. Writing the same offers again changes nothing.

    Args:
        target: who receives.
        offers: by source.
        refused: why an offer is not taken, by source.

    Raises:
        LearningError: an offer is about a table of another shape.
    """
    table = target.table
    is_own = table.visits > 0
    total, weight = np.zeros_like(table.q), np.zeros_like(table.q)
    reports = []
    for name in sorted(offers):
        given = offers[name]
        require_shape(f"the offer of {name}", given.prior, table.q.shape)
        is_taken = given.is_known & ~is_own & (name not in refused)
        total += np.where(is_taken, given.weight * given.prior, 0.0)
        weight += np.where(is_taken, given.weight, 0.0)
        reports.append(
            TransferReport(
                source=name,
                target=target.name,
                pairs_offered=given.pairs_offered,
                pairs_doubtful=given.pairs_doubtful,
                pairs_taken=int(is_taken.sum()),
                pairs_kept=int((given.is_known & is_own).sum()),
                mean_absolute_prior=float(np.abs(given.prior[is_taken]).mean()) if is_taken.any() else 0.0,
                refused_because=refused.get(name, ""),
            )
        )
    prior = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return replace(table, q=np.where(is_own, table.q, prior)), tuple(reports)
