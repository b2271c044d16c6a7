"""What an agent should believe about a state and which action follows, kept until a row changes.

What belongs here: joining the rows of three levels into values, remembering them, ε-greedy choice in plain
numbers. What does not: the rules themselves (`qe_core.hierarchy`, `qe_core.learning.exploration`), which
property tests hold this to.
"""

from typing import Literal, NamedTuple

from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.lookup import LookupSettings, Source
from qe_core.hierarchy.single_state import (
    SharedState,
    blend_sources,
    blend_state,
    order_state,
    row_confidence,
    shared_state,
)
from qe_core.learning.q_table import ConfidenceSettings
from qe_core.store.live.rows import Row

_NOBODY = Source.NONE


class View(NamedTuple):
    """What to believe about a state, and from which rows that follows.

    Attributes:
        own: the agent's row.
        category: its category's row.
        fleet: the fleet's row.
        values: points, A numbers.
        sources: the level that decided each.
        best: the greedy actions: those of the highest known value, all where nothing is known.
    """

    own: Row
    category: Row
    fleet: Row
    values: tuple[float, ...]
    sources: tuple[Source, ...]
    best: tuple[int, ...]


class Picked(NamedTuple):
    """A chosen action.

    Attributes:
        action: index.
        propensity: the probability with which exactly this action was chosen, in (0, 1].
        is_explored: whether it came from the random branch.
    """

    action: int
    propensity: float
    is_explored: bool


def pick(best: tuple[int, ...], count: int, exploration_rate: float, coin: float, draw: float) -> Picked:
    """Return the action ``epsilon_greedy`` chooses, given its two uniform numbers.

    Args:
        best: the greedy actions, increasing, at least one.
        count: of all actions.
        exploration_rate: in [0, 1].
        coin: in [0, 1), whether to explore.
        draw: in [0, 1), which action.
    """
    is_explored = coin < exploration_rate
    action = int(draw * count) if is_explored else best[int(draw * len(best))]
    propensity = exploration_rate / count
    if action in best:
        propensity += (1.0 - exploration_rate) / len(best)
    return Picked(action, propensity, is_explored)


class Beliefs:
    """What to believe about states of one agent; the newest are remembered until one of their rows changes.

    Args:
        contract: whose.
        rule: blend levels by confidence, or take the first that knows.
        lookup: how far each level is trusted.
        confidence: what is assumed before any evidence.
        limit: states remembered; when there are more, all are forgotten.
    """

    def __init__(
        self,
        contract: AgentContract,
        rule: Literal["blend", "ordered"],
        lookup: LookupSettings,
        confidence: ConfidenceSettings,
        limit: int = 20_000,
    ) -> None:
        self._is_blend = rule == "blend"
        self._lookup = lookup
        self._confidence = confidence
        self._approaches = contract.approach_indices
        self._category_divisor = contract.category_divisor
        self._limit = limit
        self._views: dict[int, View] = {}
        self._shared: dict[int, tuple[Row, Row, SharedState]] = {}

    def view(self, state: int, own: Row, category: Row, fleet: Row) -> View:
        """Return what to believe about a state, given its rows on the three levels."""
        view = self._views.get(state)
        if view is not None and view.own is own and view.category is category and view.fleet is fleet:
            return view
        if len(self._views) >= self._limit:
            self._views.clear()
        shared = self._shared_state(state // self._category_divisor, category, fleet)
        if self._is_blend:
            # From the evidence itself: stored weights are as of the last publication.
            confidence = row_confidence(own.visits, own.target_m2, self._confidence)
            values = blend_state(own.q, own.visits, confidence, shared)
            sources = blend_sources(own.q, own.visits, shared)
        else:
            values, sources = order_state(own.q, own.visits, shared, self._lookup)
        self._views[state] = view = View(own, category, fleet, values, sources, _best(values, sources))
        return view

    def _shared_state(self, category_state: int, category: Row, fleet: Row) -> SharedState:
        known = self._shared.get(category_state)
        if known is not None and known[0] is category and known[1] is fleet:
            return known[2]
        shared = shared_state(
            (category.q, category.visits, category.weights),
            (fleet.q, fleet.visits, fleet.weights),
            self._approaches,
            self._lookup.kind,
        )
        self._shared[category_state] = (category, fleet, shared)
        return shared


def _best(values: tuple[float, ...], sources: tuple[Source, ...]) -> tuple[int, ...]:
    """Return the greedy actions among those known, or all."""
    if _NOBODY not in sources:
        highest = max(values)
        return tuple([action for action, value in enumerate(values) if value == highest])
    known = [action for action, source in enumerate(sources) if source is not _NOBODY]
    if not known:
        return tuple(range(len(values)))
    highest = max([values[action] for action in known])
    return tuple([action for action in known if values[action] == highest])
