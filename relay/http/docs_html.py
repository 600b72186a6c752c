"""The pieces of HTML of which the page `/docs` is made: tables, texts and blocks of code."""

from collections.abc import Iterable, Sequence
from html import escape


def text(words: str) -> str:
    """Escapes a text, and marks the parts in backquotes as code."""
    pieces = escape(words).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def paragraph(words: str) -> str:
    """Makes a paragraph of a text; see `text`."""
    return f"<p>{text(words)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Makes a table that scrolls sideways in a narrow window. The cells are texts; see `text`."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='wide' tabindex='0'><table><tr>{titles}</tr>{lines}</table></div>"


def block(code: str) -> str:
    """Makes a block of code."""
    return f"<pre tabindex='0'><code>{escape(code.strip())}</code></pre>"
