"""Charts draw what they are given: places, clipping, text alternatives and escaping."""

import math
import re

import pytest

from qe_core.runtime.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Line,
    bar_chart,
    heat_map,
    legend,
    line_chart,
    nice_ticks,
    padded_range,
    short,
    stacked_bar,
)


def points(svg):
    (text,) = re.findall(r'points="([^"]*)"', svg)
    return [tuple(float(part) for part in point.split(",")) for point in text.split()]


def test_a_line_fills_its_frame():
    svg = line_chart("t", [Line("l", [0, 10], [0.0, 1.0], "line-1")], "x", "y", (0.0, 1.0))
    assert points(svg) == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]


def test_a_gap_is_left_out_and_the_last_value_is_said():
    svg = line_chart("t", [Line("l", [0, 1, 2], [1.0, 2.0, math.nan], "line-1")], "x", "y")
    assert len(points(svg)) == 2
    assert 'aria-label="t: l ends at 2"' in svg


def test_a_single_point_and_a_flat_line_are_drawn():
    assert len(points(line_chart("t", [Line("l", [3], [5.0], "line-1")], "x", "y"))) == 1
    flat = points(line_chart("t", [Line("l", [0, 1], [5.0, 5.0], "line-1")], "x", "y"))
    assert flat[0][1] == flat[1][1]


def test_names_are_escaped_everywhere():
    bad = "<evil>"
    html = line_chart(bad, [Line(bad, [0, 1], [0.0, 1.0], "line-1")], bad, bad)
    html += bar_chart([Bar(bad, 1, bad, [("mark-random", bad, 1)])]) + legend([("line-1", bad)])
    html += stacked_bar(bad, [(bad, 1.0)]) + heat_map([bad], [bad], [[1.0]], bad)
    assert bad not in html
    assert html.count("&lt;evil&gt;") >= 13


@pytest.mark.parametrize(("percent", "width"), [(50, "50.00"), (-20, "0.00"), (130, "100.00")])
def test_bars_stay_in_their_track(percent, width):
    assert f'class="bar" style="width:{width}%"' in bar_chart([Bar("a", percent, "", [])])


def test_marks_say_what_they_are():
    html = bar_chart([Bar("a", 50, "50 %", [("mark-random", "random", 12.34)])])
    assert 'class="mark mark-random" style="left:12.34%" title="random: 12.3 %"' in html


def test_a_heat_map_frames_the_best_and_marks_the_unknown():
    html = heat_map(["row"], ["a", "b", "c"], [[-2.0, 4.0, None]], "points")
    cells = re.findall(r"<td[^>]*>[^<]*</td>", html)
    assert 'class="low"' in cells[0]
    assert "35%" in cells[0]
    assert 'class="high best"' in cells[1]
    assert "70%" in cells[1]
    assert cells[2] == '<td class="unknown">·</td>'


def test_a_heat_map_of_nothing_known_is_no_division_by_zero():
    assert heat_map(["row"], ["a"], [[None]], "points").count("·") == 1
    assert "0.0" in heat_map(["row"], ["a"], [[0.0]], "points")


def test_shares_of_a_stack_are_written_out():
    html = stacked_bar("whole", [("a", 0.25), ("b", 0.75)])
    assert "width:25.00%" in html
    assert "b <b>75%</b>" in html


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0, 100, [0, 20, 40, 60, 80, 100]), (-7, 7, [-5, 0, 5])],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456, "0.123"), (5.0, "5"), (1234.5, "1,234"), (25_000, "25k"), (-3.25, "-3.25")],
)
def test_numbers_are_short(value, expected):
    assert short(value) == expected


def test_a_range_is_never_empty():
    low, high = padded_range([0.0])
    assert low < 0 < high
