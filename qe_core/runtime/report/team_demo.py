"""The page on the demo of team learning: what was shared, at what price, and what a newcomer has of it.

What belongs here: words and charts. What does not: the figures (`qe_core.runtime.team_demo`).
"""

import math
from html import escape
from pathlib import Path

import numpy as np

from qe_core.runtime.files import replaced_file, write_text
from qe_core.runtime.report.charts import Line, legend, line_chart
from qe_core.runtime.report.markup import section, table
from qe_core.runtime.report.style import STYLE_SHEET
from qe_core.runtime.team_demo.figures import Excerpt, MemberFigures, TeamDemoFigures
from qe_core.runtime.team_demo.newcomers import LOOKS, NewcomerCurves, Speed, speeds
from qe_core.runtime.team_demo.picture import draw_newcomers

TICKS = (0, 10, 50, 200, 600)
"""Numbers of episodes that are written under the charts."""


def team_demo_page(figures: TeamDemoFigures) -> str:
    """Return the whole page as HTML; the same figures give the same page."""
    sections = [
        _header(figures),
        _newcomer_section(figures),
        _given_section(figures),
        _price_section(figures),
        _refusals_section(figures),
        _knowledge_section(figures),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What a team learns together</title><style>{STYLE_SHEET}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def episodes_words(count: float) -> str:
    """Return a number of episodes, or that it was never reached."""
    return f"{count:,.0f}" if math.isfinite(count) else f"over {LOOKS[-1]:,}"


def speed_words(measured: tuple[float, float, float]) -> str:
    """Return a median with its 90 % interval."""
    middle, low, high = map(episodes_words, measured)
    return f"{middle} ({low} to {high})"


def _header(figures: TeamDemoFigures) -> str:
    first = np.concatenate([one.with_team[:, 0] for one in figures.curves])
    alone = np.concatenate([one.alone[:, 0] for one in figures.curves])
    tiles = [
        (f"{len(figures.members)}", "databases contributed"),
        (f"{sum(member.tasks for member in figures.members):,}", "finished tasks between them"),
        (f"{figures.terms.privacy_epsilon:g}", f"ε of a release, δ = {figures.terms.privacy_delta:g}"),
        (f"{first.mean():.0%}", "of the optimum, before a newcomer's first episode"),
        (f"{alone.mean():.0%}", "of it without the team"),
    ]
    shown = "".join(f"<li><b>{value}</b><span>{escape(what)}</span></li>" for value, what in tiles)
    return (
        "<header><h1>What a team learns together</h1><p>Three developers and a CI runner learned in "
        "databases of their own. What left each of them are counts with noise, made before they left. From "
        "these the team's server made tables, and a newcomer who had never done anything pulled them.</p>"
        f"<ul class='tiles'>{shown}</ul></header>"
    )


def _newcomer_section(figures: TeamDemoFigures) -> str:
    rows = [_speed_row(speed) for speed in speeds(figures.curves)]
    newcomers = len(figures.curves[0].alone)
    explained = (
        f"<p>{newcomers} newcomers of each of {len(figures.curves)} agents, in the world the team had "
        "learned in. In it the best possible result is known exactly, so each look is the exact value of "
        "what the newcomer would do. With and without the team it lives through the same episodes; only "
        "its table differs. Noise cannot be repeated, so these are the figures of this team's releases.</p>"
    )
    headings = ["until, for good", "alone", "with the team", "never alone", "never with the team"]
    keys = legend([("line-2", "alone"), ("line-1", "with the team")])
    charts = "".join(_chart(one) for one in figures.curves)
    ended = (
        f'<p class="note">The database <code>{escape(figures.newcomer_database)}</code> really pulled and '
        f"then played {figures.newcomer_episodes:,} episodes of each agent: the tables stored in it are "
        f"worth {figures.newcomer_share:.1%} of the optimum on average. Intervals are 90 %, by bootstrap "
        "over newcomers. Alone, a newcomer's table knows only its own log; what agents of the fleet tell "
        "each other is compared by <code>qe experiment transfer</code>.</p>"
    )
    return section(
        "How much faster a newcomer learns",
        f'{explained}{table(headings, rows)}{keys}<div class="charts narrow">{charts}</div>{ended}',
    )


def _speed_row(speed: Speed) -> list[str]:
    lost_alone, lost_with = speed.unreached
    return [
        f"{speed.target:.0%} of the optimum",
        f"{speed_words(speed.alone)} episodes",
        f"{speed_words(speed.with_team)} episodes",
        f"{lost_alone} of {speed.newcomers}",
        f"{lost_with} of {speed.newcomers}",
    ]


def _chart(curves: NewcomerCurves) -> str:
    episodes = [_place(count) for count in LOOKS]
    lines = [
        Line("alone", episodes, curves.alone.mean(axis=0).tolist(), "line-2"),
        Line("with the team", episodes, curves.with_team.mean(axis=0).tolist(), "line-1"),
    ]
    ticks = [(_place(count), f"{count}") for count in TICKS]
    return line_chart(curves.agent, lines, "episodes", "share of the optimum", (-0.2, 1.0), ticks)


def _place(episodes: int) -> float:
    """Return where a number of episodes stands: the first few have room, hundreds do not need it."""
    return math.log10(episodes + 10) - 1


def _given_section(figures: TeamDemoFigures) -> str:
    headings = [
        "member",
        "stands for",
        "database",
        "tasks",
        "steps in its log",
        "releases",
        "numbers in one",
        "kB",
    ]
    rows = [
        [
            escape(member.name),
            escape(member.kind),
            f"<code>{escape(member.database)}</code>",
            f"{member.tasks:,}",
            f"{member.experiences:,}",
            f"{member.releases:,}",
            f"{member.cells:,}",
            f"{member.payload_bytes / 1000:,.0f}",
        ]
        for member in figures.members
    ]
    explained = (
        "<p>A release holds the same numbers for every agent and every pair, tried or not, each with noise "
        "from OpenDP: what a pair was tried, what it earned, and what followed. That somebody did or did "
        "not do something cannot be read off what is there and what is missing, because nothing is "
        "missing.</p>"
    )
    excerpts = "".join(_excerpt(one) for one in figures.excerpts)
    return section("What was shared", explained + table(headings, rows, text_columns=3) + excerpts)


def _excerpt(excerpt: Excerpt) -> str:
    headings = ["state", "action", "visits in its own log", "what left the machine"]
    rows = [
        [
            f'<span class="wide">{escape(row.state)}</span>',
            escape(row.action),
            f"{row.logged:,}",
            f"{row.shared:,}",
        ]
        for row in excerpt.rows
    ]
    return (
        f"<h3>{escape(excerpt.member)} about {escape(excerpt.agent)}</h3>"
        f'<p class="note">Noise on each count has a standard deviation of {excerpt.noise:.0f}; the number '
        f"of tasks left as {excerpt.units:,}. The log has every visit; of a task only the first one of a "
        f"pair leaves, and only so many pairs.</p>{table(headings, rows, text_columns=2)}"
    )


def _price_section(figures: TeamDemoFigures) -> str:
    terms = figures.terms
    unit = escape(terms.protected_unit)
    explained = (
        f"<p>Protected is one {unit}: whoever sees everything that left a machine, and knows everything "
        f"else, can hardly tell whether any one {unit} is in it as it was or contributed nothing. A {unit} "
        f"counts for at most {terms.pairs} pairs and rewards within ±{terms.clip_bound:g} points. A task "
        f"is in one release only and loses ε = {terms.privacy_epsilon:g} at most; over all releases, as if "
        f"the same {unit} came back in each, the ledger of each database stops at ε = "
        f"{terms.privacy_epsilon_lifetime:g} (δ = {terms.privacy_delta:g}). How many tasks a database "
        "finished, and when it releases, is not hidden.</p>"
    )
    headings = ["member", "ε of a release", "ε over its lifetime so far", "of", "releases left"]
    rows = [_price_row(member, figures) for member in figures.members]
    return section("What it cost", explained + table(headings, rows))


def _price_row(member: MemberFigures, figures: TeamDemoFigures) -> list[str]:
    return [
        escape(member.name),
        f"{figures.terms.privacy_epsilon:g}",
        f"{member.epsilon_spent:.3f}",
        f"{figures.terms.privacy_epsilon_lifetime:g}",
        f"{member.releases_left:,}",
    ]


def _refusals_section(figures: TeamDemoFigures) -> str:
    rows = [
        [escape(one.tried), f'<span class="wide">{escape(one.answer)}</span>'] for one in figures.refusals
    ]
    kept = [
        f"<li><b>{escape(member.name)}</b> keeps {escape(', '.join(member.opted_out))} to itself: in its "
        "release they are nothing but noise.</li>"
        for member in figures.members
        if member.opted_out
    ]
    listed = f"<ul>{''.join(kept)}</ul>" if kept else ""
    return section("What was refused", table(["tried", "answer"], rows, text_columns=2) + listed)


def _knowledge_section(figures: TeamDemoFigures) -> str:
    headings = ["agent", "members counted", "pairs known", "pairs there are", "of the optimum at episode 0"]
    rows = [
        [
            escape(one.agent),
            f"{one.contributors}",
            f"{one.known:,}",
            f"{one.pairs:,}",
            f"{one.zero_shot:.1%}",
        ]
        for one in figures.knowledge
    ]
    note = (
        '<p class="note">A pair is known where enough was reported about it, noise allowed for. Who reports '
        "nothing that stands out from noise, about an agent it opted out for example, is not counted.</p>"
    )
    return section("What the team knows", table(headings, rows) + note)


def write_team_demo(figures: TeamDemoFigures, page_path: Path, picture_path: Path) -> None:
    """Write page and picture; both appear when they are complete.

    Args:
        figures: what to show.
        page_path: the HTML file; its directory is made if missing.
        picture_path: the PNG file, in an existing directory once the page is there.

    Raises:
        OutputError: they cannot be written there.
    """
    write_text(page_path, team_demo_page(figures))
    with replaced_file(picture_path) as temporary:
        draw_newcomers(figures.curves, temporary)
