"""Imported once by the server that all processes of the drill are forked from: they share what it holds.

What belongs here: importing, and compiling what a writer compiles. What does not: playing and killing.
"""

import tests.rollback_drill.kills
import tests.rollback_drill.player
from qe_core.runtime.collector import calm_collector
from qe_core.store.live.flush import warm_up

__all__ = ["tests"]

warm_up()
calm_collector()
