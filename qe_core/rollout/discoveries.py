"""Several agents tested at once: how many of the promotions may be false.

What belongs here: the false discovery rate over a family of tests. What does not: a single test (`verdicts`).

Benjamini and Hochberg's procedure on p-values needs them to be valid and not too dependent. Here every test
is looked at many times, at different times, with a fleet-wide drift in all of them. The procedure on e-values
(R. Wang and A. Ramdas, "False discovery rate control with e-values", Journal of the Royal Statistical Society
B 84, 2022) is the same one, applied to p = 1/e, and needs neither: it holds for any dependence and for
e-values stopped at any time.
"""

from collections.abc import Mapping
from dataclasses import replace

from qe_core.errors import RolloutError
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import Judgement, Verdict


def discoveries(e_values: Mapping[str, float], level: float) -> frozenset[str]:
    """Return the tests to be believed, so that on average at most ``level`` of those believed are false.

    Args:
        e_values: of every test of the family, those already decided included with the e-value they had then.
        level: false discovery rate, in (0, 1).

    Raises:
        RolloutError: for a level outside its range or a negative e-value.
    """
    if not 0.0 < level < 1.0:
        raise RolloutError(f"the false discovery rate must lie in (0, 1), got {level}: change it")
    if any(not value >= 0.0 for value in e_values.values()):
        raise RolloutError("an e-value is negative or not a number: judge the test again")
    descending = sorted(e_values, key=lambda name: (-e_values[name], name))
    count = len(descending)
    found = 0
    for rank, name in enumerate(descending, start=1):
        if e_values[name] * rank * level >= count:
            found = rank
    return frozenset(descending[:found])


def hold_to_family(
    judgements: Mapping[str, Judgement],
    decided: Mapping[str, float] | None = None,
    settings: ABTestSettings = DEFAULT_SETTINGS,
) -> dict[str, Judgement]:
    """Return the judgements with those promotions taken back that the family does not allow.

    Args:
        judgements: of the tests running now, by agent.
        decided: e-value of each test of the family at the time it ended, by a name not among the running
            ones. A test belongs to the family of every test it ran beside.
        settings: its significance is the false discovery rate.

    Raises:
        RolloutError: for a name both running and decided.
    """
    ended = dict(decided or {})
    both = ended.keys() & judgements.keys()
    if both:
        raise RolloutError(f"{sorted(both)} are given as running and as decided: name ended tests apart")
    e_values = ended | {name: judgement.e_benefit for name, judgement in judgements.items()}
    found = discoveries(e_values, settings.significance)
    return {
        name: judgement
        if judgement.verdict is not Verdict.PROMOTE or name in found
        else _not_yet(judgement, len(e_values))
        for name, judgement in judgements.items()
    }


def _not_yet(judgement: Judgement, family_size: int) -> Judgement:
    """Return a promotion taken back."""
    reason = (
        f"better by itself, not yet among {family_size} tests at once: evidence {judgement.e_benefit:.3g}"
    )
    return replace(judgement, verdict=Verdict.CONTINUE, reasons=(reason,))
