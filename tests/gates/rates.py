"""The gates: what is counted over many rollouts, and the limit it is held against.

What belongs here: one function for each promise, each returning rows of figures. What does not: playing
(`playing`, `families`, `counting`, `naive`, `tuning`) and showing (`table`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import proportion_confint

from qe_core.rollout.assignment import Stage
from qe_core.rollout.power import fixed_sample_size
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import Verdict
from tests.gates import counting, naive
from tests.gates.families import EFFECTS, play_family
from tests.gates.playing import Rollout, play
from tests.gates.tuning import first_shown, median_units
from tests.gates.worlds import Noise, World

FALSE_SHIPS_LIMIT = 0.05
FALSE_DISCOVERIES_LIMIT = 0.05
FALSE_FLAGS_LIMIT = 0.009
"""Three checks at each of three stages, at one in a thousand each, over all looks."""

LONG_UNITS = 20_000
SILENT_UNITS = 1_000_000
TEAM_SETTINGS = replace(DEFAULT_SETTINGS, minimum_per_arm=15, minimum_for_harm=10, minimum_to_advance=2)
"""For a team of 80 developers as units: there are never a hundred in an arm."""

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is simulated.

    Attributes:
        nulls: tests without effect in each of the five worlds of tasks.
        teams: tests without effect in each of the two worlds of developers.
        powers: tests for each true effect.
        families: families of eighteen agents.
        faults: runs for each fault and size.
        ramps: sound ramps.
        naive: tests for each naive rule.
        tuning: streams for each effect.
    """

    nulls: int
    teams: int
    powers: int
    families: int
    faults: int
    ramps: int
    naive: int
    tuning: int

    @property
    def total(self) -> int:
        """Ticks of the progress bar."""
        faults = self.faults * len(list(_fault_cases()))
        played = 5 * self.nulls + 2 * self.teams + 7 * self.powers + 2 * self.families
        return played + faults + self.ramps + 3 + 4 * self.tuning


LONG = Sizes(
    nulls=2_000, teams=1_000, powers=600, families=250, faults=300, ramps=1_500, naive=20_000, tuning=400
)
SHORT = Sizes(nulls=25, teams=10, powers=15, families=6, faults=10, ramps=30, naive=500, tuning=5)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a gate's table.

    Attributes:
        gate: which promise.
        case: in which world.
        figures: what was counted, by column.
        is_met: whether the promise is kept; None where nothing is promised.
    """

    gate: str
    case: str
    figures: dict[str, Any]
    is_met: bool | None = None


def false_ships(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield how often a candidate that is no better goes to 100 %, world by world and in all."""
    worlds = (
        ("steady level, normal rewards", World(), DEFAULT_SETTINGS, sizes.nulls),
        ("drift, normal rewards", World(drift=1.0, tasks_per_day=1_000), DEFAULT_SETTINGS, sizes.nulls),
        ("drift, heavy tails", World(noise=Noise.HEAVY, drift=1.0), DEFAULT_SETTINGS, sizes.nulls),
        ("rare disasters", World(noise=Noise.DISASTERS), DEFAULT_SETTINGS, sizes.nulls),
        (
            "drift, rare disasters, few tasks",
            World(0.0, Noise.DISASTERS, 1.0, 60),
            DEFAULT_SETTINGS,
            sizes.nulls,
        ),
        ("unit developer, 600 of them, drift", _crowd(600, 800.0), DEFAULT_SETTINGS, sizes.teams),
        ("unit developer, 80 of them, drift", _crowd(80, 400.0), TEAM_SETTINGS, sizes.teams),
    )
    everything: list[Rollout] = []
    for index, (case, world, settings, count) in enumerate(worlds):
        played = []
        for number in range(count):
            played.append(play(world, np.random.default_rng([seed, 1, index, number]), settings))
            tick()
        everything += played
        yield _false_ships_row(case, played)
    yield _false_ships_row("all", everything)


def _crowd(developers: int, tasks_per_day: float) -> World:
    return World(0.0, drift=1.0, tasks_per_day=tasks_per_day, developers=developers, shared_variance=0.3)


def _false_ships_row(case: str, played: list[Rollout]) -> Row:
    shipped = sum(rollout.is_shipped for rollout in played)
    ends = Counter(rollout.judgement.verdict for rollout in played if rollout.judgement is not None)
    figures = {
        "tests": len(played),
        "looks": sum(rollout.looks for rollout in played),
        "false ships": shipped / len(played),
        "95 % interval": _interval(shipped, len(played)),
        "ever *promote*": sum(rollout.promoted_at_units is not None for rollout in played) / len(played),
        "ever shown better": sum(rollout.shown_at_units is not None for rollout in played) / len(played),
        "stopped for harm": ends[Verdict.STOP_FOR_HARM] / len(played),
        "invalid": ends[Verdict.INVALID] / len(played),
    }
    return Row("false ships", case, figures, shipped / len(played) <= FALSE_SHIPS_LIMIT)


def false_discoveries(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield the share of false ones among what eighteen agents ship at once."""
    for is_held, case in ((True, "family held together"), (False, "each test alone")):
        families = []
        for number in range(sizes.families):
            families.append(play_family(np.random.default_rng([seed, 2, number]), is_held=is_held))
            tick()
        rate = float(np.mean([family.false_share for family in families]))
        figures: dict[str, Any] = {
            "families": len(families),
            "false discovery rate": rate,
            "families with a false ship": sum(family.false > 0 for family in families) / len(families),
        }
        for effect in (0.2, 0.3, 0.5):
            found = sum(family.true.count(effect) for family in families)
            figures[f"shipped of d = {effect}"] = found / (len(families) * EFFECTS.count(effect))
        yield Row("false discoveries", case, figures, rate <= FALSE_DISCOVERIES_LIMIT if is_held else None)


def power(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield power and units to decision for true effects, beside a t-test looked at once."""
    for index, effect in enumerate((0.2, 0.3, 0.5, 0.8)):
        played = _played(World(effect, drift=0.5), sizes.powers, [seed, 3, index], tick)
        promoted = [rollout.promoted_at_units for rollout in played if rollout.promoted_at_units is not None]
        shown = [rollout.shown_at_units for rollout in played if rollout.shown_at_units is not None]
        days = [rollout.promoted_at_days for rollout in played if rollout.promoted_at_days is not None]
        fixed = fixed_sample_size(effect, 0.05, 0.8)
        at_median = TTestIndPower().power(effect, median(promoted), 0.05) if promoted else float("nan")
        figures = {
            "tests": len(played),
            "promoted": len(promoted) / len(played),
            "units an arm, median": median(promoted) if promoted else None,
            "days, median": median(days) if days else None,
            "shown better by reward alone": len(shown) / len(played),
            "units an arm, median, reward alone": median(shown) if shown else None,
            "t-test once: units for 80 %": fixed,
            "t-test once: power at our median": float(at_median),
            "t-test once, and d > 0.2: power": _ordered_power(effect, max(fixed, 100)),
        }
        yield Row("power", f"d = {effect}", figures)
    for index, effect in enumerate((-0.2, -0.3, -0.5)):
        played = _played(World(effect, drift=0.5), sizes.powers, [seed, 4, index], tick)
        ends = Counter(rollout.judgement.verdict for rollout in played if rollout.judgement is not None)
        figures = {
            "tests": len(played),
            "shipped": sum(rollout.is_shipped for rollout in played) / len(played),
            "stopped for harm": ends[Verdict.STOP_FOR_HARM] / len(played),
            "stopped for futility": ends[Verdict.STOP_FOR_FUTILITY] / len(played),
            "units an arm until stopped, median": median(rollout.units for rollout in played),
        }
        yield Row("harm", f"d = {effect}", figures)


def _played(world: World, count: int, seed: list[int], tick: Tick) -> list[Rollout]:
    played = []
    for number in range(count):
        played.append(play(world, np.random.default_rng([*seed, number])))
        tick()
    return played


def _ordered_power(effect: float, units: int, settings: ABTestSettings = DEFAULT_SETTINGS) -> float:
    """Return how often p < 0.05 and d > 0.2 both hold at one look at so many units an arm."""
    bound = max(stats.t.ppf(0.975, 2 * units - 2) / np.sqrt(units / 2), settings.minimum_effect)
    return float(stats.nct.sf(bound * np.sqrt(units / 2), 2 * units - 2, effect * np.sqrt(units / 2)))


def _fault_cases() -> Iterator[tuple[counting.Fault, float, float]]:
    """Yield fault, share and background share."""
    for fault in counting.Fault:
        is_silent = fault in (counting.Fault.VANISHED, counting.Fault.DOUBLED)
        for background in (0.0,) if is_silent else (0.0, 0.01):
            for share in (0.01, 0.02, 0.05):
                yield fault, share, background


def faults(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield how soon loss and duplication in one arm are seen, at 50 %."""
    for index, (fault, share, background) in enumerate(_fault_cases()):
        seen_at = []
        for number in range(sizes.faults):
            random = np.random.default_rng([seed, 5, index, number])
            seen_at.append(
                counting.units_until_seen(fault, share, Stage.HALF, SILENT_UNITS, random, background)
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
        "95 % interval": _interval(flagged, sizes.ramps),
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


def _interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Clopper and Pearson)."""
    low, high = proportion_confint(hits, count, method="beta")
    return float(low), float(high)


GATES = (false_ships, false_discoveries, power, faults, sound_ramps, naive_rules, tuning)
