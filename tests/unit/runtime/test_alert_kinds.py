"""Every kind of alert has a page that answers the four questions."""

from pathlib import Path

import pytest

from qe_core.runtime.alert_kinds import RUNBOOKS, AlertKind

REPOSITORY = Path(__file__).parents[3]
QUESTIONS = ["## What it means", "## How to look", "## What to do", "## How to know that it is over"]


@pytest.mark.parametrize("kind", AlertKind)
def test_the_page_says_what_it_means_how_to_look_what_to_do_and_when_it_is_over(kind: AlertKind) -> None:
    text = (REPOSITORY / kind.runbook).read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")] == QUESTIONS


def test_the_overview_lists_every_page_and_no_other() -> None:
    pages = {path.name for path in (REPOSITORY / RUNBOOKS).glob("*.md")} - {"README.md"}
    assert pages == {f"{kind}.md" for kind in AlertKind}
    overview = (REPOSITORY / RUNBOOKS / "README.md").read_text(encoding="utf-8")
    for kind in AlertKind:
        assert f"| `{kind}` |" in overview
        assert f"({kind}.md)" in overview
