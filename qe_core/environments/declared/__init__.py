"""The simulated worlds of the built-in agents, one module per category.

What belongs here: declarations, and the list of them. What does not: the vocabulary they are written in
(`qe_core.environments.declarations`) and how a world is drawn from one.
"""

from qe_core.environments.declarations import WorldDeclaration
from qe_core.environments.declared import (
    advanced_testing,
    core_testing,
    performance_security,
    specialized,
    strategic,
)

WORLDS: tuple[WorldDeclaration, ...] = (
    *core_testing.WORLDS,
    *performance_security.WORLDS,
    *advanced_testing.WORLDS,
    *specialized.WORLDS,
    *strategic.WORLDS,
)
"""The declared worlds in the order of the roster."""
