"""Charts as inline SVG and HTML that follow the page's colours, light or dark.

What belongs here: drawing numbers that were computed elsewhere. What does not: the numbers (`figures`), the
page (`page`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 10, 30
TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend and the tooltip.
        x: ascending, at least one value.
        y: as many values; not finite where the line has a gap.
        style: a class of the style sheet, ``line-1`` to ``line-6`` or ``line-quiet``.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar with marks to compare it by, all in percent of the same whole.

    Attributes:
        name: in front of the bar.
        percent: its length, 0 to about 100; shorter than 0 is drawn as 0.
        label: behind the bar.
        marks: (class of the style sheet, what it is, percent).
    """

    name: str
    percent: float
    label: str
    marks: Sequence[tuple[str, str, float]]


def line_chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    y_range: "Range | None" = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """Return a chart of lines as SVG; its text alternative names every line's last value.

    Args:
        title: above it.
        lines: at least one, each with at least one finite value.
        x_label: under the axis, with the unit.
        y_label: over the axis, with the unit.
        y_range: the same for charts to be compared; by default what the lines need.
        x_ticks: (place, words) under the axis; by default round numbers.
    """
    finite = [value for line in lines for value in line.y if math.isfinite(value)]
    low, high = y_range or padded_range(finite)
    x_low = min(line.x[0] for line in lines)
    x_high = max(max(line.x[-1] for line in lines), x_low + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return across, up

    parts = []
    for value in nice_ticks(low, high):
        _, y = place(x_low, value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_tick(LEFT - 6, y + 3.5, "end", short(value)))
    for value, words in x_ticks or [(value, short(value)) for value in nice_ticks(x_low, x_high)]:
        x, _ = place(value, low)
        parts.append(_tick(x, HEIGHT - BOTTOM + 14, "middle", words))
    parts.append(_tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, "middle", x_label))
    for line in lines:
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        name = f"<title>{escape(line.name)}</title>"
        parts.append(f'<polyline class="line {line.style}" points="{path}">{name}</polyline>')
    alternative = "; ".join(f"{line.name} ends at {short(_last(line.y))}" for line in lines)
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b><span>{escape(y_label)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {alternative}")}">'
        f"{''.join(parts)}</svg></figure>"
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return a legend of (class of the style sheet, name)."""
    items = "".join(f'<li><i class="swatch {style}"></i>{escape(name)}</li>' for style, name in entries)
    return f'<ul class="legend">{items}</ul>'


def bar_chart(bars: Sequence[Bar], axis_percent: float = 100.0) -> str:
    """Return horizontal bars as HTML; the right edge stands for ``axis_percent``."""
    rows = []
    for bar in bars:
        marks = "".join(
            f'<i class="mark {style}" style="left:{_clipped(value, axis_percent):.2f}%" '
            f'title="{escape(f"{what}: {value:.1f} %")}"></i>'
            for style, what, value in bar.marks
        )
        width = _clipped(bar.percent, axis_percent)
        rows.append(
            f'<div class="bar-row"><div class="bar-name">{escape(bar.name)}</div>'
            f'<div class="bar-track"><i class="bar" style="width:{width:.2f}%"></i>'
            f'{marks}</div><div class="bar-label">{escape(bar.label)}</div></div>'
        )
    return f'<div class="bars">{"".join(rows)}</div>'


def stacked_bar(name: str, shares: Sequence[tuple[str, float]]) -> str:
    """Return one bar made of named shares of a whole, with the shares written out below.

    Args:
        name: of the whole.
        shares: (name, share in [0, 1]).
    """
    pieces = "".join(
        f'<i class="piece piece-{index % 6 + 1}" style="width:{share * 100:.2f}%" '
        f'title="{escape(part)}: {share:.1%}"></i>'
        for index, (part, share) in enumerate(shares)
    )
    named = "".join(
        f'<li><i class="swatch piece-{index % 6 + 1}"></i>{escape(part)} <b>{share:.0%}</b></li>'
        for index, (part, share) in enumerate(shares)
    )
    bar = f'<div class="stack-bar">{pieces}</div><ul class="legend">{named}</ul>'
    return f'<div class="stack"><h4>{escape(name)}</h4>{bar}</div>'


def heat_map(
    row_names: Sequence[str], column_names: Sequence[str], values: Sequence[Sequence[float | None]], unit: str
) -> str:
    """Return a table whose cells are coloured by value: red below 0, blue above, none where unknown."""
    largest = max((abs(value) for row in values for value in row if value is not None), default=1.0) or 1.0
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in column_names)
    body = []
    for name, row in zip(row_names, values, strict=True):
        best = max((value for value in row if value is not None), default=None)
        cells = "".join(_cell(value, largest, value is not None and value == best) for value in row)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="heat"><thead><tr><th>{escape(unit)}</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


Range = tuple[float, float]


def padded_range(values: Sequence[float]) -> Range:
    """Return a range that holds all values with a little room, never empty."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.1
    return low - room, high + room


def nice_ticks(low: float, high: float) -> list[float]:
    """Return about four round numbers inside the range (Heckbert 1990, Graphics Gems)."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def short(value: float) -> str:
    """Return a number with as few digits as it takes to tell it from its neighbours."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _tick(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cell(value: float | None, largest: float, is_best: bool) -> str:
    if value is None:
        return '<td class="unknown">·</td>'
    side = "high" if value >= 0 else "low"
    strength = round(abs(value) / largest * 70)
    mark = " best" if is_best else ""
    colour = f"background:color-mix(in srgb, var(--{side}) {strength}%, transparent)"
    return f'<td class="{side}{mark}" style="{colour}">{value:.1f}</td>'


def _clipped(percent: float, axis_percent: float) -> float:
    return max(0.0, min(100.0, percent / axis_percent * 100.0))


def _last(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if math.isfinite(value)), math.nan)
