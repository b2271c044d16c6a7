"""A hundredth of the gates, with the same decision code: promises hold, naive rules fail, faults are seen.

Seeds are fixed, so each test passes or fails for good. The error rates say how often another seed would fail
on sound code; the long form (``python -m tests.gates``) measures the rates themselves.
"""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import Measure, StageEvidence, evidence_of
from qe_core.rollout.ramp import Move
from qe_core.rollout.verdicts import Verdict
from tests.gates.checks import naive_rules, sound_ramps, tuning
from tests.gates.counting import Fault, units_until_seen
from tests.gates.playing import Rollout, play
from tests.gates.rates import false_discoveries, false_ships, power
from tests.gates.sizes import SHORT
from tests.gates.table import as_markdown, as_records, is_clean
from tests.gates.worlds import Noise, World

SEED = 20_251


def nothing() -> None:
    """Take the place of the progress bar."""


def test_false_ships_stay_below_the_limit_in_every_world() -> None:
    """145 tests at a rate of at most 5 %: 15 or more false ships have a chance below 1 %."""
    *worlds, everything = list(false_ships(SHORT, SEED, nothing))
    assert len(worlds) == 7
    assert everything.figures["tests"] == 145
    assert everything.figures["false ships"] * 145 < 15
    assert everything.figures["invalid"] == 0.0


def test_families_ship_what_is_better_and_hardly_anything_else() -> None:
    """6 families at a rate of 5 %: a mean false share above 15 %, or three false ones: below 1 %."""
    held, alone, none_better, _ = false_discoveries(SHORT, SEED, nothing)
    assert held.figures["false discovery rate"] < 0.15
    assert none_better.figures["any false ship"] * 6 < 3
    assert held.figures["shipped of d = 0.5"] > 0.8
    assert alone.is_met is None


def test_power_rises_with_the_effect_and_harm_never_ships() -> None:
    """15 tests each; power at 0.3 and above is 99 % and more, so three misses have a chance below 1 %."""
    rows = {row.case: row.figures for row in power(SHORT, SEED, nothing)}
    assert rows["d = 0.3"]["promoted"] > 0.8
    assert rows["d = 0.5"]["promoted"] > 0.8
    assert rows["d = 0.2"]["units an arm, median"] > rows["d = 0.5"]["units an arm, median"]
    assert rows["d = -0.2"]["shipped"] == rows["d = -0.5"]["shipped"] == 0.0


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.REPEATED])
def test_one_in_twenty_lost_or_repeated_in_one_arm_is_seen_within_a_few_hundred_units(fault: Fault) -> None:
    """Median about 250 units; one of ten beyond 600 has a chance below 1 %."""
    seen = [
        units_until_seen(fault, 0.05, Stage.HALF, 600, np.random.default_rng([SEED, run]), 0.0)
        for run in range(10)
    ]
    assert None not in seen


@pytest.mark.parametrize("fault", [Fault.VANISHED, Fault.DOUBLED])
def test_one_in_twenty_without_a_trace_is_seen_in_the_ratio_of_large_arms(fault: Fault) -> None:
    """Median about 14,000 units; one of ten beyond 60,000 has a chance below 1 %."""
    runs = (np.random.default_rng([SEED, run]) for run in range(10))
    seen = [units_until_seen(fault, 0.05, Stage.HALF, 60_000, random) for random in runs]
    assert None not in seen


def test_loss_in_one_arm_ends_a_rollout_as_invalid() -> None:
    """One outcome in eleven of the treatment is missing: seen long before the candidate could be promoted."""
    rollout = Rollout(World(0.2), np.random.default_rng(SEED))
    while rollout.end is None:
        rollout.look()
        newest = rollout.evidence[rollout.stage]
        lost = newest.treatment.count // 10
        crooked = replace(newest, treatment=replace(newest.treatment, lost=lost))
        rollout.evidence[rollout.stage] = crooked
        rollout.follow(rollout.judge_again())
    assert rollout.judgement is not None
    assert rollout.judgement.verdict is Verdict.INVALID
    assert rollout.end is Move.STOP


def test_developers_are_the_units_that_recorded_outcomes_make_of_them() -> None:
    rollout = Rollout(World(drift=1.0, developers=40, shared_variance=0.3), np.random.default_rng(SEED))
    assert rollout.crowd is not None
    rollout.crowd.outcomes = []
    for stage in Stage:
        rollout.stage = stage
        for _ in range(4):
            rollout.look()
    expected = {one.stage: one for one in evidence_of(rollout.crowd.outcomes)}
    assert len(rollout.crowd.outcomes) == rollout.tasks
    for stage, evidence in rollout.evidence.items():
        for measure in Measure:
            for ours, theirs in (
                (evidence.treatment, expected.get(stage, StageEvidence(stage)).treatment),
                (evidence.control, expected.get(stage, StageEvidence(stage)).control),
            ):
                assert ours.of_measure(measure).count == theirs.of_measure(measure).count
                assert ours.of_measure(measure).mean == pytest.approx(
                    theirs.of_measure(measure).mean, abs=1e-5
                )


def test_a_sound_ramp_is_not_flagged() -> None:
    """30 ramps at 0.9 % or less each: a flag has a chance of up to 24 %, three of them below 1 %."""
    [row] = sound_ramps(SHORT, SEED, nothing)
    assert row.figures["flagged"] * 30 < 3


def test_naive_rules_fail_where_ours_holds() -> None:
    """500 tests each; the limits are more than four standard errors away from the measured rates."""
    rows = list(naive_rules(SHORT, SEED, nothing))
    assert all(row.figures["claim a difference"] > 0.05 for row in rows)
    assert rows[1].figures["ship"] > 0.5


def test_every_bound_finds_a_large_effect() -> None:
    rows = list(tuning(SHORT, SEED, nothing))
    assert all(row.figures["d = 0.5: shown"] == 1.0 for row in rows)


def test_a_good_candidate_becomes_stable_after_every_dwell() -> None:
    rollout = play(World(0.5, Noise.NORMAL, 0.5, tasks_per_day=1_000), np.random.default_rng(SEED))
    assert rollout.end is Move.PROMOTE
    assert list(rollout.evidence) == list(Stage)
    assert rollout.days >= 1 + 2 + 1


def test_table_shows_every_row_and_a_broken_promise() -> None:
    rows = [replace(row, is_met=False) for row in naive_rules(replace(SHORT, naive=50), SEED, nothing)]
    assert not is_clean(rows)
    assert as_markdown(rows).count("**no**") == 3
    assert [record["gate"] for record in as_records(rows)] == ["naive rules"] * 3
