"""The command ``python -m benchmarks``.

What belongs here: options, progress, exit code. What does not: measuring (`harness`) and writing (`report`).
"""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.catalogue import chosen_benchmarks
from benchmarks.harness import Benchmark, Outcome, RowResult, Verdict
from benchmarks.machine import busyness, describe_machine, describe_server
from benchmarks.place import DEFAULT_DIRECTORY, Place
from benchmarks.report import exit_code, shown, write_report
from benchmarks.running import run_benchmark
from qe_core.errors import QEError

RESULTS = Path(__file__).parent / "results"
_COLOURS = {Verdict.MET: "green", Verdict.SHOWN: "default", Verdict.NOT_JUDGED: "default"}

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@application.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="A benchmark or row; repeat for more.")] = None,
    quick: Annotated[bool, typer.Option(help="Fewer and smaller rounds; nothing is judged.")] = False,
    output: Annotated[Path, typer.Option(help="Where the JSON and the Markdown go.")] = RESULTS,
    directory: Annotated[Path, typer.Option(help="On the disk to measure.")] = DEFAULT_DIRECTORY,
    minutes: Annotated[float | None, typer.Option(help="How long endurance lasts.")] = None,
    strict: Annotated[bool, typer.Option(help="Fail where a figure is not met or not measured.")] = False,
    names: Annotated[bool, typer.Option(help="List benchmarks and rows, run nothing.")] = False,
) -> None:
    """Measure what the product owes against peers and limits, in turn, on this machine."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is stopped
    try:
        chosen = chosen_benchmarks(only or ())
        if names:
            console.print(_list_of(chosen))
            return
        started = datetime.now(UTC)
        with Place(quick, directory, minutes) as place:
            circumstances = _circumstances(place, started, bool(only))
            if circumstances["warning"]:
                console.print(f"[yellow]{circumstances['warning']}")
            outcomes = [_run(console, benchmark, place) for benchmark in chosen]
            if place.has_server:
                circumstances["postgresql"] = describe_server(place.server.url("postgres"))
    except QEError as error:
        console.print(f"[red]{escape(str(error))}")
        raise typer.Exit(2) from None
    circumstances["seconds"] = round((datetime.now(UTC) - started).total_seconds())
    file_name = "partial" if quick or only else "bench"
    paths = write_report(output, file_name, circumstances, outcomes)
    console.print(_table_of(outcomes))
    console.print(f"written: {', '.join(map(str, paths))}", soft_wrap=True)
    raise typer.Exit(exit_code(outcomes, strict))


def _run(console: Console, benchmark: Benchmark, place: Place) -> Outcome:
    with console.status(benchmark.name) as status:
        outcome = run_benchmark(
            benchmark, place, lambda text: status.update(f"{benchmark.name}: {escape(text)}")
        )
    for result in outcome.rows:
        console.print(f"{result.row.name}: {escape(_in_words(result))}", soft_wrap=True, highlight=False)
    return outcome


def _in_words(result: RowResult) -> str:
    if result.figure is None:
        return f"{result.verdict.value}: {result.reason}"
    owed = f", owed {result.row.bound}" if result.row.bound else ""
    return f"{shown(result.figure.median)} {result.row.unit}{owed}, {result.verdict.value}"


def _table_of(outcomes: list[Outcome]) -> Table:
    table = Table("figure", "owed", "measured", "lowest … highest", "verdict", title="Benchmarks")
    for result in (result for outcome in outcomes for result in outcome.rows):
        figure = result.figure
        colour = _COLOURS.get(result.verdict, "red")
        table.add_row(
            escape(result.row.title),
            f"{result.row.bound or ''}",
            f"{shown(figure.median)} {result.row.unit}" if figure else "",
            f"{shown(figure.low)} … {shown(figure.high)}" if figure else escape(result.reason),
            f"[{colour}]{result.verdict.value}",
        )
    return table


def _list_of(benchmarks: tuple[Benchmark, ...]) -> Table:
    table = Table("benchmark", "row", "figure", "owed")
    for benchmark in benchmarks:
        for row in benchmark.rows:
            table.add_row(benchmark.name, row.name, escape(row.title), f"{row.bound or ''}")
    return table


def _circumstances(place: Place, started: datetime, is_partial: bool) -> dict[str, Any]:
    revision = subprocess.run(  # noqa: S603
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    return {
        "started_at": started.isoformat(timespec="seconds"),
        "revision": revision.stdout.strip() or "unknown",
        "is_quick": place.is_quick,
        "is_partial": is_partial,
        "warning": busyness(os.getloadavg()[0], os.cpu_count() or 1),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        **describe_machine(place.directory),
    }


if __name__ == "__main__":
    application()
