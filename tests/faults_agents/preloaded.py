"""Imported once by the server that all players are forked from: they share what it holds in memory.

What belongs here: importing, compiling what a writer compiles, and leaving the garbage collector nothing to
write to. What does not: playing (`player`).

A process that does this by itself takes seconds of a core and 80 MB of its own, and a hundred of them a
minute and 8 GB; forked from here, one is there at once with a fifth of that.
"""

import tests.faults_agents.player
from qe_core.runtime.collector import calm_collector
from qe_core.store.live.flush import warm_up

__all__ = ["tests"]

warm_up()
# A collection writes into every object's header and would copy the shared pages into each player.
calm_collector()
