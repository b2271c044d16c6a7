"""`qe experiment hierarchy` and `qe experiment transfer`: what sharing is worth.

What belongs here: arguments and what is printed. What does not: the experiments themselves
(`qe_core.runtime.experiments`).
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from qe_core.cli.experiments import numbers_in
from qe_core.cli.screen import note, progress_shown, say

Worlds = Annotated[str, typer.Option(help="World seeds, like 0-19 or 0,2,7.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write everything to this file.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Also write the tables to this file.")]


def hierarchy(
    worlds: Worlds = "0-19", json_file: JsonFile = None, markdown_file: MarkdownFile = None
) -> None:
    """Compare the rules of lookup: what acting by them costs fleets of several ages.

    Nothing is stored. With 20 worlds it takes some minutes.

    Examples:
        qe experiment hierarchy
        qe experiment hierarchy --worlds 0-4 --json regret.json
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick
    from qe_core.runtime.experiments.hierarchy import lookup_regret

    with progress_shown() as progress:
        found = lookup_regret(numbers_in(worlds), load_settings().values, progress=progress)
    say(
        "Regret: 1 - value over the optimum, after episodes; mean over agents and worlds, two standard errors"
    )
    say(found.markdown())
    _write(markdown_file, found.markdown())
    if json_file is not None:
        _write(json_file, json.dumps(found.as_json()) + "\n")


def transfer(
    agents: Annotated[
        list[str] | None,
        typer.Option(
            "--agents",
            "--agent",
            metavar="NAME",
            help="Newcomers; repeat for several. By default all agents.",
        ),
    ] = None,
    worlds: Worlds = "0-19",
    has_lookups: Annotated[
        bool, typer.Option("--lookups", help="Also compare acting on looked-up values; takes far longer.")
    ] = False,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the learning curves: .svg, .png or .pdf.")
    ] = None,
) -> None:
    """Let agents start as newcomers in fleets that have learned, and compare with learning alone.

    Nothing is stored. With 20 worlds it takes some twenty minutes of processor time.

    Examples:
        qe experiment transfer
        qe experiment transfer --agent chaos-engineer --worlds 0-4 --plot newcomers.png
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick
    from qe_core.environments.catalogue import declarations
    from qe_core.fleet import registry
    from qe_core.runtime.experiments.newcomer import QUICK_WAYS, Way
    from qe_core.runtime.experiments.transfer import newcomers
    from qe_core.runtime.experiments.transfer_report import draw_newcomers, markdown_of, write_newcomers

    settings, fleet = load_settings().values, registry()
    chosen = [fleet.get(name).name for name in agents or declarations()]
    ways = tuple(Way) if has_lookups else QUICK_WAYS
    with progress_shown() as progress:
        curves = list(newcomers(chosen, numbers_in(worlds), settings, ways, progress))
    say(markdown_of(curves))
    _write(markdown_file, markdown_of(curves))
    if json_file is not None:
        write_newcomers(curves, json_file)
        note(f"written: {json_file}")
    if plot_file is not None:
        draw_newcomers(curves, plot_file)
        note(f"drawn: {plot_file}")


def _write(path: Path | None, text: str) -> None:
    from qe_core.runtime.files import replaced_file

    if path is None:
        return
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    note(f"written: {path}")
