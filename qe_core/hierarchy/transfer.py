"""Knowledge passed between similar agents as a prior, and taken back.

What belongs here: what is offered, what is taken, the report, and undoing it.
What does not: deciding when to transfer and measuring whether it helped (the pipelines).
"""

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
class TransferParty:
    """One side of a transfer.

    Attributes:
        part: the agent's table and weights, with the divisor to the state space *both sides share*: the
            category's where both belong to one category, else the fleet's.
        similarity_group: as declared in its contract.
    """

    part: AggregationPart
    similarity_group: str | None


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What one transfer did.

    Attributes:
        source: the agent that gave.
        target: the agent that received.
        pairs_offered: pairs of the source above the confidence asked for.
        pairs_taken: pairs of the target that received a prior.
        pairs_kept: pairs of the target where an offer met own evidence, which stands.
        mean_absolute_prior: mean size of the priors in points, 0 if none was taken.
    """

    source: str
    target: str
    pairs_offered: int
    pairs_taken: int
    pairs_kept: int
    mean_absolute_prior: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """The result of a transfer, and what is needed to take it back.

    Attributes:
        table: the target's table with priors in the pairs taken; visits and statistics are unchanged.
        is_taken: bool[S, A].
        before: the target's values before, float64[S, A].
        report: what happened.
    """

    table: QTable
    is_taken: BoolArray
    before: Float64Array
    report: TransferReport


def transfer(
    source: TransferParty,
    target: TransferParty,
    state_count: int,
    settings: TransferSettings = DEFAULT_TRANSFER,
) -> Transfer:
    """Return the target's table with priors from the source where the target has no evidence of its own.

    The source's confident pairs are averaged by weight per shared (state, approach); every target pair that
    projects to such a cell, and was never visited, receives that value times the factor. It carries no
    visits: it is a prior, which the first own experience starts to correct.

    Args:
        source: who gives.
        target: who receives.
        state_count: size of the shared state space.
        settings: confidence asked for and factor.

    Raises:
        LearningError: the two are not in one similarity group, are the same agent, or do not fit the shared
            state space.
    """
    giving, receiving = source.part, target.part
    if source.similarity_group is None or source.similarity_group != target.similarity_group:
        raise LearningError(
            f"{giving.name} (similarity group {source.similarity_group}) and {receiving.name} "
            f"({target.similarity_group}) are not in one similarity group; transfer only inside a group"
        )
    if giving.name == receiving.name:
        raise LearningError(f"{giving.name} cannot transfer to itself; name another agent of its group")
    confidence = giving.weights / np.maximum(giving.table.visits, 1)
    is_offered = confidence > settings.minimum_confidence
    offered = replace(
        giving,
        table=replace(giving.table, visits=np.where(is_offered, giving.table.visits, 0)),
        weights=np.where(is_offered, giving.weights, 0.0),
    )
    shared = aggregate([offered], state_count)
    cells = project_pairs(
        receiving.table.state_count, receiving.divisor, receiving.approach_indices, APPROACH_COUNT
    )
    if cells.max() >= shared.weights.size:
        raise LearningError(
            f"{receiving.name} does not fit {state_count} shared states by divisor {receiving.divisor}; "
            "give both sides the divisor to the state space they share"
        )
    has_offer = shared.weights.reshape(-1)[cells] > 0
    is_taken = has_offer & (receiving.table.visits == 0)
    prior = settings.factor * shared.table.q.reshape(-1)[cells]
    report = TransferReport(
        source=giving.name,
        target=receiving.name,
        pairs_offered=int(is_offered.sum()),
        pairs_taken=int(is_taken.sum()),
        pairs_kept=int((has_offer & ~is_taken).sum()),
        mean_absolute_prior=float(np.abs(prior[is_taken]).mean()) if is_taken.any() else 0.0,
    )
    before = receiving.table.q
    return Transfer(replace(receiving.table, q=np.where(is_taken, prior, before)), is_taken, before, report)


def undo_transfer(table: QTable, done: Transfer) -> QTable:
    """Return the table without the priors of a transfer, keeping everything learned since.

    A pair visited since then keeps its value: it is own evidence by now.

    Raises:
        LearningError: the table is not the one the transfer went to.
    """
    require_shape("table", table.q, done.before.shape)
    return replace(table, q=np.where(done.is_taken & (table.visits == 0), done.before, table.q))
