"""What could have been reached by somebody who knew every outcome beforehand.

What belongs here: the best plan found for a session whose outcomes are all known. What does not: policies
that may be followed in earnest.

Exact optimisation is out of reach (slices of runs whose outcomes overlap are a submodular schedule, NP-hard
in general), so the figure is a lower bound of the true optimum: the best of several clairvoyant greedy
plans and of every policy it is compared with. Nothing that is compared can therefore exceed it.
"""

from collections.abc import Iterable

import numpy as np

from qe_core.environments.recorded.replay import play_clairvoyant
from qe_core.environments.recorded.session import MEASUREMENTS, SLICE_SECONDS, SessionArrays
from qe_core.environments.recorded.sessions import Outcome, Player, Session, play

LOOKAHEADS = (1, 2, 3, 5, 8)
"""How many slices at a time the greedy plans look ahead."""


def clairvoyant(session: Session, others: Iterable[Outcome] = ()) -> Outcome:
    """Return the outcome with the largest area among the clairvoyant plans and ``others``."""
    plans = [play(session, _greedy(lookahead)) for lookahead in LOOKAHEADS]
    return max([*plans, *others], key=lambda outcome: outcome.area)


def _greedy(lookahead_slices: int) -> Player:
    def player(session: Session, arrays: SessionArrays) -> None:
        play_clairvoyant(
            session.project.arrays, arrays, lookahead_slices, SLICE_SECONDS, np.zeros(len(MEASUREMENTS))
        )

    return player
