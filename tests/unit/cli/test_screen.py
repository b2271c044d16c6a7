"""What people see where there is no terminal, and where there is one."""

import io

import pytest
from rich.console import Console

from qe_core.cli import screen
from qe_core.cli.help import with_kept_lines
from qe_core.errors import ConfigError


def test_an_error_is_shown_as_it_is_with_brackets_and_line_ends(capsys):
    screen.show_error(ConfigError("value [red] is wrong\nuse [0, 1]"))
    output, complaints = capsys.readouterr()
    assert output == ""
    assert complaints == "error: value [red] is wrong\nuse [0, 1]\n"


def test_a_name_between_colons_is_no_emoji(capsys):
    screen.say("rows as import:b: 3 new")
    assert capsys.readouterr().out == "rows as import:b: 3 new\n"


def test_a_table_shows_missing_values_as_dashes(capsys):
    screen.show_table("Title", ["name", "count"], [("a", None)], right="count")
    output = capsys.readouterr().out
    assert "Title" in output
    assert "–" in output


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(screen.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_plain_log_hears_what_begins_and_then_now_and_again(capsys, clock):
    with screen.progress_shown() as progress:
        progress("learning", 0, None)
        for second in range(25):
            clock.now = 100.0 + second
            progress("learning", second, 25)
    assert capsys.readouterr().err.splitlines() == ["learning", "learning 11 of 25", "learning 22 of 25"]


def test_a_plain_log_hears_nothing_of_what_is_quick(capsys, clock):
    with screen.progress_shown() as progress:
        progress("checking", 5, 10)
        clock.now += 1.0
        progress("checking", 10, 10)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_for_each_thing_done(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(screen, "console", lambda **_options: terminal)
    with screen.progress_shown() as progress:
        progress("checking", 5, None)
        progress("importing", 5, 10)
    assert "importing" in terminal.file.getvalue()


def test_a_plain_log_hears_the_figures_now_and_then_and_at_the_end(capsys, clock):
    with screen.figures_shown(5_000) as show:
        for done in range(0, 5_001, 1_000):
            show(done, f"value {done // 100} %")
            clock.now += 4.0
    assert capsys.readouterr().err.splitlines() == [
        "0 of 5,000  value 0 %",
        "3,000 of 5,000  value 30 %",
        "5,000 of 5,000  value 50 %",
    ]


def test_a_narrow_terminal_shows_all_figures_beside_the_bar(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(screen, "console", lambda **_options: terminal)
    figures = [f"figure{number}" for number in range(12)]
    with screen.figures_shown(5_000) as show:
        show(100, ", ".join(figures))
    shown = terminal.file.getvalue()
    assert "100/5000" in shown
    assert all(figure in shown for figure in figures)


def test_indented_paragraphs_of_a_help_text_keep_their_lines():
    text = "First.\n\nSome words\nthat wrap.\n\nExamples:\n    qe up\n    qe down\n\nLast."
    assert with_kept_lines(text) == text.replace("Examples:", "\b\nExamples:")
    assert with_kept_lines(None) is None
