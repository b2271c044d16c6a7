"""The gates over whole rollouts: what is counted, and the limit it is held against.

What belongs here: one function for each promise, returning rows of figures. What does not: playing
(`playing`, `families`), gates on counts and naive rules (`checks`), showing (`table`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from qe_core.rollout.power import fixed_sample_size
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import Verdict
from tests.gates.families import MIXED, NONE_BETTER, Shipped, play_family
from tests.gates.playing import Rollout, play
from tests.gates.sizes import Row, Sizes, Tick, interval
from tests.gates.worlds import Noise, World

FALSE_SHIPS_LIMIT = 0.05
FALSE_DISCOVERIES_LIMIT = 0.05
TEAM_SETTINGS = replace(DEFAULT_SETTINGS, minimum_per_arm=15, minimum_for_harm=10, minimum_to_advance=2)
"""For a team of 80 developers as units: there are never a hundred in an arm."""


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
        "95 % interval": interval(shipped, len(played)),
        "ever *promote*": sum(rollout.promoted_at_units is not None for rollout in played) / len(played),
        "ever shown better": sum(rollout.shown_at_units is not None for rollout in played) / len(played),
        "stopped for harm": ends[Verdict.STOP_FOR_HARM] / len(played),
        "invalid": ends[Verdict.INVALID] / len(played),
    }
    return Row("false ships", case, figures, shipped / len(played) <= FALSE_SHIPS_LIMIT)


def false_discoveries(sizes: Sizes, seed: int, tick: Tick) -> Iterator[Row]:
    """Yield the share of false ones among what eighteen agents ship at once."""
    for index, (effects, mixture) in enumerate(((MIXED, "mixed"), (NONE_BETTER, "none better"))):
        for is_held, rule in ((True, "family held together"), (False, "each test alone")):
            families = []
            for number in range(sizes.families):
                random = np.random.default_rng([seed, 2, index, number])
                families.append(play_family(effects, random, is_held=is_held))
                tick()
            yield _false_discoveries_row(f"{mixture}, {rule}", effects, families, is_held)


def _false_discoveries_row(
    case: str, effects: tuple[float, ...], families: list[Shipped], is_held: bool
) -> Row:
    rate = float(np.mean([family.false_share for family in families]))
    figures: dict[str, Any] = {
        "families": len(families),
        "false discovery rate": rate,
        "any false ship": sum(family.false > 0 for family in families) / len(families),
    }
    for effect in (0.2, 0.3, 0.5):
        found = sum(family.true.count(effect) for family in families)
        tested = len(families) * effects.count(effect)
        figures[f"shipped of d = {effect}"] = found / tested if tested else None
    return Row("false discoveries", case, figures, rate <= FALSE_DISCOVERIES_LIMIT if is_held else None)


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
