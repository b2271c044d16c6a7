"""The page's building blocks: sections and tables.

What belongs here: HTML used by several sections. What does not: charts (`charts`), content (`page`, `pilot`).
"""

from collections.abc import Sequence
from html import escape


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return an HTML table in a frame that scrolls sideways where it must.

    Args:
        headings: plain text.
        rows: cells as HTML, the first one naming the row.
        text_columns: how many leading columns are text; the others are numbers.
    """
    head = "".join(
        f'<th scope="col"{" class=text" if index < text_columns else ""}>{escape(name)}</th>'
        for index, name in enumerate(headings)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{cell}</th>'
            if index == 0
            else f'<td class="text">{cell}</td>'
            if index < text_columns
            else f"<td>{cell}</td>"
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, content: str) -> str:
    """Return a section of the page.

    Args:
        title: plain text.
        content: HTML.
    """
    return f"<section><h2>{escape(title)}</h2>{content}</section>"
