"""The vocabulary of benchmarks: bounds, margins, spreads, declarations."""

import math

import pytest

from benchmarks.harness import (
    Benchmark,
    BenchmarkError,
    Contestant,
    Of,
    ResultsDifferError,
    Row,
    Spread,
    Verdict,
    at_least,
    at_most,
    below,
    require_equal,
    timed,
)
from benchmarks.running import verdict_of


def test_limit_itself_meets_at_least_and_at_most_but_not_below():
    assert at_least(15).is_met_by(15.0)
    assert not at_least(15).is_met_by(math.nextafter(15.0, 0.0))
    assert at_most(2).is_met_by(2.0)
    assert not at_most(2).is_met_by(math.nextafter(2.0, 3.0))
    assert not below(10).is_met_by(10.0)
    assert below(10).is_met_by(math.nextafter(10.0, 0.0))


@pytest.mark.parametrize("bound", [at_least(1), at_most(1), below(1), at_most(0)])
def test_what_is_not_a_number_meets_nothing(bound):
    assert not bound.is_met_by(math.nan)
    assert verdict_of(bound, math.nan, is_quick=False) is Verdict.NOT_MET


def test_margin_is_above_one_exactly_where_the_bound_is_kept():
    assert at_least(4).margin(6.0) == 1.5
    assert at_least(4).margin(2.0) == 0.5
    assert at_most(2).margin(1.6) == 1.25
    assert below(10).margin(20.0) == 0.5


def test_margin_of_nothing_lost_against_nothing_allowed_is_undefined():
    assert math.isnan(at_most(0).margin(0.0))
    assert at_most(0).margin(3.0) == 0.0
    assert at_most(3).margin(0.0) == math.inf


def test_quick_run_judges_nothing_and_a_figure_without_bound_is_only_shown():
    assert verdict_of(at_least(15), 1.0, is_quick=True) is Verdict.NOT_JUDGED
    assert verdict_of(None, 1.0, is_quick=False) is Verdict.SHOWN


def test_spread_is_median_and_extremes():
    assert Spread.of([5.0, 1.0, 2.0, 9.0, 3.0]) == Spread(3.0, 1.0, 9.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)


def test_row_that_names_no_contestant_is_refused():
    with pytest.raises(BenchmarkError, match="'theirs'"):
        Benchmark(
            "b",
            (Contestant("ours", ""),),
            (Row("r", "", Of("ours", "x"), Of("theirs", "x")),),
            lambda _: None,
        )


def test_missing_packages_are_those_that_cannot_be_imported():
    contestant = Contestant("peer", "", packages=("numpy", "no_such_package_anywhere"))
    assert contestant.missing_packages() == ["no_such_package_anywhere"]


def test_unequal_results_raise():
    require_equal("sum", 3, 3)
    with pytest.raises(ResultsDifferError, match="sum: 3 against 4"):
        require_equal("sum", 3, 4)


def test_timed_returns_seconds_and_the_result():
    taken = timed(lambda: 7)
    assert taken.result == 7
    assert taken.values["seconds"] >= 0.0
