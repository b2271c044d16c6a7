"""What an episode follows: the live table, a frozen version, or an arm of a test.

What belongs here: the value. What does not: which episode gets which (`serving_policies`).
"""

from typing import NamedTuple

from qe_core.rollout.assignment import Arm
from qe_core.runtime.choosing import Beliefs
from qe_core.store.live.frozen import FrozenPolicy
from qe_core.store.policies import ServingTest


class Route(NamedTuple):
    """What an episode follows.

    Attributes:
        policy: the frozen version; None for the live table.
        beliefs: what follows from the rows followed.
        exploration_rate: in [0, 1]; None for the learner's own.
        version: the number of the version; None for the live table.
        variant: the arm of the test it is in; None outside of tests.
        test: that test.
    """

    policy: FrozenPolicy | None
    beliefs: Beliefs
    exploration_rate: float | None = None
    version: int | None = None
    variant: Arm | None = None
    test: ServingTest | None = None
