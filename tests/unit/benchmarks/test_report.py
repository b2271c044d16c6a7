"""The report: JSON that a program can read, a table that a person can, the exit code."""

import json
import math

import pytest

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Of,
    Outcome,
    Row,
    RowResult,
    Spread,
    Verdict,
    at_least,
    at_most,
)
from benchmarks.report import as_markdown, exit_code, shown, write_report

RATIO = Row("speed", "updates ÷ pgbench", Of("ours", "rate"), Of("peer", "rate"), at_least(15))
LOST = Row("lost", "lost updates", Of("ours", "lost"), bound=at_most(0), unit="count")
BENCHMARK = Benchmark(
    "updates",
    (Contestant("ours", "the hot path"), Contestant("peer", "pgbench -N")),
    (RATIO, LOST),
    lambda _: None,
)
MET = RowResult(RATIO, Verdict.MET, Spread(20.0, 18.0, 22.5), Spread(4e5, 3e5, 5e5), Spread(2e4, 1e4, 3e4), 5)
NONE_LOST = RowResult(LOST, Verdict.MET, Spread(0.0, 0.0, 0.0), Spread(0.0, 0.0, 0.0), None, 5)


def outcome(*results: RowResult) -> Outcome:
    """Return an outcome of these rows."""
    return Outcome(BENCHMARK, results, {"ours": {"rate": Spread(4e5, 3e5, math.inf)}}, 12.0)


def test_table_shows_figure_bound_spread_margin_and_verdict():
    text = as_markdown({"processor": "a fast one"}, [outcome(MET, NONE_LOST)])
    assert "| updates ÷ pgbench | ≥ 15 × | 20 × | 18 … 22.5 | 1.33× | **met** |" in text
    assert "| 400,000 rate | 20,000 rate (peer) |" in text
    assert "| lost updates | ≤ 0 | 0 | 0 … 0 |  | **met** |  |  |" in text
    assert "2 met" in text
    assert "- peer: pgbench -N" in text
    assert "- processor: a fast one" in text


def test_reason_is_shown_where_there_is_no_figure():
    text = as_markdown({}, [outcome(RowResult(RATIO, Verdict.NOT_MEASURED, reason="not installed: cpprb"))])
    assert "- speed: not measured: not installed: cpprb" in text
    assert "benchmarks/requirements.txt" in text


def test_warning_stands_above_the_figures():
    text = as_markdown({"warning": "it was busy"}, [outcome(MET)])
    assert text.index("**Careful:** it was busy.") < text.index("| figure |")
    assert "Careful" not in as_markdown({"warning": ""}, [outcome(MET)])


def test_json_holds_every_figure_and_null_for_what_is_no_number(tmp_path):
    as_data, as_text = write_report(tmp_path / "new", "bench", {"cores": 4}, [outcome(MET, NONE_LOST)])
    document = json.loads(as_data.read_text())
    (benchmark,) = document["benchmarks"]
    speed, lost = benchmark["rows"]
    assert document["cores"] == 4
    assert speed["figure"] == {"median": 20.0, "low": 18.0, "high": 22.5}
    assert (speed["owed"], speed["verdict"]) == ({"direction": "≥", "limit": 15}, "met")
    assert speed["margin"] == pytest.approx(4 / 3)
    assert lost["margin"] is None
    assert benchmark["values"]["ours"]["rate"]["high"] is None
    assert as_text.read_text().startswith("# Benchmarks")


@pytest.mark.parametrize(
    ("verdict", "relaxed", "strict"),
    [
        (Verdict.MET, 0, 0),
        (Verdict.SHOWN, 0, 0),
        (Verdict.NOT_JUDGED, 0, 0),
        (Verdict.NOT_MET, 0, 1),
        (Verdict.NOT_MEASURED, 0, 1),
        (Verdict.RESULTS_DIFFER, 1, 1),
        (Verdict.FAILED, 1, 1),
    ],
)
def test_exit_code_fails_on_wrong_results_and_strictly_on_unmet_figures(verdict, relaxed, strict):
    outcomes = [outcome(NONE_LOST, RowResult(RATIO, verdict))]
    assert exit_code(outcomes, is_strict=False) == relaxed
    assert exit_code(outcomes, is_strict=True) == strict


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (0.000731, "7.31e-04"),
        (0.0071, "0.0071"),
        (1.5, "1.5"),
        (20.0, "20"),
        (123.45, "123.5"),
        (1234567.8, "1,234,568"),
        (math.nan, "–"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_shown_short(number, text):
    assert shown(number) == text
