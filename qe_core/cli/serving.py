"""`qe up`: everything running, until Ctrl-C.

What belongs here: what is said. What does not: starting and stopping (`qe_core.runtime.serving`).
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from qe_core.cli.opening import wait_for
from qe_core.cli.screen import note, say

DEFAULT_PORT = 3000


def up(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the web UI.")] = DEFAULT_PORT,
) -> None:
    """Run database, Dagster web UI and daemon together; one Ctrl-C stops all.

    The web UI listens on this machine only. Schedules and sensors run as long as this does.

    Examples:
        qe up
        qe up --port 3333
    """
    serve_until_interrupted(port)


def serve_until_interrupted(port: int, work: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
    """Start everything, say where it is, and stop it all again at Ctrl-C.

    Args:
        port: of the web UI.
        work: done meanwhile, from the moment the web UI answers.
    """
    from qe_core.runtime.serving import Services, nothing, serve  # keeps `qe --help` quick

    def ready(services: Services) -> None:
        say(f"[bold]{services.url}[/]   (log: {services.log_file}; Ctrl-C stops everything)")

    wait_for(serve(port, ready, note, work or nothing))
    note("stopped; nothing is left running")
