"""`qe experiment team`: what a team's table is worth, by ε, team size and protected unit.

What belongs here: arguments and what is printed. What does not: the experiment
(`qe_core.runtime.experiments.team_figures`).
"""

from pathlib import Path
from typing import Annotated

import typer

from qe_core.cli.experiments import numbers_in
from qe_core.cli.screen import note, progress_shown, say

AGENTS = (
    "test-executor",
    "quality-gate",
    "regression-risk-analyzer",
    "deployment-readiness",
    "coverage-analyzer",
)
"""Five of different categories, with small and large parts."""


def team(
    agents: Annotated[
        list[str] | None, typer.Option("--agent", metavar="NAME", help="Whose teams; repeat for several.")
    ] = None,
    worlds: Annotated[str, typer.Option(help="World seeds, like 10-13 or 0,2,7.")] = "10-13",
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the tables to this file.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the curves: .svg, .png or .pdf.")
    ] = None,
) -> None:
    """Let teams share what they learned in simulated worlds, and say what that is worth to a newcomer.

    Noise is that of real releases. Nothing is stored. It takes half a minute for each agent and world.

    Examples:
        qe experiment team
        qe experiment team --agent test-executor --worlds 0-1 --plot team.png
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick
    from qe_core.fleet import registry
    from qe_core.runtime.experiments.team_figures import team_figures
    from qe_core.runtime.experiments.team_picture import draw_team
    from qe_core.runtime.experiments.team_report import markdown_of
    from qe_core.runtime.files import replaced_file

    settings, fleet = load_settings().values, registry()
    chosen = [fleet.get(name).name for name in agents or AGENTS]
    with progress_shown() as progress:
        figures = list(team_figures(chosen, numbers_in(worlds), settings, progress))
    tables = markdown_of(figures, settings)
    say(tables)
    if markdown_file is not None:
        with replaced_file(markdown_file) as temporary:
            temporary.write_text(tables, encoding="utf-8")
        note(f"written: {markdown_file}")
    if plot_file is not None:
        draw_team(figures, plot_file)
        note(f"drawn: {plot_file}")
