"""The gates beside whole rollouts: counts, naive rules, the bound's tuning.

What belongs here: one function for each, returning rows of figures. What does not: rollouts (`rates`),
drawing (`counting`, `naive`, `tuning`) and showing (`table`).
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from qe_core.rollout.assignment import Stage
from tests.gates import counting, naive
from tests.gates.sizes import Row, Sizes, Tick, interval
from tests.gates.tuning import first_shown, median_units

FALSE_FLAGS_LIMIT = 0.009
"""Three checks at each of three stages, at one in a thousand each, over all looks."""

LONG_UNITS = 20_000
MOST_UNITS = 4_000_000


def _fault_cases() -> Iterator[tuple[counting.Fault, float, float]]:
    """Yield fault, share and background share."""
    for fault in counting.Fault:
        is_silent = fault in (counting.Fault.VANISHED, counting.Fault.DOUBLED)
        for background in (0.0,) if is_silent else (0.0, 0.01):
            for share in (0.01, 0.02, 0.05):
                yield fault, share, background


def faults(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield how soon loss and duplication in one arm are seen, at 50 %, and that they are in the end."""
    for index, (fault, share, background) in enumerate(_fault_cases()):
        seen_at = []
        for number in range(sizes.faults):
            random = np.random.default_rng([seed, 5, index, number])
            seen_at.append(
                counting.units_until_seen(fault, share, Stage.HALF, MOST_UNITS, random, background)
            )
            tick()
        known = [units for units in seen_at if units is not None]
        figures = {
            "runs": len(seen_at),
            **{
                f"seen by {size:,}": sum(units <= size for units in known) / len(seen_at)
                for size in (500, 1_500, 10_000, 100_000)
            },
            "treated units until seen, median": median(known) if known else None,
            "90 % seen by": _quantile(known, 0.9) if known else None,
            "largest bias, sd": _largest_bias(share),
        }
        everywhere = f", {background:.0%} in both arms anyway" if background else ""
        yield Row("faults", f"{share:.0%} {fault.value}{everywhere}", figures, len(known) == len(seen_at))


def _quantile(values: list[int], share: float) -> float:
    return float(np.quantile(values, share))


def _largest_bias(share: float) -> float:
    """Return by how many standard deviations losing the worst outcomes shifts a normal mean."""
    return float(stats.norm.pdf(stats.norm.ppf(share)) / (1.0 - share))


def sound_ramps(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield how often a sound ramp through all stages is called invalid."""
    flagged = peeked = 0
    for number in range(sizes.ramps):
        random = np.random.default_rng([seed, 6, number])
        seen = [counting.units_until_seen(None, 0.0, stage, LONG_UNITS, random) for stage in Stage]
        flagged += any(units is not None for units in seen)
        peeked += any(counting.is_flagged_by_peeking(stage, LONG_UNITS, random) for stage in Stage)
        tick()
    figures = {
        "ramps": sizes.ramps,
        "units an arm a stage": LONG_UNITS,
        "flagged": flagged / sizes.ramps,
        "95 % interval": interval(flagged, sizes.ramps),
        "chi-square at 0.001, every look": peeked / sizes.ramps,
    }
    is_met = flagged / sizes.ramps <= FALSE_FLAGS_LIMIT
    yield Row("sound ramps", "1 % lost and repeated in both arms", figures, is_met)


def naive_rules(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield how often the naive rules claim an effect where there is none."""
    rules = (
        ("look every 20 samples, from 100 to 1,000 a variant", naive.peeking),
        ("pool 10, 50 and 90 % while the level rises by a quarter sd a stage", naive.pooling),
        ("assign 40 developers, analyse their tasks", naive.analysing_tasks),
    )
    for index, (case, rule) in enumerate(rules):
        failures = rule(sizes.naive, np.random.default_rng([seed, 7, index]))
        tick()
        figures = {
            "tests": sizes.naive,
            "ship": failures.ships,
            "claim a difference": failures.claims,
            "some claim among 18 agents": 1.0 - (1.0 - failures.claims) ** 18,
        }
        yield Row("naive rules", case, figures)


def tuning(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield what the reward's bound needs to show an effect: ours at several tunings, and a peer's."""
    figures: dict[str, dict[str, Any]] = {}
    for index, effect in enumerate((0.0, 0.2, 0.3, 0.5)):
        runs = []
        for number in range(sizes.tuning):
            runs.append(first_shown(effect, np.random.default_rng([seed, 8, index, number])))
            tick()
        for name in runs[0]:
            found = [run[name] for run in runs]
            own = figures.setdefault(name, {"tests": len(runs)})
            own[f"d = {effect}: shown"] = sum(units is not None for units in found) / len(found)
            own[f"d = {effect}: units"] = median_units(found)
    for name, own in figures.items():
        yield Row("tuning", name, own)
