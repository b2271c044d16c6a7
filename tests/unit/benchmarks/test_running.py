"""Running a benchmark: turns, comparison before times, medians, verdicts."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    Row,
    Running,
    Spread,
    Verdict,
    at_least,
    require_equal,
)
from benchmarks.place import Place
from benchmarks.running import run_benchmark

OURS = (9.0, 30.0, 20.0, 60.0, 40.0, 50.0)
THEIRS = (9.0, 10.0, 10.0, 10.0, 20.0, 10.0)
"""Rates of the warm-up and of five rounds: medians 40 and 10; round by round 3, 2, 6, 2, 5."""


def scripted(ours=OURS, theirs=THEIRS, results=("same", "same"), bound=4.0, packages=(), turns=None):
    """Return a benchmark whose contestants report these rates in order."""

    @contextmanager
    def prepare(_place):
        rates = {"ours": iter(ours), "peer": iter(theirs)}

        def contestant(name, result):
            def run():
                if turns is not None:
                    turns.append(name)
                return Measurement({"rate": next(rates[name])}, result)

            return run

        def check(found):
            require_equal("result", found["ours"], found.get("peer", found["ours"]))
            if turns is not None:
                turns.append("check")

        pairs = zip(("ours", "peer"), results, strict=True)
        yield Running({name: contestant(name, result) for name, result in pairs}, check)

    contestants = (Contestant("ours", "we"), Contestant("peer", "they", packages))
    row = Row("r", "ours over theirs", Of("ours", "rate"), Of("peer", "rate"), at_least(bound))
    alone = Row("a", "ours", Of("ours", "rate"), unit="updates/s")
    return Benchmark("b", contestants, (row, alone), prepare)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch):
    """A directory that counts as one on a disk, wherever tests keep theirs."""
    monkeypatch.setattr("benchmarks.place.file_system_of", lambda _path: "ext4")
    return tmp_path


@pytest.fixture
def place(disk: Path):
    with Place(parent=disk) as opened:
        yield opened


def silent(_text: str) -> None:
    """Show nothing."""


def test_figure_is_the_ratio_of_medians_and_the_spread_is_of_single_rounds(place):
    ratio, alone = run_benchmark(scripted(), place, silent).rows
    assert ratio.figure == Spread(4.0, 2.0, 6.0)
    assert (ratio.ours, ratio.over) == (Spread(40.0, 20.0, 60.0), Spread(10.0, 10.0, 20.0))
    assert (ratio.rounds, ratio.verdict) == (5, Verdict.MET)
    assert (alone.figure, alone.verdict) == (Spread(40.0, 20.0, 60.0), Verdict.SHOWN)


def test_figure_under_its_bound_is_not_met(place):
    ratio, _ = run_benchmark(scripted(bound=4.01), place, silent).rows
    assert ratio.verdict is Verdict.NOT_MET


def test_contestants_take_turns_and_results_are_compared_every_round(place):
    turns: list[str] = []
    run_benchmark(scripted(turns=turns), place, silent)
    assert turns == ["ours", "peer", "check"] * 6


def test_results_that_differ_leave_no_figure(place):
    outcome = run_benchmark(scripted(results=("this", "that")), place, silent)
    assert [result.verdict for result in outcome.rows] == [Verdict.RESULTS_DIFFER] * 2
    assert all(result.figure is None for result in outcome.rows)
    assert "this" in outcome.rows[0].reason
    assert outcome.values == {}


def test_absent_peer_costs_its_own_row_only(place):
    ratio, alone = run_benchmark(scripted(packages=("no_such_package_anywhere",)), place, silent).rows
    assert ratio.verdict is Verdict.NOT_MEASURED
    assert "no_such_package_anywhere" in ratio.reason
    assert alone.verdict is Verdict.SHOWN


def test_benchmark_that_breaks_is_reported_and_does_not_end_the_run(place, caplog):
    outcome = run_benchmark(scripted(ours=(1.0, 2.0)), place, silent)
    assert [result.verdict for result in outcome.rows] == [Verdict.FAILED] * 2
    assert "StopIteration" in outcome.rows[0].reason
    assert "broke" in caplog.text


def test_quick_run_takes_fewer_rounds_and_judges_nothing(disk):
    with Place(is_quick=True, parent=disk) as place:
        ratio, _ = run_benchmark(scripted(), place, silent).rows
    assert (ratio.rounds, ratio.verdict) == (2, Verdict.NOT_JUDGED)
