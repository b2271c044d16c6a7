"""What a look at a test shows, and what it must not show."""

from qe_core.cli.ab_figures import figures, styled
from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import ArmSample, StageEvidence
from qe_core.rollout.verdicts import Verdict, judge


def test_an_invalid_test_shows_no_effect_and_no_interval() -> None:
    few, many = ArmSample.of([1.0, 2.0] * 20), ArmSample.of([1.0, 2.0] * 200)
    judgement = judge([StageEvidence(Stage.HALF, few, many)])
    assert judgement.verdict is Verdict.INVALID
    names = {name for name, _ in figures(judgement)}
    assert not any("interval" in name or "Cohen" in name or "difference" in name for name in names)
    assert "units an arm needs" in names


def test_every_figure_of_a_sound_test_is_named() -> None:
    control, treatment = ArmSample.of([1.0, 2.0] * 60), ArmSample.of([2.0, 3.0] * 60)
    shown = dict(figures(judge([StageEvidence(Stage.HALF, control, treatment)], units_per_day=10.0)))
    assert shown["units, treatment and control"] == "120 and 120"
    assert shown["difference, points"] == "1.000"
    assert shown["days to go"] != "unknown"


def test_verdicts_have_one_colour_everywhere() -> None:
    assert styled("stop for harm") == "[red]stop for harm[/]"
    assert styled("continue") == "continue"
