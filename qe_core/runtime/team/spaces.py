"""Which agents a team can learn about.

What belongs here: the choice among those registered. What does not: the space of one
(`qe_core.privacy.space`).
"""

from qe_core.fleet.registry import Registry, built_registry
from qe_core.privacy.space import PublicSpace


def shareable_spaces(fleet: Registry | None = None) -> dict[str, PublicSpace]:
    """Return the public space of every agent whose contract says what one step can change, by name.

    All of them are in every release, whether they learned anything or not. Agents of a user's own are in none
    unless they are given here: their names and states may say what somebody works on (ADR 0106).

    Args:
        fleet: whose agents; None for the built-in ones.

    Raises:
        PrivacyError: such an agent's space is too large to share.
    """
    chosen = built_registry() if fleet is None else fleet
    return {contract.name: PublicSpace.of(contract) for contract in chosen if contract.moving}
