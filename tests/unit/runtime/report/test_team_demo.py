"""The page on the demo of team learning, of made-up figures."""

from pathlib import Path

import numpy as np

from qe_core.runtime.report.team_demo import speed_words, team_demo_page, write_team_demo
from qe_core.runtime.team_demo.figures import (
    AgentKnowledge,
    Excerpt,
    ExcerptRow,
    MemberFigures,
    Refusal,
    TeamDemoFigures,
    Terms,
)
from qe_core.runtime.team_demo.newcomers import LOOKS, NewcomerCurves, speeds

NEVER = np.full(len(LOOKS), 0.5)
AT_ONCE = np.full(len(LOOKS), 0.99)
AFTER_TEN = np.where(np.array(LOOKS) >= 10, 0.9, 0.1)
CURVES = NewcomerCurves("quality-gate", np.array([NEVER, AFTER_TEN]), np.array([AT_ONCE, AFTER_TEN]))
FIGURES = TeamDemoFigures(
    terms=Terms("task", 5, 100.0, 1.0, 8.0, 1e-6),
    members=(
        MemberFigures(
            "ada <x>", "a developer", "qe_demo_ada", 51_000, 194_063, 1, 326_753, 548_000, 1.0, 42, ()
        ),
        MemberFigures("grace", "a developer", "qe_demo_grace", 1, 1, 1, 1, 1, 1.0, 42, ("quality-gate",)),
    ),
    excerpts=(Excerpt("ada <x>", "quality-gate", 19.6, 3_010, (ExcerptRow("risk low", "gate", 713, 5),)),),
    refusals=(Refusal("ada tried", "the team has 2 contributors"),),
    knowledge=(AgentKnowledge("quality-gate", 4, 38, 11_664, 0.99),),
    curves=(CURVES,),
    newcomer_database="qe_demo_newcomer",
    newcomer_episodes=200,
    newcomer_share=0.988,
)


def test_targets_are_reached_when_they_are_kept() -> None:
    at_80, at_95 = speeds([CURVES])
    assert at_80.unreached == (1, 0)
    assert (at_80.alone[0], at_80.with_team[0]) == (10.0, 0.0)
    assert at_95.unreached == (2, 1)
    assert at_95.with_team[0] == 0.0
    assert np.isinf(at_95.alone[0])
    assert speed_words(at_95.alone) == "over 600 (over 600 to over 600)"


def test_page_tells_what_left_what_it_cost_and_what_was_refused() -> None:
    html = team_demo_page(FIGURES)
    assert html.count("<section>") == html.count("</section>") == 5
    assert "ada &lt;x&gt;" in html
    assert "<x>" not in html
    assert "326,753" in html
    assert "<td>713</td><td>5</td>" in html
    assert "standard deviation of 20" in html
    assert "the team has 2 contributors" in html
    assert "keeps quality-gate to itself" in html
    assert "the ledger of each database stops at ε = 8" in html
    assert "98.8%" in html
    assert html == team_demo_page(FIGURES)


def test_page_and_picture_appear_in_a_new_directory(tmp_path: Path) -> None:
    page, picture = tmp_path / "made here" / "team.html", tmp_path / "made here" / "team-demo.png"
    write_team_demo(FIGURES, page, picture)
    assert page.read_text(encoding="utf-8") == team_demo_page(FIGURES)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in page.parent.iterdir()) == ["team-demo.png", "team.html"]
