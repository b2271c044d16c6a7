"""`qe demo --team`: a team that learns together, and a newcomer who has something of it.

What belongs here: what is printed. What does not: what is done (`qe_core.runtime.team_demo`) and the page
(`qe_core.runtime.report.team_demo`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from qe_core.cli.opening import wait_for
from qe_core.cli.screen import note, progress_shown, say, show_table

if TYPE_CHECKING:
    from qe_core.runtime.team_demo.figures import TeamDemoFigures

PAGE, PICTURE = "team.html", "team-demo.png"


def team_demo(agents: Sequence[str], directory: Path) -> None:
    """Run the demo of team learning and show what came of it.

    Args:
        agents: who learns; none for every agent that can be shared.
        directory: where page and picture go.

    Raises:
        UnknownAgentError: an agent is not registered.
        PrivacyError: an agent cannot be shared.
        OutputError: the page cannot be written there.
    """
    from qe_core.runtime.report.team_demo import write_team_demo
    from qe_core.runtime.team_demo.run import play_team_demo

    with progress_shown() as progress:
        figures = wait_for(play_team_demo(agents, note, progress))
    write_team_demo(figures, directory / PAGE, directory / PICTURE)
    _show(figures)
    say(f"page: [bold]{escape(str(directory / PAGE))}[/], picture: {escape(str(directory / PICTURE))}")


def _show(figures: "TeamDemoFigures") -> None:
    _show_given(figures)
    _show_excerpts(figures)
    _show_refusals(figures)
    _show_newcomer(figures)


def _show_given(figures: "TeamDemoFigures") -> None:
    terms = figures.terms
    show_table(
        "What was shared, and at what price",
        [
            "member",
            "stands for",
            "tasks",
            "releases",
            "numbers in one",
            "kB",
            "ε so far",
            "of",
            "releases left",
        ],
        [
            [
                member.name,
                member.kind,
                f"{member.tasks:,}",
                f"{member.releases:,}",
                f"{member.cells:,}",
                f"{member.payload_bytes / 1000:,.0f}",
                f"{member.epsilon_spent:.3f}",
                f"{terms.privacy_epsilon_lifetime:g}",
                f"{member.releases_left:,}",
            ]
            for member in figures.members
        ],
        right="tasks,releases,numbers in one,kB,ε so far,of,releases left",
    )
    say(
        f"Protected is one {terms.protected_unit}: at most ε = {terms.privacy_epsilon:g} in a release and "
        f"{terms.privacy_epsilon_lifetime:g} over a lifetime, δ = {terms.privacy_delta:g}; "
        f"{terms.pairs} pairs of it count, rewards within ±{terms.clip_bound:g} points."
    )


def _show_excerpts(figures: "TeamDemoFigures") -> None:
    for excerpt in figures.excerpts:
        show_table(
            f"{excerpt.member} about {excerpt.agent}: noise with a standard deviation of {excerpt.noise:.0f}",
            ["state", "action", "visits in its own log", "what left"],
            [[row.state, row.action, f"{row.logged:,}", f"{row.shared:,}"] for row in excerpt.rows],
            right="visits in its own log,what left",
        )


def _show_refusals(figures: "TeamDemoFigures") -> None:
    show_table(
        "What was refused",
        ["tried", "answer"],
        [[escape(one.tried), escape(one.answer)] for one in figures.refusals],
    )
    for member in figures.members:
        if member.opted_out:
            say(f"{member.name} keeps {', '.join(member.opted_out)} to itself; of that its release is noise.")


def _show_newcomer(figures: "TeamDemoFigures") -> None:
    from qe_core.runtime.report.team_demo import speed_words
    from qe_core.runtime.team_demo.newcomers import speeds

    show_table(
        "What the team knows, and what a newcomer has of it",
        ["agent", "members", "pairs known", "of", "episode 0 with the team", "alone"],
        [
            [
                one.agent,
                one.contributors,
                f"{one.known:,}",
                f"{one.pairs:,}",
                f"{one.zero_shot:.1%}",
                f"{curves.alone[:, 0].mean():.1%}",
            ]
            for one, curves in zip(figures.knowledge, figures.curves, strict=True)
        ],
        right="members,pairs known,of,episode 0 with the team,alone",
    )
    show_table(
        "Episodes a newcomer needs, median over agents and newcomers (90 % interval)",
        ["until, for good", "alone", "with the team", "never alone", "never with the team"],
        [
            [
                f"{speed.target:.0%} of the optimum",
                speed_words(speed.alone),
                speed_words(speed.with_team),
                f"{speed.unreached[0]} of {speed.newcomers}",
                f"{speed.unreached[1]} of {speed.newcomers}",
            ]
            for speed in speeds(figures.curves)
        ],
        right="alone,with the team,never alone,never with the team",
    )
    say(
        f"{figures.newcomer_database} pulled, played {figures.newcomer_episodes:,} episodes of each agent "
        f"and holds tables worth {figures.newcomer_share:.1%} of the optimum."
    )
