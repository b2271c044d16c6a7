"""Who learns: contracts of agents, their states, actions and rewards, and the registry that finds them."""

from qe_core.fleet.contract import AgentContract, SuccessRule, shared_fingerprint
from qe_core.fleet.features import Bins, Feature, Labels
from qe_core.fleet.registry import Registry, registry
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Approach, Category, FleetContext

__all__ = [
    "AgentContract",
    "Approach",
    "Bins",
    "Category",
    "Feature",
    "FleetContext",
    "Labels",
    "Registry",
    "StateModel",
    "SuccessRule",
    "registry",
    "shared_fingerprint",
]
