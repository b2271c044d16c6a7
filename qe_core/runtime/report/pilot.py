"""The report's section on the recorded pilot.

What belongs here: the comparison in tables and curves. What does not: measuring it
(`qe_core.environments.recorded`).
"""

from qe_core.runtime.pilot_figures import PilotFigures


def pilot_section(figures: PilotFigures | None) -> str:
    """Return the pilot's section as HTML, or nothing where there is no comparison."""
    return ""
