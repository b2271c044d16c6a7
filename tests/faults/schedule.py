"""Which faults there are and when they strike: everything random about a run, from one seed.

What belongs here: drawing. What does not: doing (`injector`).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np


class Fault(Enum):
    """What can go wrong, one kind at a time."""

    SERVER_KILLED = "server killed"
    SERVER_RESTARTED = "server restarted"
    CONNECTIONS_CUT = "connections cut"
    WRITER_KILLED = "writer killed"
    WRITER_STOPPED = "writer stopped"
    DISK_FULL = "disk full"
    CLOCK_STEPPED = "clock stepped back"
    EPOCH_RAISED = "epoch raised"
    REBUILD_PUBLISHED = "rebuild published"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault to inject.

    Attributes:
        fault: its kind.
        after_seconds: how long after the one before it.
        held_seconds: how long its cause lasts, where it lasts.
        draw: in [0, 1), decides everything else about it: which writer, which table, how far.
    """

    fault: Fault
    after_seconds: float
    held_seconds: float
    draw: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen in one run.

    Attributes:
        name: of the run.
        strikes: the faults, in order.
        seed: of what the writers draw.
        is_overlapping: whether the next fault may strike before the system recovered from the one before.
        writers: processes, at least 3.
        tasks: concurrent callers in each.
        pause_seconds: mean time between a caller's answer and its next call.
    """

    name: str
    strikes: tuple[Strike, ...]
    seed: int
    is_overlapping: bool = False
    writers: int = 3
    tasks: int = 6
    pause_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a kind strikes in the long form, and at which intervals.

    Attributes:
        alone: times in the run of this kind alone.
        mixed: times in the run of all kinds.
        between_seconds: mean time from the end of one to the next.
        held_seconds: mean time its cause lasts, 0 where it does not last.
    """

    alone: int
    mixed: int
    between_seconds: float
    held_seconds: float


RHYTHMS = {
    Fault.SERVER_KILLED: Rhythm(32, 28, 1.0, 0.3),
    Fault.WRITER_KILLED: Rhythm(22, 24, 0.8, 0.0),
    Fault.CONNECTIONS_CUT: Rhythm(24, 12, 0.8, 0.0),
    Fault.SERVER_RESTARTED: Rhythm(10, 4, 1.0, 0.5),
    Fault.WRITER_STOPPED: Rhythm(8, 5, 1.0, 1.5),
    Fault.DISK_FULL: Rhythm(6, 4, 1.5, 2.5),
    Fault.CLOCK_STEPPED: Rhythm(10, 6, 1.0, 0.0),
    Fault.EPOCH_RAISED: Rhythm(24, 8, 0.8, 0.0),
    Fault.REBUILD_PUBLISHED: Rhythm(16, 8, 0.8, 0.0),
}
KILLS = sum(RHYTHMS[kind].alone + RHYTHMS[kind].mixed for kind in (Fault.SERVER_KILLED, Fault.WRITER_KILLED))
"""SIGKILLs in the long form."""


def drawn(counts: Mapping[Fault, int], seed: int) -> tuple[Strike, ...]:
    """Return strikes in random order at random times; the same arguments always give the same.

    Gaps are exponential, as between independent accidents, and at most four times the mean.

    Args:
        counts: how many of each kind.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    kinds = [fault for fault, count in counts.items() for _ in range(count)]
    strikes = []
    for place in rng.permutation(len(kinds)):
        rhythm = RHYTHMS[kinds[place]]
        after = min(float(rng.exponential(rhythm.between_seconds)), 4.0 * rhythm.between_seconds)
        held = rhythm.held_seconds * float(rng.uniform(0.5, 1.5))
        strikes.append(Strike(kinds[place], after, held, float(rng.random())))
    return tuple(strikes)


def long_form(seed: int, share: float, kinds: Collection[Fault], is_mixed: bool) -> tuple[Plan, ...]:
    """Return one run for each kind and one of all mixed.

    Args:
        seed: of everything random; a run's own depends on nothing else but its kind.
        share: of the counts in `RHYTHMS`, rounded up.
        kinds: those that can be brought about here.
        is_mixed: whether to mix them too.
    """
    plans = []
    for place, kind in enumerate(Fault):
        if kind in kinds:
            own = seed * 100 + place
            plans.append(Plan(kind.value, drawn({kind: _scaled(RHYTHMS[kind].alone, share)}, own), own))
    if is_mixed:
        own = seed * 100 + len(Fault)
        counts = {kind: _scaled(RHYTHMS[kind].mixed, share) for kind in Fault if kind in kinds}
        plans.append(Plan("all mixed", drawn(counts, own), own, is_overlapping=True))
    return tuple(plans)


def short_form(seed: int, kinds: Collection[Fault]) -> tuple[Plan, ...]:
    """Return one run in which every kind strikes once, in random order.

    Args:
        seed: of everything random.
        kinds: those that can be brought about here.
    """
    counts = {kind: 1 for kind in Fault if kind in kinds}
    return (Plan("all mixed", drawn(counts, seed), seed, is_overlapping=True),)


def _scaled(count: int, share: float) -> int:
    return math.ceil(count * share)
