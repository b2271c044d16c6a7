"""`qe privacy curve`: what sharing would be worth by the own log, before anything is shared.

What belongs here: arguments, the table and the picture. What does not: the figures
(`qe_core.runtime.experiments.team_own_log`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import note, progress_shown, say, show_table

if TYPE_CHECKING:
    from qe_core.config import Settings
    from qe_core.runtime.experiments.team_own_log import OwnLogPoint


def curve(
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Also draw the curve: .svg, .png or .pdf.")
    ] = None,
) -> None:
    """Show what a team of databases like this one would know, by ε and by how many contribute.

    Releases of the tasks that wait here are played through with real noise, as if other databases held the
    same. Nothing leaves this machine and no privacy budget is spent.

    Examples:
        qe privacy curve
        qe privacy curve --plot curve.png
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick

    settings = load_settings().values
    points = wait_for(_points(settings))
    rows = [
        (
            f"{point.privacy_epsilon:g}",
            point.databases,
            f"{point.known:.0%}",
            f"{point.agreement:.0%}",
            f"{point.kept:.0%}",
            point.refused or None,
        )
        for point in points
    ]
    headings = ["ε", "databases", "steps known", "same choice", "gain kept", "agents refused"]
    show_table(f"What sharing would be worth, one {settings.team.protected_unit} protected", headings, rows,
               right=", ".join(headings))  # fmt: skip
    say(
        "steps known: share of your log's steps whose (state, action) the team would know; same choice: as "
        "your own exact policy; gain kept: of what that policy gains on how the log acted, by your log. "
        "Nothing left this machine and no budget was spent."
    )
    if plot_file is not None:
        from qe_core.runtime.experiments.team_picture import draw_own_log

        draw_own_log(points, plot_file)
        note(f"drawn: {plot_file}")


async def _points(settings: "Settings") -> "list[OwnLogPoint]":
    from qe_core.fleet.registry import registry
    from qe_core.privacy.units import ProtectedUnit
    from qe_core.runtime.experiments.team_own_log import own_log_points
    from qe_core.runtime.team.spaces import shareable_spaces

    spaces, fleet = shareable_spaces(), registry()
    async with opened_store() as store:
        unit = ProtectedUnit(settings.team.protected_unit)
        tasks = await store.releases.finished_tasks(spaces, unit=unit)
    discounts = {name: fleet.get(name).discount_or(settings.learning.discount) for name in spaces}
    with progress_shown() as progress:
        return own_log_points(tasks.steps, spaces, discounts, settings, progress)
