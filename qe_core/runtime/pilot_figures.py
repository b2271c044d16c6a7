"""What the recorded pilot reached: its stored table against simple rules and random on held-out packages.

What belongs here: joining the stored table with the comparison of `qe_core.environments.recorded`. What
does not: playing and measuring.
"""

from dataclasses import dataclass

from qe_core.store import StoredTable


@dataclass(frozen=True, slots=True)
class PilotFigures:
    """The pilot's comparison."""


def pilot_figures(stored: StoredTable) -> PilotFigures | None:
    """Return the comparison of the stored table, or None without recordings."""
    return None
