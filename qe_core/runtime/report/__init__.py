"""The report: one self-contained HTML file, rebuilt from the database at any time.

What belongs here: the page, its charts and its style. What does not: computing figures
(`qe_core.runtime.figures`).
"""

from pathlib import Path

from qe_core.runtime.figures import FleetFigures
from qe_core.runtime.files import write_text
from qe_core.runtime.report.page import page

__all__ = ["page", "write_report"]


def write_report(figures: FleetFigures, path: Path) -> None:
    """Write the report; the file appears when it is complete, its directory is made if missing.

    Args:
        figures: what to show.
        path: the HTML file.

    Raises:
        OutputError: it cannot be written there.
    """
    write_text(path, page(figures))
