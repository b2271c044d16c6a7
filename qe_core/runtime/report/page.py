"""The report's page: what was learned, by whom, how good it is and how to check it.

What belongs here: the order of sections and their words. What does not: drawing (`charts`), style
(`style`), the sections on the pilot (`pilot`), on what serves (`rollout`), on the team (`team`)
and on the optimum (`optimum`).
"""

from html import escape

from qe_core.runtime.figures import AgentFigures, FleetFigures, SharedWeights
from qe_core.runtime.report.charts import Bar, Line, bar_chart, heat_map, legend, line_chart, stacked_bar
from qe_core.runtime.report.markup import section, table
from qe_core.runtime.report.optimum import optimum_section
from qe_core.runtime.report.pilot import pilot_section
from qe_core.runtime.report.rollout import alerts_section, rollout_section
from qe_core.runtime.report.style import STYLE_SHEET
from qe_core.runtime.report.team import team_section

VERDICT_CLASSES = {"converged": "good", "diverging": "bad", "stale": "warn"}


def page(figures: FleetFigures) -> str:
    """Return the whole page as HTML; the same figures give the same page."""
    sections = [
        _header(figures),
        alerts_section(figures.rollout),
        rollout_section(figures.rollout),
        team_section(figures.team),
        _reached_section(figures),
        optimum_section(figures.curves),
        pilot_section(figures.pilot),
        _agentssection(figures),
        _curvessection(figures),
        _hierarchysection(figures),
        _valuessection(figures),
        _footer(),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What the fleet learned</title><style>{STYLE_SHEET}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _header(figures: FleetFigures) -> str:
    agents = figures.agents
    reached = [line.reached.percent_of_optimum for line in agents if line.reached is not None]
    tiles = [
        (f"{len(agents)}", "agents in five categories"),
        (f"{sum(line.experiences for line in agents):,}", "experiences stored"),
        (f"{sum(line.episodes for line in agents):,}", "episodes played or imported"),
        (f"{sum(reached) / len(reached):.1f} %" if reached else "–", "of the exact optimum on average"),
        (f"{sum(line.verdict == 'converged' for line in agents)}", "agents converged"),
    ]
    shown = "".join(f"<li><b>{value}</b><span>{escape(what)}</span></li>" for value, what in tiles)
    return (
        "<header><h1>What the fleet learned</h1>"
        "<p>Each agent chooses, step by step, how to go about a quality-engineering task. This "
        "page shows which choices "
        "pay, as learned from the experiences in this database. Newest experience: "
        f"{escape(figures.newest)}.</p><ul class='tiles'>{shown}</ul></header>"
    )


def _reached_section(figures: FleetFigures) -> str:
    lines = [line for line in figures.agents if line.reached is not None]
    if not lines:
        return section(
            "How good is what was learned?", "<p>Nothing was learned in a simulated world yet.</p>"
        )
    bars = [_reached_bar(line) for line in lines]
    explained = (
        "<p>In its simulated world an agent's best possible result is known exactly. Bars show "
        "the exact value of the "
        "policy stored in PostgreSQL, in percent of that optimum; marks show choosing at random "
        "and always taking "
        "the best single action.</p>"
    )
    keys = legend([("bar", "learned policy"), ("mark-random", "random"), ("mark-fixed", "best fixed action")])
    return section("How good is what was learned?", explained + keys + bar_chart(bars))


def _reached_bar(line: AgentFigures) -> Bar:
    assert line.reached is not None, "only agents with exact values are drawn"
    reached = line.reached
    marks = [
        ("mark-random", "random", reached.percent(reached.random)),
        ("mark-fixed", f"always {reached.best_fixed_action}", reached.percent(reached.best_fixed)),
    ]
    return Bar(line.agent, reached.percent_of_optimum, f"{reached.percent_of_optimum:.1f} %", marks)


def _agentssection(figures: FleetFigures) -> str:
    headings = [
        "agent",
        "category",
        "verdict",
        "episodes",
        "updates",
        "states seen",
        "value",
        "optimum",
        "random",
        "best fixed",
        "best fixed action",
    ]
    rows = [_agent_row(line) for line in figures.agents]
    note = (
        '<p class="note">Values are points from the start of a task, discounted. Hover over a '
        "verdict to read what decided "
        "it.</p>"
    )
    return section("Agent by agent", table(headings, rows, text_columns=3) + note)


def _agent_row(line: AgentFigures) -> list[str]:
    style = VERDICT_CLASSES.get(line.verdict, "soft")
    verdict = f'<span class="{style}" title="{escape(line.reason)}">{escape(line.verdict)}</span>'
    counts = [f"{line.episodes:,}", f"{line.updates:,}", f"{line.states_visited:,}"]
    reached = line.reached
    values = ["–"] * 5
    if reached is not None:
        values = [
            f"{value:.1f}" for value in (reached.value, reached.optimum, reached.random, reached.best_fixed)
        ]
        values.append(escape(reached.best_fixed_action))
    return [escape(line.agent), escape(line.category), verdict, *counts, *values]


def _curvessection(figures: FleetFigures) -> str:
    charts = [
        line_chart(
            line.agent,
            [Line(line.agent, line.curve.episodes, line.curve.returns, "line-1")],
            "episode",
            "mean return, points",
        )
        for line in figures.agents
        if line.curve is not None and len(line.curve.episodes) > 1
    ]
    if not charts:
        return ""
    explained = (
        "<p>Mean return of consecutive groups of episodes, exploration included: what the agents "
        "earned while they were "
        "learning. Scales differ from agent to agent.</p>"
    )
    return section("Learning curves", f'{explained}<div class="charts">{"".join(charts)}</div>')


def _hierarchysection(figures: FleetFigures) -> str:
    if not figures.shared:
        return ""
    bars = "".join(stacked_bar(item.name, _shares(item)) for item in figures.shared)
    headings = ["table", "weight", "sum of its parts", "updates", "sum of its parts", "exact"]
    rows = [
        [
            escape(item.name),
            f"{item.weight:,.6f}",
            f"{sum(weight for _, weight in item.parts):,.6f}",
            f"{item.updates:,}",
            f"{item.part_updates:,}",
            '<span class="good">yes</span>' if item.is_exact else '<span class="bad">no</span>',
        ]
        for item in figures.shared
    ]
    explained = (
        "<p>Category tables are weighted means of their agents' tables, the fleet table of its "
        "categories'. The weight "
        "is the confidence in a value times the number of visits behind it. Sums are exact, not rounded.</p>"
    )
    return section("Who contributes to what is shared", explained + bars + table(headings, rows))


def _shares(item: SharedWeights) -> list[tuple[str, float]]:
    total = sum(weight for _, weight in item.parts) or 1.0
    return [(name, weight / total) for name, weight in item.parts]


def _valuessection(figures: FleetFigures) -> str:
    if not figures.fleet_values:
        return ""
    known = [
        (name, values)
        for name, values in zip(figures.fleet_states, figures.fleet_values, strict=True)
        if any(value is not None for value in values)
    ]
    shown = heat_map(
        [name for name, _ in known],
        figures.approaches,
        [values for _, values in known],
        "size, risk, track record",
    )
    explained = (
        "<p>The fleet table: what each approach was worth, in points, over everything all agents "
        "did, by what is known "
        "of any subject. The best approach of each row is framed; a dot means that nobody tried.</p>"
    )
    return section("Which approach pays where", explained + shown)


def _footer() -> str:
    return (
        "<footer><p>Every figure on this page is computed from the database, the recordings and "
        "the shipped experiment; <code>qe report</code> computes them again. "
        "<code>qe status --json</code> has the counts, "
        "<code>qe export values.csv --what q-tables</code> the values, <code>qe checks</code> "
        "runs all checks, "
        "<code>qe up</code> shows the graph that made the tables.</p></footer>"
    )
