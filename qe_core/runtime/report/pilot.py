"""The report's section on the recorded pilot.

What belongs here: the comparison in tables and curves. What does not: measuring it
(`qe_core.environments.recorded`).
"""

from html import escape

from qe_core.environments.recorded import PilotRow
from qe_core.environments.recorded.evaluation import LEARNED
from qe_core.runtime.pilot_figures import AIMED_OVER_RANDOM, AIMED_OVER_RULE, PilotFigures
from qe_core.runtime.report.charts import Line, legend, line_chart
from qe_core.runtime.report.markup import section, table

STYLES = ("line-1", "line-2", "line-quiet", "line-3")
HEADINGS = (
    "policy",
    "area (95 % interval)",
    "against strongest rule (95 % interval)",
    "against random",
    "branches",
    "mutants",
)


def pilot_section(figures: PilotFigures | None) -> str:
    """Return the pilot's section as HTML, or nothing where there is no comparison."""
    if figures is None:
        return ""
    compared = figures.comparison
    explained = (
        "<p>test-generator shares one scarce budget of CPU seconds among the modules of a project. It "
        "learned from recorded runs of real test generators on training packages; here its stored table "
        f"plays {compared.session_count} sessions per budget on packages it never saw "
        f"({escape(', '.join(compared.packages))}) and unseen repetitions. Area is that under the curve of "
        "branches covered over time, 1 at best; branches and mutants are shares reached at the end. Aim: "
        f"{AIMED_OVER_RULE:.0%} above the strongest simple rule and {AIMED_OVER_RANDOM:.0%} above random at "
        "3 and at 8 seconds a module.</p>"
    )
    tables = "".join(_budget(figures, budget) for budget in figures.budgets)
    return section("Real test generators, held-out packages", explained + _curves(figures) + tables)


def _curves(figures: PilotFigures) -> str:
    charts = []
    for budget in figures.budgets:
        lines = []
        for name, style in zip(figures.compared_names(budget), STYLES, strict=True):
            moments, shares = figures.comparison.curves[name, budget]
            lines.append(Line(name, (moments * budget).tolist(), shares.tolist(), style))
        title = f"{budget:g} CPU s a module"
        charts.append(line_chart(title, lines, "CPU seconds spent a module", "share of branches", (0.0, 1.0)))
    names = ("learned", "strongest simple rule", "random", "clairvoyant")
    keys = legend(list(zip(STYLES, names, strict=True)))
    return f'{keys}<div class="charts narrow">{"".join(charts)}</div>'


def _budget(figures: PilotFigures, budget: float) -> str:
    rows = [_row(row) for row in figures.rows_at(budget)]
    strongest = figures.comparison.strongest_rule[budget]
    rule = f"{strongest.removeprefix('rule: ')} ({figures.comparison.plans[strongest, budget]})"
    return (
        f"<h3>{budget:g} CPU s a module: {escape(figures.verdict_at(budget))}</h3>"
        f'<p class="note">Strongest simple rule: {escape(rule)}.</p>'
        f"{table(HEADINGS, rows)}"
    )


def _row(row: PilotRow) -> list[str]:
    name = escape(row.name)
    return [
        f"<b>{name}</b>" if row.name == LEARNED else name,
        f"{row.area:.3f} {_interval(f'{row.area_low:.3f} to {row.area_high:.3f}')}",
        f"{row.relative:+.1%} {_interval(f'{row.relative_low:+.1%} to {row.relative_high:+.1%}')}",
        f"{row.over_random:+.1%}",
        f"{row.branches:.1%}",
        f"{row.mutants:.1%}",
    ]


def _interval(text: str) -> str:
    return f'<span class="soft">({text})</span>'
