"""What people see: tables, messages and progress, on a terminal or in a plain log.

What belongs here: consoles and the widgets all commands share. What does not: what is shown.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

PLAIN_WIDTH = 170
"""Columns used where the output is no terminal, so that tables in logs are not cut."""

QUICK_SECONDS = 2.0
"""What takes no longer than this is not worth a word in a plain log."""

QUIET_SECONDS = 10.0
"""How often a plain log hears of progress within one step."""


class ReportProgress(Protocol):
    """Told what is being done, how far it is and, where known, how far it goes."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show progress."""


def console(is_error: bool = False) -> Console:
    """Return a console for standard output, or for standard error."""
    found = Console(stderr=is_error, highlight=False, emoji=False)  # import:b: is a source, not a picture
    if not found.is_terminal:
        found.width = PLAIN_WIDTH
    return found


def say(text: str) -> None:
    """Print a line for people; it may carry rich markup."""
    console().print(text)


def note(text: str) -> None:
    """Print a line for people to standard error, as it is."""
    console(is_error=True).print(escape(text))


def show_error(error: Exception) -> None:
    """Print what went wrong and what to do, as the error says it."""
    console(is_error=True).print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> None:
    """Print a table.

    Args:
        title: above it.
        columns: headings; those that hold numbers are aligned by ``right``.
        rows: one cell per column; None is shown as a dash. A text may carry rich markup.
        right: headings aligned to the right, separated by commas.
    """
    numbers = {name.strip() for name in right.split(",")}
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    console().print(table)


@contextmanager
def progress_shown() -> Iterator[ReportProgress]:
    """Yield what reports progress: a bar on a terminal, now and then a line elsewhere. To standard error."""
    screen = console(is_error=True)
    if not screen.is_terminal:
        yield _PlainProgress(screen)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bars:
        yield _Bars(bars)


@contextmanager
def figures_shown(total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield what is told how far something long is, with the figures that matter now; to standard error.

    Args:
        total: how far it goes.
    """
    screen = console(is_error=True)
    if not screen.is_terminal:
        spoke_at = 0.0

        def say_now_and_then(done: int, figures: str) -> None:
            """Print a line, but not too often."""
            nonlocal spoke_at
            if done >= total or time.monotonic() - spoke_at > QUIET_SECONDS:
                spoke_at = time.monotonic()
                screen.print(escape(f"{done:,} of {total:,}  {figures}"))

        yield say_now_and_then
        return
    figures_column = TextColumn("{task.description}", table_column=Column(no_wrap=False, ratio=1))
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), figures_column)
    with Progress(*columns, console=screen, transient=True, expand=True) as bars:
        bar = bars.add_task("", total=total)
        yield lambda done, figures: bars.update(bar, completed=done, description=escape(figures))


class _Bars:
    """One bar for each thing being done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(escape(what), total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


class _PlainProgress:
    """A line when something long begins, and every few seconds after; nothing about what is quick."""

    def __init__(self, screen: Console) -> None:
        self._screen, self._what, self._began_at, self._spoke_at = screen, "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._began_at, self._spoke_at = what, now, 0.0
        is_announced = done == 0 and total is None
        is_long = now - self._began_at > QUICK_SECONDS and now - self._spoke_at > QUIET_SECONDS
        if is_announced or is_long:
            self._spoke_at = now
            amount = f" {done:,}" + (f" of {total:,}" if total else "") if done else ""
            self._screen.print(escape(f"{what}{amount}"))
