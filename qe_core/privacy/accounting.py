"""How much privacy is lost: (ε, δ) as people state it, and the ρ in which losses add up.

What belongs here: the exchange between the two, by OpenDP. What does not: how noise is scaled to a loss
(`mechanism`), and what was spent so far (`qe_core.store`).

Losses are kept in zero-concentrated differential privacy (Bun & Steinke 2016): releases with ρ₁ and ρ₂
lose ρ₁ + ρ₂ together. ρ is counted in whole nano-ρ, so that sums are exact: what is spent is rounded up, what
may be spent is rounded down.
"""

import math
from functools import lru_cache

from qe_core.errors import PrivacyError
from qe_core.privacy.opendp import gaussian, to_approximate

NANO = 1_000_000_000
"""Nano-ρ per ρ."""


def rounded_up(value: float) -> float:
    """Return the next larger float: not below the number that ``value`` was rounded from."""
    return math.nextafter(value, math.inf)


@lru_cache(maxsize=4096)
def epsilon_of(nano_rho: int, privacy_delta: float) -> float:
    """Return the ε that holds with δ = ``privacy_delta`` after losing ``nano_rho`` in all.

    Raises:
        PrivacyError: ``nano_rho`` is negative, or δ does not lie in (0, 1).
    """
    _require_delta(privacy_delta)
    if nano_rho < 0:
        raise PrivacyError(f"a loss of privacy cannot be negative, got {nano_rho} nano-ρ; check the ledger")
    if nano_rho == 0:
        return 0.0
    # Noise of scale 1 on a value that moves by d loses ρ = d²/2.
    distance = rounded_up(math.sqrt(2 * nano_rho / NANO))
    return float(to_approximate(gaussian(1, 1.0)).map(distance).epsilon(privacy_delta))


@lru_cache(maxsize=4096)
def largest_nano_rho(privacy_epsilon: float, privacy_delta: float) -> int:
    """Return the largest whole nano-ρ that can be lost within (ε, δ); 0 where that is less than one.

    Raises:
        PrivacyError: ε is not a finite number above 0, or δ does not lie in (0, 1).
    """
    _require_delta(privacy_delta)
    if not (math.isfinite(privacy_epsilon) and privacy_epsilon > 0):
        raise PrivacyError(f"privacy_epsilon must be a finite number above 0, got {privacy_epsilon}")
    too_much = 1
    while epsilon_of(too_much, privacy_delta) <= privacy_epsilon:
        too_much *= 2
    allowed = too_much // 2
    while too_much - allowed > 1:
        middle = (allowed + too_much) // 2
        if epsilon_of(middle, privacy_delta) <= privacy_epsilon:
            allowed = middle
        else:
            too_much = middle
    return allowed


def _require_delta(privacy_delta: float) -> None:
    if not 0.0 < privacy_delta < 1.0:
        raise PrivacyError(f"privacy_delta must lie between 0 and 1, got {privacy_delta}; 1e-6 is usual")
