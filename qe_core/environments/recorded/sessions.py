"""Sessions to compare policies on: projects with a budget, and what each policy reaches there.

What belongs here: drawing sessions and playing one of them with a policy. What does not: the policies
themselves (`rules`, `policy`, `oracle`) and comparing them (`evaluation`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qe_core.environments.recorded.project import Float64Array, Project, compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.session import AREA, MUTANT_AREA, NOW, SessionArrays, open_session
from qe_core.errors import RecordingError

BUDGETS = (1.0, 3.0, 8.0, 20.0)
"""The budgets at which policies are compared, CPU seconds for each module of the project (ADR 0050)."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session to play: a project in some order of its modules, under one budget.

    Attributes:
        project: what is tested.
        seconds_per_module: the budget divided by the number of modules, CPU seconds.
        seed: what the order was drawn with; 0 is the recorded order.
    """

    project: Project
    seconds_per_module: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.seconds_per_module) and self.seconds_per_module > 0):
            raise RecordingError(
                f"a session needs a budget above 0 seconds a module, not {self.seconds_per_module}; "
                f"policies are compared at {', '.join(f'{budget:g}' for budget in BUDGETS)}"
            )

    @property
    def budget_seconds(self) -> float:
        """CPU seconds for the whole project."""
        return self.seconds_per_module * self.project.module_count


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy reached in a session.

    Attributes:
        area: area under the share of the project's branches covered, over time as a share of the budget, in
            [0, 1]. mutant_area: the same of mutants killed. branches: share of the project's branches
            covered at the end. mutants: share of its mutants killed at the end. moments: second at which
            each covered branch was first covered, ascending, float64. seconds: CPU seconds used.
    """

    area: float
    mutant_area: float
    branches: float
    mutants: float
    moments: Float64Array
    seconds: float


Curve = tuple[Float64Array, Float64Array]
"""Shares of the budget spent, and shares of branches covered by then."""

POINTS = 200
"""Moments at which a curve is drawn."""

Player = Callable[[Session, SessionArrays], None]
"""Plays a session to its end, changing its arrays in place."""


def play(session: Session, player: Player) -> Outcome:
    """Return what ``player`` reaches in ``session``."""
    project = session.project.arrays
    arrays = open_session(project, session.budget_seconds)
    player(session, arrays)
    return outcome_of(session, arrays)


def outcome_of(session: Session, arrays: SessionArrays) -> Outcome:
    """Return what was reached so far in a session that is being played."""
    project = session.project.arrays
    branches, mutants = (
        arrays.reached_at[project.offsets[kind] : project.offsets[kind + 1]] for kind in (0, 1)
    )
    moments = np.sort(branches[np.isfinite(branches)])
    return Outcome(
        area=float(arrays.clock[AREA]),
        mutant_area=float(arrays.clock[MUTANT_AREA]),
        branches=float(len(moments) / project.totals[0]),
        mutants=float(np.isfinite(mutants).sum() / project.totals[1]),
        moments=moments,
        seconds=float(arrays.clock[NOW]),
    )


def sessions_of(
    recordings: Recordings,
    packages: Sequence[str],
    repetitions: Sequence[int],
    budgets: Sequence[float] = BUDGETS,
    seeds: Sequence[int] = (0,),
) -> tuple[Session, ...]:
    """Return one session for every package, repetition, seed and budget, in that order.

    A repetition in which a package was not run yet is left out for that package. A seed other than 0 draws
    the order of the modules; the same seed draws the same order under every repetition and budget.

    Raises:
        RecordingError: a package was not recorded, or a budget is not above 0.
    """
    found = []
    for package in packages:
        for repetition in sorted(set(repetitions) & set(recordings.repetitions_of(package))):
            project = compile_project(recordings, package, repetition)
            for seed in seeds:
                order = np.arange(project.module_count)
                if seed:
                    order = np.random.default_rng([seed, len(order)]).permutation(order)
                ordered = project.in_order(order)
                found += [Session(ordered, budget, seed) for budget in budgets]
    return tuple(found)


def share_over_time(sessions: Sequence[Session], outcomes: Sequence[Outcome]) -> Curve:
    """Return the mean share of branches covered over time; every package weighs the same.

    Args:
        sessions: what was played.
        outcomes: what was reached in each of them.

    Returns:
        Shares of the budget spent, and the mean share of branches covered by then, both float64[POINTS].
    """
    moments = np.linspace(0.0, 1.0, POINTS)
    by_package: dict[str, list[Float64Array]] = {}
    for session, outcome in zip(sessions, outcomes, strict=True):
        covered = np.searchsorted(outcome.moments, moments * session.budget_seconds, side="right")
        shares = covered / session.project.arrays.totals[0]
        by_package.setdefault(session.project.package, []).append(shares)
    return moments, np.mean([np.mean(curves, axis=0) for curves in by_package.values()], axis=0)
