"""The lookup of one state in plain numbers: what `lookup` computes with arrays, for the path that decides.

What belongs here: the same two rules for one row of each level. What does not: rules of its own: `lookup`
says what is right, a property test holds both together. numpy takes a microsecond a call even for eight
numbers, and a lookup is some thirty calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LookupSettings, Source
from qe_core.learning.q_table import WEIGHT_QUANTUM, ConfidenceSettings

Numbers: TypeAlias = Sequence[float]
Counts: TypeAlias = Sequence[int]

_QUANTA = 1.0 / WEIGHT_QUANTUM
# Reading a member of an enumeration takes longer than everything else done with it.
_NONE, _INDIVIDUAL, _TRANSFER = Source.NONE, Source.INDIVIDUAL, Source.TRANSFER


@dataclass(frozen=True, slots=True)
class SharedState:
    """What category and fleet say about one state, in an agent's columns.

    Attributes:
        category: values, of the kind shared, A numbers.
        knows_category: where the category has evidence.
        fleet: values, of the kind shared, A numbers.
        knows_fleet: where the fleet has evidence.
        prior: category blended with the fleet, A numbers.
        sources: the nearer of both that has evidence, for each action.
        base: what to add to these values where the agent has no evidence of its own in the state.
        kind: whether values are raw or advantages.
    """

    category: tuple[float, ...]
    knows_category: tuple[bool, ...]
    fleet: tuple[float, ...]
    knows_fleet: tuple[bool, ...]
    prior: tuple[float, ...]
    sources: tuple[Source, ...]
    base: float
    kind: ValueKind


def row_confidence(visits: Counts, target_m2: Numbers, settings: ConfidenceSettings) -> tuple[float, ...]:
    """Return the mean confidence of each pair's evidence, as from ``quantised_weights`` over visits.

    Args:
        visits: A whole numbers.
        target_m2: squared deviations of the targets, summed, A numbers.
        settings: what is assumed before any evidence.
    """
    weight, prior_variance = settings.noise_weight, settings.prior_variance
    assumed = weight * settings.noise_variance
    return tuple(
        [
            (round(n / (n + (m2 + assumed) / (n + weight) / prior_variance) * n * _QUANTA) or 1)
            / (n * _QUANTA)
            if n
            else 0.0
            for n, m2 in zip(visits, target_m2, strict=True)
        ]
    )


def shared_state(
    category: tuple[Numbers, Counts, Numbers],
    fleet: tuple[Numbers, Counts, Numbers],
    approach_indices: Counts,
    kind: ValueKind,
) -> SharedState:
    """Return what category and fleet say about one state.

    Args:
        category: q, visits and weights of its row.
        fleet: the same of the fleet's row.
        approach_indices: the column of each of the A actions in both.
        kind: what is shared.
    """
    category_q, knows_category, category_mean = _levelled(category, approach_indices, kind)
    fleet_q, knows_fleet, fleet_mean = _levelled(fleet, approach_indices, kind)
    weights, visits = category[2], category[1]
    prior = tuple(
        _blended(q, weights[column] / visits[column], other, is_other) if is_known else other
        for column, q, is_known, other, is_other in zip(
            approach_indices, category_q, knows_category, fleet_q, knows_fleet, strict=True
        )
    )
    sources = tuple(
        Source.CATEGORY if is_category else Source.FLEET if is_fleet else Source.NONE
        for is_category, is_fleet in zip(knows_category, knows_fleet, strict=True)
    )
    base = category_mean if any(knows_category) else fleet_mean
    return SharedState(category_q, knows_category, fleet_q, knows_fleet, prior, sources, base, kind)


def blend_state(q: Numbers, visits: Counts, confidence: Numbers, shared: SharedState) -> tuple[float, ...]:
    """Return the values ``blended_lookup`` returns for this one state, points.

    Args:
        q: the agent's values, A numbers.
        visits: the agent's visits, A whole numbers.
        confidence: of the agent's evidence, A numbers.
        shared: what the other levels say.
    """
    base = _base(q, visits, shared)
    return tuple(
        [
            (own if source is _NONE else trust * own + (1.0 - trust) * (base + prior))
            if count
            else own or (0.0 if source is _NONE else base + prior)
            for own, count, trust, prior, source in zip(
                q, visits, confidence, shared.prior, shared.sources, strict=True
            )
        ]
    )


def blend_sources(q: Numbers, visits: Counts, shared: SharedState) -> tuple[Source, ...]:
    """Return the sources ``blended_lookup`` returns for this one state.

    Args:
        q: the agent's values, A numbers.
        visits: the agent's visits, A whole numbers.
        shared: what the other levels say.
    """
    return tuple(
        [
            _INDIVIDUAL if count else _TRANSFER if own else source
            for own, count, source in zip(q, visits, shared.sources, strict=True)
        ]
    )


def order_state(
    q: Numbers, visits: Counts, shared: SharedState, settings: LookupSettings
) -> tuple[tuple[float, ...], tuple[Source, ...]]:
    """Return the values and sources ``ordered_lookup`` returns for this one state.

    Args:
        q: the agent's values, A numbers.
        visits: the agent's visits, A whole numbers.
        shared: what the other levels say.
        settings: visits and factors.
    """
    base = _base(q, visits, shared)
    values, sources = [], []
    for own, count, category, fleet, is_category, is_fleet in zip(
        *(q, visits, shared.category, shared.fleet, shared.knows_category, shared.knows_fleet), strict=True
    ):
        if count >= settings.minimum_visits:
            value, source = own, Source.INDIVIDUAL
        elif not count and own:
            value, source = own, Source.TRANSFER
        elif is_category:
            value, source = base + settings.category_factor * category, Source.CATEGORY
        elif is_fleet:
            value, source = base + settings.fleet_factor * fleet, Source.FLEET
        elif count > 0:
            value, source = own, Source.INDIVIDUAL
        else:
            value, source = 0.0, Source.NONE
        values.append(value)
        sources.append(source)
    return tuple(values), tuple(sources)


def _blended(value: float, trust: float, prior: float, is_prior: bool) -> float:
    return trust * value + (1.0 - trust) * prior if is_prior else value


def _base(q: Numbers, visits: Counts, shared: SharedState) -> float:
    """Return what is added to shared values: for advantages the state's own mean, where there is one."""
    if shared.kind is ValueKind.RAW:
        return 0.0
    known = [value for value, count in zip(q, visits, strict=True) if count]
    return sum(known) / len(known) if known else shared.base


def _levelled(
    row: tuple[Numbers, Counts, Numbers], approach_indices: Counts, kind: ValueKind
) -> tuple[tuple[float, ...], tuple[bool, ...], float]:
    """Return a level's values in the agent's columns, where it knows them, and the mean taken off them."""
    q, visits, _ = row
    knows = tuple(visits[column] > 0 for column in approach_indices)
    values = tuple(q[column] for column in approach_indices)
    if kind is ValueKind.RAW:
        return values, knows, 0.0
    known = [value for value, is_known in zip(values, knows, strict=True) if is_known]
    mean = sum(known) / len(known) if known else 0.0
    return (
        tuple(value - mean if is_known else 0.0 for value, is_known in zip(values, knows, strict=True)),
        knows,
        mean,
    )
