"""The report: one self-contained HTML file, rebuilt from the database at any time.

What belongs here: the page, its charts and its style. What does not: computing figures
(`qe_core.runtime.figures`).
"""

from pathlib import Path

from qe_core.runtime.figures import FleetFigures
from qe_core.runtime.files import OutputError, replaced_file
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made: {error.strerror}; choose another --out") from error
    with replaced_file(path) as temporary:
        temporary.write_text(page(figures), encoding="utf-8")
