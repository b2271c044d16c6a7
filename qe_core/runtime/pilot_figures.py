"""What the recorded pilot reached: its stored table against simple rules and random on held-out packages.

What belongs here: joining the stored table with the comparison of `qe_core.environments.recorded`. What
does not: playing and measuring.
"""

from dataclasses import dataclass

from qe_core.environments.recorded import PilotComparison, PilotRow, Recordings, evaluate_pilot, policy_from
from qe_core.environments.recorded.evaluation import LEARNED, ORACLE, RANDOM
from qe_core.learning.q_table import QTable

AIMED_OVER_RULE, AIMED_OVER_RANDOM = 0.15, 0.30
"""How far above the strongest simple rule and above random the pilot is meant to be, at scarce budgets."""


@dataclass(frozen=True, slots=True)
class PilotFigures:
    """The pilot's comparison, in the order in which it is shown.

    Attributes:
        comparison: every policy at every budget, on held-out packages and unseen repetitions.
    """

    comparison: PilotComparison

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets compared at, CPU seconds a module, ascending."""
        return tuple(sorted(self.comparison.strongest_rule))

    def rows_at(self, budget: float) -> tuple[PilotRow, ...]:
        """Return the policies at one budget, best first."""
        rows = [row for row in self.comparison.rows if row.seconds_per_module == budget]
        return tuple(sorted(rows, key=lambda row: -row.area))

    def learned_at(self, budget: float) -> PilotRow:
        """Return the learned policy at one budget."""
        return self.comparison.row(LEARNED, budget)

    def compared_names(self, budget: float) -> tuple[str, ...]:
        """Return the policies whose curves are drawn, in the order of their importance."""
        return (LEARNED, self.comparison.strongest_rule[budget], RANDOM, ORACLE)

    def verdict_at(self, budget: float) -> str:
        """Return in words how the learned policy stands at one budget, whatever it is."""
        row = self.learned_at(budget)
        if row.relative >= AIMED_OVER_RULE and row.over_random >= AIMED_OVER_RANDOM:
            return "reaches the aim"
        if row.relative_low > 0:
            return "better than the strongest rule"
        return "worse than the strongest rule" if row.relative_high < 0 else "level with the strongest rule"


def pilot_figures(table: QTable) -> PilotFigures:
    """Return how the policy of the pilot's stored table compares on the shipped recordings.

    Raises:
        RecordingError: the recordings are missing or were changed.
        LearningError: the table was learned under another contract.
    """
    return PilotFigures(evaluate_pilot(Recordings.load(), policy_from(table)))
