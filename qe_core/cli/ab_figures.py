"""The figures of a look at an A/B test, as tables.

What belongs here: how they are shown. What does not: commands (`ab_tests`) and what figures mean
(`qe_core.rollout`).
"""

from typing import TYPE_CHECKING

from rich.markup import escape

from qe_core.cli.screen import say, show_table

if TYPE_CHECKING:
    from qe_core.rollout.evidence import ArmSample
    from qe_core.rollout.verdicts import Judgement
    from qe_core.runtime.rollout.ab_testing import Analysis

STYLES = {
    "promote": "green",
    "stop for harm": "red",
    "invalid": "bold red",
    "stop for futility": "yellow",
    "stopped by hand": "yellow",
}


def styled(verdict: str) -> str:
    """Return a verdict with the colour it has everywhere."""
    style = STYLES.get(verdict)
    return f"[{style}]{verdict}[/]" if style else verdict


def show_look(look: "Analysis") -> None:
    """Print everything a test amounts to."""
    judgement = look.judgement
    for reason in judgement.reasons:
        say(f"  {escape(reason)}")
    show_table("Reward, treatment less control", ["figure", "is"], figures(judgement))
    stages = [
        (
            f"{stage.stage:d} %",
            f"{stage.treatment.count:,}",
            f"{stage.control.count:,}",
            _mean(stage.treatment),
            _mean(stage.control),
            stage.treatment.lost + stage.control.lost,
        )
        for stage in look.evidence
    ]
    headings = ["stage", "treated", "control", "reward treated", "reward control", "lost"]
    show_table("Stages", headings, stages, right=", ".join(headings))
    counts = [
        (f"{one.stage_percent} %", "[green]yes[/]" if one.is_sound else "[red]no[/]", escape(one.sentence))
        for one in judgement.counts
    ]
    show_table("Counts", ["stage", "sound", "what was found"], counts, right="stage")
    guardrails = [(one.measure.value, one.state.value, escape(one.sentence)) for one in judgement.guardrails]
    show_table("Guardrails", ["measure", "state", "what was found"], guardrails)


def figures(judgement: "Judgement") -> list[tuple[str, str]]:
    """Return every figure of a judgement with its name; those an invalid test does not have are left out."""
    of, effect = judgement.difference, judgement.effect
    lines: list[tuple[str, str]] = []
    if of is not None:
        lines += [
            ("units, treatment and control", f"{of.treated:,} and {of.untreated:,}"),
            ("difference, points", f"{of.estimate:.3f}"),
            (
                "interval that holds at every look",
                f"{_number(judgement.lower)} to {_number(judgement.upper)}",
            ),
            ("p-value of Welch's t-test, for one look", _number(of.p_value)),
        ]
    if effect is not None:
        lines += [
            ("Cohen's d", f"{effect.cohens_d:.3f}"),
            ("Hedges' g", f"{effect.hedges_g:.3f} ({effect.lower:.3f} to {effect.upper:.3f})"),
        ]
    needed, at_once = judgement.needed_units_per_arm, judgement.fixed_units_per_arm
    return [
        *lines,
        (
            "evidence that it is better",
            f"{judgement.e_benefit:.3g} (p = {judgement.always_valid_p:.3g} at every look)",
        ),
        ("evidence that it is worse", f"{judgement.e_harm:.3g}"),
        ("ordered figures reached (p, d, units)", "yes" if judgement.is_ordered_rule_met else "no"),
        ("power of a t-test, for one look", f"{judgement.power:.0%}"),
        ("units an arm needs", f"{needed:,} ({at_once:,} for one look)"),
        ("units to go", f"{judgement.units_to_go:,}"),
        ("days to go", _number(judgement.days_to_go)),
    ]


def _mean(arm: "ArmSample") -> str | None:
    return f"{arm.reward.mean:.2f}" if arm.count else None


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
