"""Showing how far the Dagster graph is.

What belongs here: turning the graph's messages into progress. What does not: running it
(`qe_core.runtime.graph`).
"""

from collections.abc import Sequence

from qe_core.cli.screen import progress_shown
from qe_core.runtime.graph import Message, materialize

WHAT = "materialising the graph"


async def materialize_shown(agents: Sequence[str]) -> None:
    """Materialise what follows from some agents' experiences, or everything when none are named."""
    with progress_shown() as progress:
        progress(WHAT, 0, None)

        def hear(message: Message) -> None:
            """Move the bar where the message says how far it is."""
            if "done" in message and "total" in message:
                progress(WHAT, int(message["done"]), int(message["total"]))

        await materialize(agents, hear)
