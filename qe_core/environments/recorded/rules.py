"""The simple rules a learned policy has to beat, each in its best form on the training packages.

What belongs here: fixed plans and how they are chosen. What does not: learning (`training`) and the
comparison (`evaluation`). The forms that are tried were written down before anything was measured
(docs/adr).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from qe_core.environments.recorded.replay import SIZE, follow_plan, is_over, peek_gain, spend_slice
from qe_core.environments.recorded.session import MEASUREMENTS, SLICE_SECONDS, SessionArrays, open_session
from qe_core.environments.recorded.sessions import Session, play
from qe_core.fleet.test_generation import STRATEGIES, TestGeneratorState

EVERY_SIZE = -1
"""Stands for modules of any size in a plan's entry."""

TO_THE_END = 100
"""Slices that outlast any recorded run."""

TURNS = (1, 2, 4, TO_THE_END)
"""How many slices at a time a plan may spend before it goes on."""

DRY_SLICES = (0, 1, 2, 4)
"""After how many slices of which the last brought nothing a plan may leave a strategy; 0 is never."""

SIZE_TURNS = (1, 2, 3, 5, 8)
"""How many slices at a time the size-aware plan may spend."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A fixed plan: which strategy, for how many slices, on modules of which size, in which order.

    Attributes:
        entries: size digit or `EVERY_SIZE`, strategy, slices at a time.
        is_depth_first: all entries on one module before the next module, instead of one entry on all modules.
        dry_slices: a strategy is left once it had so many slices and the last brought nothing; 0 for never.
    """

    entries: tuple[tuple[int, int, int], ...]
    is_depth_first: bool = False
    dry_slices: int = 0

    def __call__(self, session: Session, arrays: SessionArrays) -> None:
        """Play a session by this plan."""
        follow_plan(
            session.project.arrays,
            arrays,
            np.asarray(self.entries, dtype=np.int64),
            self.is_depth_first,
            self.dry_slices,
            SLICE_SECONDS,
            np.zeros(len(MEASUREMENTS)),
        )

    @property
    def description(self) -> str:
        """The plan in words."""
        sizes = TestGeneratorState.features()[0].labels
        parts = []
        for size, strategy, slices in self.entries:
            turn = "to the end" if slices == TO_THE_END else f"×{slices}"
            where = "" if size == EVERY_SIZE else f" on {sizes[size]}"
            parts.append(f"{STRATEGIES[strategy]} {turn}{where}")
        order = "module by module" if self.is_depth_first else "strategy by strategy"
        dry = f", leaving what is dry after {self.dry_slices}" if self.dry_slices else ""
        return f"{order}: {', '.join(parts)}{dry}"


def mean_area(sessions: Iterable[Session], plan: Plan) -> float:
    """Return the mean area a plan reaches over sessions."""
    return float(np.mean([play(session, plan).area for session in sessions]))


def best_form(strategy: int, sessions: Sequence[Session]) -> Plan:
    """Return one strategy repeated in its better form: a slice on each module in turn, or each to the end."""
    forms = [
        Plan(((EVERY_SIZE, strategy, turn),), is_depth_first)
        for turn, is_depth_first in product(TURNS, (False, True))
    ]
    return max(forms, key=lambda form: mean_area(sessions, form))


def best_single(sessions: Sequence[Session]) -> Plan:
    """Return the best repeated single strategy on ``sessions``."""
    forms = [best_form(strategy, sessions) for strategy in range(len(STRATEGIES))]
    return max(forms, key=lambda form: mean_area(sessions, form))


def best_order(sessions: Sequence[Session]) -> Plan:
    """Return the best fixed order of strategies on ``sessions``.

    Built greedily, one strategy after the other, under every combination of turn length, breadth or depth,
    and when to leave a dry strategy.
    """
    best, best_area = Plan(()), 0.0
    for turn, is_depth_first, dry in product(TURNS, (False, True), DRY_SLICES):
        plan, area = Plan((), is_depth_first, dry), 0.0
        open_strategies = set(range(len(STRATEGIES)))
        while open_strategies:
            longer = {
                strategy: replace(plan, entries=(*plan.entries, (EVERY_SIZE, strategy, turn)))
                for strategy in open_strategies
            }
            areas = {strategy: mean_area(sessions, candidate) for strategy, candidate in longer.items()}
            chosen = max(areas, key=lambda strategy: areas[strategy])
            if areas[chosen] <= area:
                break
            plan, area = longer[chosen], areas[chosen]
            open_strategies.remove(chosen)
        if area > best_area:
            best, best_area = plan, area
    return best


def size_aware_order(sessions: Sequence[Session]) -> Plan:
    """Return the best plan that has an order of strategies of its own for each size of module.

    A size's order is greedy: next comes the strategy whose turn, after those before it, adds the most
    branches a second on the modules of that size. Turns, breadth or depth and when to leave are chosen like
    `best_order`'s.
    """
    sizes = range(TestGeneratorState.features()[0].radix)
    plans = []
    for turn in TURNS:
        orders = [_greedy_order(sessions, size, turn) for size in sizes]
        ranks = range(len(STRATEGIES))
        entries = tuple((size, orders[size][rank], turn) for rank in ranks for size in sizes)
        plans += [Plan(entries, is_deep, dry) for is_deep, dry in product((False, True), DRY_SLICES)]
    return max(plans, key=lambda plan: mean_area(sessions, plan))


def tuned_schedule(sessions: Sequence[Session]) -> Plan:
    """Return a long fixed schedule fitted to ``sessions``, stronger than a rule a person would write down.

    Always next comes the (size, strategy, slices) with the highest gain rate after all before it: the share
    of the project's branches it adds a second, over all modules of that size; budgets play no part.
    """
    played = _played_without_end(sessions)
    candidates = list(
        product(range(TestGeneratorState.features()[0].radix), range(len(STRATEGIES)), SIZE_TURNS)
    )
    entries: list[tuple[int, int, int]] = []
    while True:
        rates = [_gain_rate(played, *candidate) for candidate in candidates]
        best = int(np.argmax(rates))
        if rates[best] <= 0.0:
            return Plan(tuple(entries))
        entries.append(candidates[best])
        for session, arrays in played:
            _spend(session, arrays, *candidates[best])


def _greedy_order(sessions: Sequence[Session], size: int, turn: int) -> list[int]:
    """Return all strategies on modules of a size, each the best in gain a second after those before."""
    played = _played_without_end(sessions)
    order: list[int] = []
    while len(order) < len(STRATEGIES):
        left = [strategy for strategy in range(len(STRATEGIES)) if strategy not in order]
        order.append(max(left, key=lambda strategy: _gain_rate(played, size, strategy, turn)))
        for session, arrays in played:
            _spend(session, arrays, size, order[-1], turn)
    return order


def _played_without_end(sessions: Sequence[Session]) -> list[tuple[Session, SessionArrays]]:
    """Return each session with all the time in the world, before its first step."""
    endless = [replace(session, seconds_per_module=1e6) for session in sessions]
    return [(session, open_session(session.project.arrays, session.budget_seconds)) for session in endless]


def _gain_rate(played: list[tuple[Session, SessionArrays]], size: int, strategy: int, slices: int) -> float:
    """Return the share of a project's branches a second that an entry would add, over all played sessions."""
    gained, used = 0.0, 0.0
    for session, arrays in played:
        one_gained, one_used = peek_gain(
            session.project.arrays, arrays, size, strategy, slices, SLICE_SECONDS
        )
        gained += one_gained
        used += one_used
    return gained / used if used > 0.0 else 0.0


def _spend(session: Session, arrays: SessionArrays, size: int, strategy: int, slices: int) -> None:
    project = session.project.arrays
    for module in np.flatnonzero(project.traits[:, SIZE] == size).tolist():
        for _ in range(slices):
            if not is_over(project, arrays, module, strategy):
                spend_slice(project, arrays, module, strategy, SLICE_SECONDS, np.zeros(len(MEASUREMENTS)))
