"""The fleet's figures as tables in the terminal.

What belongs here: printing. What does not: the figures (`qe_core.runtime.figures`).
"""

from qe_core.cli.screen import say, show_table
from qe_core.cli.status import styled_verdict
from qe_core.runtime.figures import AgentFigures, FleetFigures


def show_figures(figures: FleetFigures) -> None:
    """Print one line for each agent, then what was reached and what the shared tables are made of."""
    headings = [
        "agent",
        "category",
        "episodes",
        "updates",
        "states",
        "value",
        "optimum",
        "of optimum",
        "random",
        "best fixed",
        "verdict",
    ]
    rows = [_row(line) for line in figures.agents]
    numbers = "episodes, updates, states, value, optimum, of optimum, random, best fixed"
    show_table("What each agent learned", headings, rows, right=numbers)
    say(
        "value: exact value, in points, of the greedy policy stored in PostgreSQL, from the start of a task; "
        "random and best fixed action in percent of the optimum."
    )
    if figures.shared:
        is_exact = all(table.is_exact for table in figures.shared)
        word = "add up exactly to" if is_exact else "[red]do not add up to[/]"
        say(f"{len(figures.shared)} shared tables; their weights and counts {word} those of their parts.")


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
