"""OpenDP, loaded when it is first needed: it is large, and most commands do without.

What belongs here: the parts of OpenDP the product uses, by one name each. What does not: choosing scales
(`mechanism`) and losses (`accounting`).
"""

from functools import cache
from types import ModuleType
from typing import Any


@cache
def _prelude() -> ModuleType:
    import opendp.prelude as prelude

    # All of OpenDP's noise on vectors of integers is among what it calls contributed; each part has a proof.
    prelude.enable_features("contrib")
    return prelude


def gaussian(size: int, scale: float) -> Any:
    """Return OpenDP's discrete Gaussian measurement: noise of scale σ on each of ``size`` integers.

    Its ``map`` gives the ρ lost for a given L2 distance between neighbours.
    """
    dp = _prelude()
    integers = dp.vector_domain(dp.atom_domain(T="i64"), size=size)
    return dp.m.make_gaussian(integers, dp.l2_distance(T="f64"), scale=scale)


def to_approximate(measurement: Any) -> Any:
    """Return ``measurement`` accounted for in (ε, δ): its ``map`` gives a profile with ``epsilon(delta)``."""
    return _prelude().c.make_zCDP_to_approxDP(measurement)
