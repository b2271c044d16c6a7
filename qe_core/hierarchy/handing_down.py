"""What a newcomer may expect of its actions: the effects its fleet, its category and its group have found.

What belongs here: the way down, each table read with what the one before found as expectation. What does not:
the tables (`aggregate`, `transfer`), and own experiences, which outvote what is expected (`pooling`).
"""

from collections.abc import Sequence

import numpy as np

from qe_core.fleet.contract import AgentContract
from qe_core.fleet.vocabulary import FleetContext
from qe_core.hierarchy.aggregate import APPROACH_COUNT
from qe_core.hierarchy.effect_estimation import estimated_effects
from qe_core.hierarchy.effects import EffectDesign, column_count, expected_effects
from qe_core.learning.arrays import Float64Array, Int64Array, require_shape
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, QTable


def handed_down(
    contract: AgentContract,
    tables: Sequence[tuple[type[FleetContext], QTable]],
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
) -> Float64Array:
    """Return what an agent's effects start from, points, float64[1 + A, columns of its state model].

    Every action expects what the last table says of its approach.

    Args:
        contract: who expects something.
        tables: over (context, approach), with the context of each: the fleet's or that of the agent's
            category; the coarser ones first.
        confidence: what is assumed about noise and spread before it is measured.

    Raises:
        LearningError: a table does not have its context's shape, or a finer one comes before a coarser one.
    """
    found = np.zeros((1 + APPROACH_COUNT, column_count(FleetContext)))
    for context, table in tables:
        require_shape(f"table over {context.__name__}", table.q, (context.space_size(), APPROACH_COUNT))
        found = expected_effects(found, context, range(APPROACH_COUNT))
        states = np.flatnonzero((table.visits > 0).any(axis=1))
        if len(states) > 0:
            design = EffectDesign.of(context, contract.category, states)
            found[:, design.places] = estimated_effects(
                _rows(table, states), design, found[:, design.places], confidence
            )
    return expected_effects(found, contract.state_model, contract.approach_indices)


def _rows(table: QTable, states: Int64Array) -> QTable:
    """Return the part of a table that is about these states."""
    return QTable(table.q[states], table.visits[states], table.target_mean[states], table.target_m2[states])
