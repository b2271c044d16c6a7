"""`qe workbench`: recordings of real test generators, and what policies reach on them.

What belongs here: arguments and tables. What does not: running tools (`qe_core.workbench`), playing on
recordings (`qe_core.environments.recorded`).
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qe_core.cli.help import Command
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import note, say, show_table

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Record real test generators on real code, check recordings, compare policies on them.",
)

RecordingsPath = Annotated[
    Path | None, typer.Argument(metavar="[DIRECTORY]", help="Recordings; those shipped by default.")
]


@app.command(cls=Command)
def record(
    out: Annotated[Path, typer.Option(help="Directory the recordings go to.")] = Path("recordings"),
    packages: Annotated[
        list[str] | None, typer.Option("--package", metavar="NAME", help="Only this subject; repeatable.")
    ] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--module", metavar="NAME", help="Only this module; repeatable.")
    ] = None,
    strategies: Annotated[
        list[str] | None, typer.Option("--strategy", metavar="NAME", help="Only this strategy; repeatable.")
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Runs of each strategy on each module.")] = 3,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; as many as fit by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="CPU seconds of each run.")] = 8.0,
    is_new: Annotated[
        bool, typer.Option("--restart", help="Forget what an interrupted recording left.")
    ] = False,
) -> None:
    """Run every generator on every module, sandboxed, and record what came out over time.

    Everything takes about an hour and a half on four cores. An interrupted recording continues when called
    again.

    Examples:
        qe workbench record
        qe workbench record --package toolz --repetitions 1 --out /tmp/recordings
    """
    from qe_core.workbench import record as record_runs  # keeps `qe --help` quick

    made = record_runs(
        out=out,
        packages=packages,
        modules=modules,
        strategies=strategies,
        repetitions=repetitions,
        workers=workers,
        seconds=seconds,
        resume=not is_new,
    )
    say(f"recorded in {escape(str(made))}; check it with qe workbench verify {escape(str(made))}")


@app.command(cls=Command)
def verify(directory: RecordingsPath = None) -> None:
    """Check recordings: complete, consistent, and unchanged since they were made.

    Examples:
        qe workbench verify
        qe workbench verify recordings
    """
    from qe_core.workbench import verify as verify_recordings

    counts = verify_recordings(directory)
    show_table(
        "Recordings are whole", ["what", "count"], [(k, f"{v:,}") for k, v in counts.items()], right="count"
    )


@app.command(cls=Command)
def summary(directory: RecordingsPath = None) -> None:
    """Compare the strategies over all recorded runs.

    Example:
        qe workbench summary
    """
    from qe_core.workbench import summary as summarise

    table = summarise(directory)
    columns = list(table.column_names)
    rows = [[_cell(row[name]) for name in columns] for row in table.to_pylist()]
    show_table("Strategies", [name.replace("_", " ") for name in columns], rows)


@app.command(cls=Command)
def compare() -> None:
    """Compare the learned policy with simple rules, random and a clairvoyant on held-out packages.

    The policy is that of test-generator's table in PostgreSQL; where nothing was learned yet,
    `qe train --agent test-generator --episodes 750` or `qe demo` does.

    Example:
        qe workbench compare
    """
    wait_for(_compare())


async def _compare() -> None:
    from qe_core.cli.figure_tables import show_pilot
    from qe_core.errors import RecordingError
    from qe_core.fleet import registry
    from qe_core.runtime.pilot_figures import pilot_figures
    from qe_core.runtime.sessions import PILOT
    from qe_core.runtime.training import table_so_far

    contract = registry().get(PILOT)
    async with opened_store() as store:
        stored = await table_so_far(store, contract)
    if not stored.table.visits.any():
        raise RecordingError(
            "test-generator has learned nothing yet; run qe train --agent test-generator --episodes 750"
        )
    note("playing held-out sessions")
    show_pilot(pilot_figures(stored.table), is_complete=True)


def _cell(value: object) -> str | None:
    if value is None:
        return None
    return (
        f"{value:,.3g}"
        if isinstance(value, float)
        else escape(f"{value:,}" if isinstance(value, int) else str(value))
    )
