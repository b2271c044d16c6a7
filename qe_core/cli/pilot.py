"""`qe pilot`: the first hundred tasks of an agent, learned live and watched meanwhile.

What belongs here: arguments, progress and tables. What does not: playing and judging
(`qe_core.runtime.pilot`).
"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from qe_core.cli.opening import wait_for
from qe_core.cli.screen import figures_shown, note, say, show_table
from qe_core.cli.serving import DEFAULT_PORT, serve_until_interrupted
from qe_core.cli.status import styled_verdict

if TYPE_CHECKING:
    from qe_core.runtime.pilot.patterns import Patterns
    from qe_core.runtime.pilot.plan import PilotPlan
    from qe_core.runtime.pilot.run import PilotReport, PilotState
    from qe_core.runtime.value_reached import ValueReached

SHOWN_PATTERNS = 12
"""How many patterns are shown: those met most often."""


def pilot(
    is_recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Over recorded outcomes of real tools, judged on held-out packages."),
    ] = False,
    tasks: Annotated[int, typer.Option(min=1, help="Test generation tasks.")] = 100,
    episodes: Annotated[int, typer.Option(min=1, help="Learning episodes; each does every task once.")] = 50,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the tasks, their answers and the agent's chances.")
    ] = 0,
    world_seed: Annotated[int, typer.Option(min=0, help="Which simulated world.")] = 0,
    is_fresh: Annotated[bool, typer.Option("--fresh", help="Forget the pilot played before.")] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="Open the Dagster web UI beside it, until Ctrl-C, to watch it learn.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the web UI.")] = DEFAULT_PORT,
) -> None:
    """Let the test generator learn live from 100 tasks in 50 learning episodes, and watch it converge.

    A learning episode does each task once: 5,000 tasks, several decisions each, through the same loop as any
    agent's work. Ten times meanwhile the Dagster graph turns the log into tables, statistics windows, curves
    and a verdict. In the simulated world the optimum is exact, so at the end you see what was reached, and
    every learned pattern beside the best.

    The pilot has a home and a database of its own, .qe/pilot/synthetic or .qe/pilot/recorded; what the fleet
    has learned is not touched. A second run goes on where an interrupted one stopped; when all was played it
    plays nothing and shows the same again.

    Examples:
        qe pilot
        qe pilot --ui
        qe pilot --recorded
        qe pilot --tasks 20 --episodes 10 --fresh
        QE_HOME=.qe/pilot/synthetic qe status
    """
    from qe_core.config import home_apart
    from qe_core.runtime.collector import calm_collector
    from qe_core.runtime.pilot.plan import PilotPlan, forget, pilot_database, pilot_home
    from qe_core.runtime.pilot.run import run_pilot

    plan = PilotPlan(is_recorded, tasks, episodes, seed, world_seed)
    home = pilot_home(plan)
    if ui:
        from qe_core.runtime.serving import require_free_port

        require_free_port(port)
    if is_fresh:
        forget(home)

    async def play() -> None:
        """Play, and print what came of it."""
        calm_collector()
        with figures_shown(plan.tasks * plan.episodes) as show:
            report = await run_pilot(plan, lambda state: show(state.done, _figures(plan, state)))
        _show(report)

    async def play_by_itself() -> None:
        """Play with nothing but the database."""
        async with pilot_database():
            await play()

    note(f"the pilot's home is {home}")
    with home_apart(home):
        if ui:
            serve_until_interrupted(port, play)
        else:
            wait_for(play_by_itself())


def _figures(plan: "PilotPlan", state: "PilotState") -> str:
    """Return the figures that matter while it plays."""
    parts = [
        f"learning episode {state.episodes} of {plan.episodes}",
        f"mean return {state.mean_return:.1f} points",
        f"exploring {state.exploration_rate:.0%}",
    ]
    if state.reached is not None:
        parts.append(f"value {state.reached.percent_of_optimum:.0f} % of the optimum")
    if state.seen is not None:
        parts.append(f"{state.seen.verdict} ({len(state.seen.windows)} windows)")
    return ", ".join(parts)


def _show(report: "PilotReport") -> None:
    """Print what came of it."""
    plan, seen = report.plan, report.seen
    if report.tasks_before:
        note(
            f"{report.tasks_before:,} tasks had been done before; "
            + (f"{report.tasks_now:,} more were done now" if report.tasks_now else "nothing was played now")
        )
    if report.reached is not None:
        _show_values(report.reached)
    if report.patterns is not None:
        _show_patterns(report.patterns)
    if report.compared is not None:
        from qe_core.cli.figure_tables import show_pilot

        show_pilot(report.compared)
    if len(report.returns) > 1:
        first, last = report.returns[0], report.returns[-1]
        say(
            f"mean return of a task: {first:.1f} points in the first learning episode, {last:.1f} in the last"
        )
    for change in report.adjustments:
        say(
            f"answered divergence at {change.adjusted_at:%T} UTC: {change.learning_rate_factor:g} of the "
            f"learning rate, at least {change.exploration_floor:g} exploration ({escape(change.reason)})"
        )
    verdict = styled_verdict(seen.verdict)
    windows = f"{len(seen.windows)} window{'' if len(seen.windows) == 1 else 's'}"
    say(f"verdict: [bold]{verdict}[/] after {windows}: {escape(seen.reason)}")
    say(f"by the ordered four criteria alone: {styled_verdict(seen.ordered_verdict)}")
    if report.tasks_now:
        say(
            f"{report.tasks_now:,} {plan.kind} tasks, {report.steps:,} decisions recorded, "
            f"the graph looked {report.rounds} times: {report.seconds:.0f} s"
        )


def _show_values(reached: "ValueReached") -> None:
    rows = [
        ("exact optimum", reached.optimum),
        ("[bold]learned[/]", reached.value),
        (f"best fixed action: {reached.best_fixed_action}", reached.best_fixed),
        ("random", reached.random),
    ]
    shown = [(name, f"{value:.2f}", f"{reached.percent(value):.1f} %") for name, value in rows]
    show_table(
        "Exact value over the tasks", ["policy", "points", "of optimum"], shown, right="points, of optimum"
    )


def _show_patterns(patterns: "Patterns") -> None:
    rows = [
        (one.situation, f"{one.met:,}", one.learned, one.best, f"{one.loss:.1f}")
        for one in patterns.all[:SHOWN_PATTERNS]
    ]
    headings = ["in this situation", "met", "it learned", "the best is", "loses"]
    show_table("Learned patterns, the most often met first", headings, rows, right="met, loses")
    say(
        f"In {patterns.right} of {len(patterns.all)} situations that were met, and for "
        f"{patterns.right_share_of_decisions:.0%} of the decisions, the learned action is the best one or "
        f"loses at most {patterns.tie_points:.1f} points; the mean loss is {patterns.mean_loss:.2f} points."
    )
