"""The fleet's figures as tables in the terminal.

What belongs here: printing. What does not: the figures (`qe_core.runtime.figures`).
"""

from qe_core.cli.screen import say, show_table
from qe_core.cli.status import styled_verdict
from qe_core.environments.recorded.evaluation import LEARNED
from qe_core.runtime.figures import AgentFigures, FleetFigures
from qe_core.runtime.pilot_figures import PilotFigures


def show_figures(figures: FleetFigures) -> None:
    """Print one line for each agent, then what was reached and what the shared tables are made of."""
    headings = ["agent", "category", "episodes", "updates", "states", "value", "optimum", "reached"]
    headings += ["random", "fixed", "verdict"]
    rows = [_row(line) for line in figures.agents]
    numbers = "episodes, updates, states, value, optimum, reached, random, fixed"
    show_table("What each agent learned", headings, rows, right=numbers)
    say(
        "value: exact value, in points, of the greedy policy stored in PostgreSQL, from the start of a task; "
        "reached, random and (best) fixed action in percent of the exact optimum."
    )
    if figures.pilot is not None:
        show_pilot(figures.pilot)
    if figures.shared:
        is_exact = all(table.is_exact for table in figures.shared)
        word = "add up exactly to" if is_exact else "[red]do not add up to[/]"
        say(f"{len(figures.shared)} shared tables; their weights and counts {word} those of their parts.")


def show_pilot(pilot: PilotFigures, is_complete: bool = False) -> None:
    """Print the pilot's comparison, a table for each budget.

    Args:
        pilot: what was measured.
        is_complete: show all policies; otherwise the learned one, the rules, random and the clairvoyant.
    """
    headings = [
        "policy",
        "area",
        "95 % interval",
        "against rule",
        "95 % interval",
        "against random",
        "mutants",
    ]
    for budget in pilot.budgets:
        rows = [
            (
                f"[bold]{row.name}[/]" if row.name == LEARNED else row.name,
                f"{row.area:.3f}",
                f"{row.area_low:.3f} to {row.area_high:.3f}",
                f"{row.relative:+.1%}",
                f"{row.relative_low:+.1%} to {row.relative_high:+.1%}",
                f"{row.over_random:+.1%}",
                f"{row.mutants:.1%}",
            )
            for row in pilot.rows_at(budget)
            if is_complete or not row.name.startswith("only ")
        ]
        words = pilot.verdict_at(budget)
        title = f"test-generator on held-out packages, {budget:g} CPU s a module: {words}"
        show_table(title, headings, rows, right=", ".join(headings[1:]))
    say("area: under the curve of branches covered over time, 1 at best; rule: the strongest simple one.")


def _row(line: AgentFigures) -> list[str | None]:
    base: list[str | None] = [
        line.agent,
        line.category,
        f"{line.episodes:,}",
        f"{line.updates:,}",
        f"{line.states_visited:,}",
    ]
    reached = line.reached
    values: list[str | None] = [None] * 5
    if reached is not None:
        values = [
            f"{reached.value:.1f}",
            f"{reached.optimum:.1f}",
            f"{reached.percent_of_optimum:.1f} %",
            f"{reached.percent(reached.random):.0f} %",
            f"{reached.percent(reached.best_fixed):.0f} %",
        ]
    return [*base, *values, styled_verdict(line.verdict)]
