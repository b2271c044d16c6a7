"""The command tree and the exit codes: 0 done, 1 refused with a reason, 2 wrong usage, 130 interrupted.

What belongs here: wiring. What does not: any command's own work (one module per command).
"""

from importlib.metadata import version
from typing import Annotated

import typer

from qe_core.cli import (
    ab_tests,
    alerts,
    checking,
    configuration,
    database,
    demonstration,
    experiments,
    exporting,
    importing,
    pilot,
    policies,
    privacy,
    privacy_curve,
    rollback,
    serving,
    sharing_experiments,
    status,
    team,
    team_experiment,
    training,
    workbench,
)
from qe_core.cli.help import Command, Group
from qe_core.cli.screen import show_error
from qe_core.errors import QEError

REFUSED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="qe",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("demo", cls=Command)(demonstration.demo)
app.command("pilot", cls=Command)(pilot.pilot)
app.command("report", cls=Command)(demonstration.report)
app.command("up", cls=Command)(serving.up)
app.command("status", cls=Command)(status.status)
app.command("import", cls=Command)(importing.import_files)
app.command("export", cls=Command)(exporting.export)
app.command("train", cls=Command)(training.train)
app.command("checks", cls=Command)(checking.checks)
app.command("rollback", cls=Command)(rollback.rollback)
experiments.app.command("hierarchy", cls=Command)(sharing_experiments.hierarchy)
experiments.app.command("transfer", cls=Command)(sharing_experiments.transfer)
experiments.app.command("team", cls=Command)(team_experiment.team)
app.add_typer(experiments.app, name="experiment")
app.add_typer(workbench.app, name="workbench")
app.add_typer(policies.app, name="policy")
app.add_typer(ab_tests.app, name="ab")
app.add_typer(team.app, name="team")
app.add_typer(privacy.app, name="privacy")
privacy.app.command("curve", cls=Command)(privacy_curve.curve)
app.add_typer(alerts.app, name="alerts")
app.add_typer(configuration.app, name="config")
app.add_typer(database.app, name="db")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"qe {version('qe-fleet')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """A fleet of quality-engineering agents that learns which strategy pays.

    First steps:
        qe demo                  learn from recorded and simulated experiences, see what was learned
        qe status                what each agent knows
        qe import runs.jsonl     bring in your own experiences
        qe up                    database, Dagster web UI and daemon together
        qe team status           what is shared with your team; nothing, unless you say so

    Everything is kept in an embedded PostgreSQL under .qe/ in the working directory, or in the server that
    QE_DATABASE_URL names.
    """


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        app(prog_name="qe")
    except QEError as error:
        show_error(error)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else REFUSED
    return 0
