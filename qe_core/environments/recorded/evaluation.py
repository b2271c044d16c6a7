"""The pilot's comparison: learned policy, simple rules, random play and the clairvoyant on the same sessions.

What belongs here: who is compared on which sessions, means, intervals and ratios. What does not: how each
plays (`rules`, `policy`, `oracle`) and pictures (`figures`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.environments.recorded.oracle import clairvoyant
from qe_core.environments.recorded.project import BoolArray, Float64Array
from qe_core.environments.recorded.recordings import HELD_OUT, TRAINING, Recordings
from qe_core.environments.recorded.replay import play_random
from qe_core.environments.recorded.rules import (
    Plan,
    best_form,
    best_order,
    best_single,
    size_aware_order,
    tuned_schedule,
)
from qe_core.environments.recorded.session import MEASUREMENTS, SLICE_SECONDS, SessionArrays
from qe_core.environments.recorded.sessions import (
    BUDGETS,
    Curve,
    Outcome,
    Player,
    Session,
    play,
    sessions_of,
    share_over_time,
)
from qe_core.errors import RecordingError
from qe_core.fleet.test_generation import STRATEGIES

LEARNED = "learned"
RANDOM = "random"
ORACLE = "clairvoyant"
RULES = ("rule: best single strategy", "rule: best fixed order", "rule: size-aware order")
"""The simple rules a learned policy has to beat, written down beforehand."""

SCHEDULE = "tuned schedule"
"""A long fixed schedule fitted to the training packages: no simple rule, but what learning without state
can do."""

RESAMPLES = 2_000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True, slots=True)
class PilotRow:
    """One policy under one budget.

    Attributes:
        name: the policy.
        seconds_per_module: the budget, CPU seconds.
        area: mean area under the branches-over-time curve, in [0, 1]; every package weighs the same.
        area_low: lower end of its 95 % interval over packages and sessions.
        area_high: upper end of that interval.
        mutants: mean share of mutants killed at the end.
        mutant_area: mean area under the mutants-over-time curve.
        branches: mean share of branches covered at the end.
        relative: area over the strongest simple rule's, less 1.
        relative_low: lower end of the 95 % interval of that, sessions paired.
        relative_high: upper end of that interval.
        over_random: area over random play's, less 1.
    """

    name: str
    seconds_per_module: float
    area: float
    area_low: float
    area_high: float
    mutants: float
    mutant_area: float
    branches: float
    relative: float
    relative_low: float
    relative_high: float
    over_random: float


@dataclass(frozen=True, slots=True)
class PilotComparison:
    """All policies under all budgets on the same sessions.

    Attributes:
        rows: one per policy and budget; budgets ascending, within one from random to clairvoyant.
        strongest_rule: the name of the simple rule with the largest area, by budget.
        plans: the rules that were chosen on training packages, in words, by name and budget.
        packages: the packages measured on.
        repetitions: the repetitions measured on.
        session_count: sessions per budget.
        curves: by policy and budget, shares of the budget spent and mean share of branches covered by then.
    """

    rows: tuple[PilotRow, ...]
    strongest_rule: Mapping[float, str]
    plans: Mapping[tuple[str, float], str]
    packages: tuple[str, ...]
    repetitions: tuple[int, ...]
    session_count: int
    curves: Mapping[tuple[str, float], Curve]

    def row(self, name: str, seconds_per_module: float) -> PilotRow:
        """Return the row of a policy under a budget.

        Raises:
            RecordingError: there is no such row; the message lists the policies.
        """
        for row in self.rows:
            if row.name == name and row.seconds_per_module == seconds_per_module:
                return row
        names = dict.fromkeys(row.name for row in self.rows)
        raise RecordingError(
            f"{name!r} was not measured at {seconds_per_module} seconds a module; "
            f"measured were {', '.join(names)} at {sorted(self.strongest_rule)}"
        )


def evaluate_pilot(
    recordings: Recordings,
    learned: Player,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    budgets: Sequence[float] = BUDGETS,
    repetitions: Sequence[int] | None = None,
    packages: Sequence[str] | None = None,
) -> PilotComparison:
    """Return how a learned policy compares on packages it never saw, deterministically for its arguments.

    Rules are chosen on the training packages and repetitions, per budget; policies are measured on
    ``packages``.

    Args:
        recordings: outcomes of training and of held-out packages.
        learned: the policy, see `policy_from`.
        seeds: one order of each project's modules per seed; 0 is the recorded order.
        budgets: CPU seconds for each module of a project.
        repetitions: what to measure on; by default those that training may not see.
        packages: what to measure on; by default the held-out packages.

    Raises:
        RecordingError: a package or repetition was not recorded, a budget is not above 0, or there is nothing
            to train on or to measure on.
    """
    measured = tuple(recordings.packages(HELD_OUT) if packages is None else packages)
    chosen = recordings.unseen_repetitions() if repetitions is None else tuple(repetitions)
    trained = recordings.packages(TRAINING)
    if not (measured and chosen and trained and seeds):
        raise RecordingError(
            "a comparison needs training packages, packages to measure on, repetitions and seeds, got "
            f"{len(trained)}, {len(measured)}, {len(chosen)} and {len(seeds)}; record more, or name them"
        )
    rows: list[PilotRow] = []
    strongest: dict[float, str] = {}
    described: dict[tuple[str, float], str] = {}
    curves: dict[tuple[str, float], Curve] = {}
    session_count = 0
    for budget in sorted(budgets):
        plans = choose_plans(sessions_of(recordings, trained, recordings.training_repetitions(), (budget,)))
        described |= {(name, budget): plan.description for name, plan in plans.items()}
        sessions = sessions_of(recordings, measured, chosen, (budget,), seeds)
        if not sessions:
            raise RecordingError(
                f"repetition {', '.join(map(str, chosen))} was not recorded for {', '.join(measured)}; "
                f"recorded are {list(recordings.repetitions())}"
            )
        outcomes = _play_all(sessions, {RANDOM: _random(seeds), **plans, LEARNED: learned})
        strongest[budget] = max(RULES, key=lambda name: _weighted(sessions, outcomes[name]))
        rows += _rows(budget, sessions, outcomes, strongest[budget])
        curves |= {(name, budget): share_over_time(sessions, played) for name, played in outcomes.items()}
        session_count = len(sessions)
    return PilotComparison(tuple(rows), strongest, described, measured, chosen, session_count, curves)


def choose_plans(sessions: Sequence[Session]) -> dict[str, Plan]:
    """Return each strategy in its better form, the three rules and the schedule, chosen on ``sessions``."""
    plans = {f"only {name}": best_form(code, sessions) for code, name in enumerate(STRATEGIES)}
    rules = (best_single(sessions), best_order(sessions), size_aware_order(sessions))
    return {**plans, **dict(zip(RULES, rules, strict=True)), SCHEDULE: tuned_schedule(sessions)}


def _random(seeds: Sequence[int]) -> Player:
    rng = np.random.default_rng(list(seeds))

    def player(session: Session, arrays: SessionArrays) -> None:
        play_random(session.project.arrays, arrays, rng, SLICE_SECONDS, np.zeros(len(MEASUREMENTS)))

    return player


def _play_all(sessions: Sequence[Session], players: Mapping[str, Player]) -> dict[str, list[Outcome]]:
    outcomes = {name: [play(session, player) for session in sessions] for name, player in players.items()}
    outcomes[ORACLE] = [
        clairvoyant(session, [played[number] for played in outcomes.values()])
        for number, session in enumerate(sessions)
    ]
    return outcomes


def _weighted(
    sessions: Sequence[Session],
    outcomes: Sequence[Outcome],
    measure: Callable[[Outcome], float] = lambda outcome: outcome.area,
) -> float:
    """Return the mean of a measure in which every package weighs the same."""
    values = np.asarray([measure(outcome) for outcome in outcomes])
    return float(np.mean([values[rows].mean() for rows in _rows_by_package(sessions)]))


def _rows_by_package(sessions: Sequence[Session]) -> list[BoolArray]:
    packages = np.asarray([session.project.package for session in sessions])
    return [packages == package for package in dict.fromkeys(packages.tolist())]


def _resampled(sessions: Sequence[Session], areas: Float64Array) -> Float64Array:
    """Return means of bootstrap samples of packages, and of sessions inside them, for every policy.

    The two stages are those of the data: packages are the population, sessions repeat inside one
    (Davison & Hinkley, Bootstrap Methods, 1997, 3.8).

    Args:
        sessions: what was played.
        areas: float64[policies, sessions].

    Returns:
        Means, float64[samples, policies]; policies share their samples, so they compare in pairs.
    """
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(rows) for rows in _rows_by_package(sessions)]
    means = np.empty((RESAMPLES, len(areas)))
    for sample in range(RESAMPLES):
        picked = rng.integers(0, len(groups), len(groups))
        inside = [rng.choice(groups[group], len(groups[group])) for group in picked]
        means[sample] = np.mean([areas[:, rows].mean(axis=1) for rows in inside], axis=0)
    return means


def _rows(
    budget: float, sessions: Sequence[Session], outcomes: Mapping[str, list[Outcome]], strongest: str
) -> list[PilotRow]:
    names = list(outcomes)
    areas = np.asarray([[outcome.area for outcome in outcomes[name]] for name in names])
    samples = _resampled(sessions, areas)
    best, random = _weighted(sessions, outcomes[strongest]), _weighted(sessions, outcomes[RANDOM])
    ratios = samples / samples[:, [names.index(strongest)]] - 1.0
    low, high = np.quantile(samples, (0.025, 0.975), axis=0)
    ratio_low, ratio_high = np.quantile(ratios, (0.025, 0.975), axis=0)
    rows = []
    for number, name in enumerate(names):
        area = _weighted(sessions, outcomes[name])
        rows.append(
            PilotRow(
                name=name,
                seconds_per_module=budget,
                area=area,
                area_low=float(low[number]),
                area_high=float(high[number]),
                mutants=_weighted(sessions, outcomes[name], lambda outcome: outcome.mutants),
                mutant_area=_weighted(sessions, outcomes[name], lambda outcome: outcome.mutant_area),
                branches=_weighted(sessions, outcomes[name], lambda outcome: outcome.branches),
                relative=area / best - 1.0,
                relative_low=float(ratio_low[number]),
                relative_high=float(ratio_high[number]),
                over_random=area / random - 1.0,
            )
        )
    return rows
