"""Automatic rollback over whole weeks, in short; ``python -m benchmarks.rollback_curve`` is the long form."""

from datetime import UTC, datetime

import numpy as np

from benchmarks.rollback_curve import Case, between, draw_tasks, first_alarms, markdown, measure
from qe_core.rollout.rollback import Watch, decide_rollback
from qe_core.rollout.rollback_readings import Trigger, read_triggers, recent_starts
from qe_core.rollout.rollback_settings import DEFAULT_ROLLBACK, RollbackSettings
from qe_core.rollout.rollback_windows import MICROPOINTS

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_quiet_week_of_a_fleet_has_no_false_alarm() -> None:
    # The sequential test may ever fire for a version in a thousand: for one of 54 with probability 0.053. The
    # long form saw both kinds of trigger together fire in fewer than one of a hundred such weeks.
    assert measure(Case(20, 0.8, lanes=54), 5)["rules"]["both"]["alarms"] == 0


def test_a_drop_of_twenty_points_is_found_every_time_and_within_hundreds_of_tasks() -> None:
    figures = measure(Case(100, 0.8, success_drop=20.0, lanes=54), 5)["rules"]
    assert figures["both"]["found"] == 1.0
    assert figures["both"]["delay_tasks"][0] < 150
    assert figures["ordered"]["delay_tasks"][0] < 600
    assert figures["sequential"]["delay_tasks"][0] < figures["ordered"]["delay_tasks"][0]


def test_thresholds_read_on_any_window_would_misfire() -> None:
    # What the minimum evidence is for: without it the ordered thresholds fire on chance within the week.
    naive = RollbackSettings(precision=0.01, error_rate=1e-300, minimum_tasks=100)
    alarms = first_alarms(Case(20, 0.8), 54, np.random.default_rng(5), naive)
    assert (alarms["ordered"] > 0).mean() > 0.25


def test_the_simulation_looks_through_the_code_that_decides() -> None:
    case, rng, served = Case(100, 0.8, success_drop=20.0), np.random.default_rng(6), 700
    base, sums = (draw_tasks(case, 1, count, first, rng) for count, first in ((2_000, 2_000), (1_000, 0)))
    baseline, start = between(base, 0, 2_000), recent_starts(served, served)
    read = read_triggers(baseline, between(sums, start * DEFAULT_ROLLBACK.stride, served), start)
    returns = np.diff(sums[1][0])[:served] / MICROPOINTS
    success = np.diff(sums[0][0])[:served]
    decision = decide_rollback(Watch(baseline.pick(0).pick(0), returns, success, served), NOW)
    assert (Trigger.SUCCESS_RATE in decision.fired) == bool(read.success_fired[0])
    assert (Trigger.MEAN_RETURN in decision.fired) == bool(read.return_fired[0])
    assert decision.readings[2].figure == np.exp(min(float(read.log_evidence[0]), 700.0))


def test_the_tables_show_every_question() -> None:
    item = measure(Case(10, 0.8, success_drop=20.0, lanes=2), 5)
    names = ("false alarms", "success drops", "return drops", "late harm")
    assert markdown({name: [item] for name in names}).count("| 10 | 80% |") == 4
