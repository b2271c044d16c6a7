"""Results of asset checks: what was found, in words a person can act on.

What belongs here: turning a list of faults into a result. What does not: finding them.
"""

from collections.abc import Sequence

import dagster as dg

SHOWN_FAULTS = 8
"""How many faults a description lists; the metadata has all of them."""


def verdict(
    faults: Sequence[str],
    looked_at: str,
    spec: dg.AssetCheckSpec | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return the result of a check.

    Args:
        faults: what is wrong, one entry each; none means that it passed.
        looked_at: what was examined, for a result that passed.
        spec: which check, where one function answers several.
        severity: how bad a failure is.
    """
    listed = "; ".join(faults[:SHOWN_FAULTS])
    more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
    return dg.AssetCheckResult(
        passed=not faults,
        asset_key=spec.asset_key if spec else None,
        check_name=spec.name if spec else None,
        severity=severity,
        description=f"{listed}{more}" if faults else looked_at,
        metadata={"faults": dg.MetadataValue.json(list(faults)), "looked at": looked_at},
    )
