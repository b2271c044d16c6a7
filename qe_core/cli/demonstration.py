"""`qe demo` and `qe report`: see on real and simulated outcomes what the fleet learns.

What belongs here: the order of showing things. What does not: the demo's steps (`qe_core.runtime.demo`),
its figures (`qe_core.runtime.figures`) and the page (`qe_core.runtime.report`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.graph_progress import materialize_shown
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import note, progress_shown, say
from qe_core.cli.serving import DEFAULT_PORT, serve_until_interrupted
from qe_core.cli.team_demonstration import team_demo

if TYPE_CHECKING:
    from qe_core.runtime.figures import FleetFigures

DEFAULT_REPORT = Path("qe-report") / "index.html"

ReportPath = Annotated[Path, typer.Option("--out", help="The report, one self-contained HTML file.")]


def demo(
    ui: Annotated[
        bool, typer.Option("--ui", help="Leave the Dagster web UI open afterwards, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the web UI.")] = DEFAULT_PORT,
    out: ReportPath = DEFAULT_REPORT,
    team: Annotated[
        bool, typer.Option("--team", help="Show a team that learns together, and a newcomer, instead.")
    ] = False,
    agents: Annotated[
        str, typer.Option(help="With --team: only these agents, separated by commas; a few are quicker.")
    ] = "",
) -> None:
    """Learn from recorded and simulated experiences, materialise the whole graph and show what was learned.

    17 agents play 1,000 simulated episodes each, test-generator plays sessions over recorded outcomes of real
    test generators, all with fixed seeds; the Dagster graph turns the experiences into Q-tables. A second run
    plays nothing and changes nothing. Every figure shown is computed from the database and the recordings.

    With --team it is another demo: three developers and a CI runner learn in databases of their own,
    contribute counts with noise to a team's server, and a newcomer pulls what they know together.

    Examples:
        qe demo
        qe demo --ui
        qe demo --team
        qe demo --team --agents test-executor,quality-gate
    """
    if agents and not team:
        raise typer.BadParameter("say --team as well: the other demo is of all agents", param_hint="--agents")
    if team:
        team_demo([name.strip() for name in agents.split(",") if name.strip()], out.parent)
        return
    from qe_core.runtime.demo import prepare_demo  # keeps `qe --help` quick

    if ui:
        from qe_core.runtime.serving import require_free_port

        require_free_port(port)
    wait_for(prepare_demo(note))
    wait_for(_play())
    wait_for(materialize_shown([]))
    figures = wait_for(_figures_and_report(out))
    _show(figures, out)
    if ui:
        serve_until_interrupted(port)


def report(out: ReportPath = DEFAULT_REPORT) -> None:
    """Write the report again from the database and the recordings; the figures are those of the demo.

    Examples:
        qe report
        qe report --out /tmp/fleet.html
    """
    figures = wait_for(_figures_and_report(out))
    _show(figures, out)


async def _play() -> None:
    from qe_core.config import load_settings
    from qe_core.runtime.demo import play_demo
    from qe_core.runtime.identity import identity_of

    async with opened_store(identity_of(load_settings().values)) as store:
        with progress_shown() as progress:
            reports = await play_demo(store, progress)
    new = sum(report.experiences_new for report in reports)
    note(f"{new:,} new experiences" if new else "all sessions were played before; nothing new")


async def _figures_and_report(out: Path) -> "FleetFigures":
    from qe_core.fleet import registry
    from qe_core.runtime.figures import fleet_figures
    from qe_core.runtime.report import write_report

    async with opened_store() as store:
        with progress_shown() as progress:
            figures = await fleet_figures(store, registry(), progress)
    write_report(figures, out)
    return figures


def _show(figures: "FleetFigures", out: Path) -> None:
    from qe_core.cli.figure_tables import show_figures

    show_figures(figures)
    say(f"report: [bold]{escape(str(out))}[/]")
