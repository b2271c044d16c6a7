"""`qe experiment`: what the claims about learning rest on, computed anew.

What belongs here: arguments and tables. What does not: the experiments (`qe_core.runtime.experiments`).
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qe_core.cli.help import Command, Group
from qe_core.cli.screen import note, progress_shown, say, show_table

if TYPE_CHECKING:
    from qe_core.runtime.experiments.convergence import LearningCurve

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compute anew what the claims about learning rest on.",
)


class Rule(StrEnum):
    """How sessions choose, as in the setting ``exploration.session_rule``."""

    POOLED = "pooled"
    MATCHING = "matching"
    EPSILON_GREEDY = "epsilon_greedy"


def numbers_in(text: str) -> list[int]:
    """Return the whole numbers that a text like ``0-4,7`` names, ascending.

    Raises:
        typer.BadParameter: it names none, or something else.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise typer.BadParameter(f"{text!r} names no whole numbers; write them like 0-4 or 0,2,5")
        found.update(range(int(first), int(last or first) + 1))
    if not found:
        raise typer.BadParameter(f"{text!r} names no numbers; write the smaller one first, like 0-4")
    return sorted(found)


@app.command("convergence", cls=Command)
def convergence(
    agents: Annotated[
        list[str] | None,
        typer.Option("--agents", "--agent", metavar="NAME", help="Who learns; repeat for several."),
    ] = None,
    worlds: Annotated[str, typer.Option(help="World seeds, like 0-4 or 0,2,7.")] = "0-4",
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds in each world.")] = 20,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of a session.")] = 1000,
    rule: Annotated[
        Rule | None,
        typer.Option(help="How sessions choose; by default what the settings say."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write everything to this file.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the learning curves: .svg, .png or .pdf.")
    ] = None,
) -> None:
    """Let each agent learn alone in its simulated worlds and compare it with the exact optimum.

    Nothing is stored. The settings are those of this directory, so without any it is what a user gets. With
    20 seeds and five worlds it takes some minutes.

    Examples:
        qe experiment convergence
        qe experiment convergence --agents quality-gate --worlds 5-9 --seeds 5
        qe experiment convergence --rule epsilon_greedy --json curves.json --plot curves.svg
    """
    from qe_core.config import Settings, load_settings  # keeps `qe --help` quick
    from qe_core.environments.catalogue import declarations
    from qe_core.fleet import registry
    from qe_core.runtime.experiments.convergence import CHECKPOINTS
    from qe_core.runtime.experiments.convergence import convergence as learn

    settings = load_settings().values
    if rule is not None:
        values = settings.model_dump()
        values["exploration"]["session_rule"] = rule.value
        settings = Settings.model_validate(values)
    world_seeds = numbers_in(worlds)
    fleet = registry()
    contracts = [fleet.get(name) for name in agents or declarations()]
    checkpoints = (*(count for count in CHECKPOINTS if count < episodes), episodes)
    with progress_shown() as progress:
        curves = list(learn(contracts, world_seeds, seeds, settings, checkpoints, progress))
    _show(curves)
    if json_file is not None:
        from qe_core.runtime.experiments.convergence_file import write_curves

        write_curves(curves, json_file)
        note(f"written: {json_file}")
    if plot_file is not None:
        from qe_core.runtime.experiments.convergence_picture import draw_curves

        draw_curves(curves, plot_file)
        note(f"drawn: {plot_file}")


def _show(curves: list["LearningCurve"]) -> None:
    from qe_core.runtime.experiments.convergence import TARGET

    rows = [
        (
            curve.agent,
            curve.world_seed,
            *(f"{points:.0f}" for points in (curve.optimum, curve.random, curve.best_fixed)),
            curve.best_fixed_action,
            *(f"{share:.2f}" for share in curve.shares.mean(axis=0)),
            f"{curve.shares[:, -1].min():.3f}",
            f"{curve.seeds_reached}/{len(curve.shares)}",
        )
        for curve in curves
    ]
    marks = [f"{count:,}" for count in curves[0].checkpoints]
    show_table(
        "Share of the exact optimum after episodes, mean over seeds",
        ["agent", "world", "optimum", "random", "best fixed", "which is", *marks, "worst", f"≥ {TARGET:g}"],
        rows,
        right=f"world, optimum, random, best fixed, worst, ≥ {TARGET:g}, {', '.join(marks)}",
    )
    seeds = sum(len(curve.shares) for curve in curves)
    reached = sum(curve.seeds_reached for curve in curves)
    enough = sum(20 * curve.seeds_reached >= 19 * len(curve.shares) for curve in curves)
    say(
        f"{enough} of {len(curves)} pairs of agent and world reach {TARGET:.0%} of the optimum on at least "
        f"19 of 20 seeds; {reached:,} of {seeds:,} sessions do."
    )
