"""A web page in one file: text, tables and pictures, with nothing to be fetched from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["html_page", "html_paragraph", "html_picture", "html_table"]

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5rem 0; } figcaption { opacity: 0.75; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
.wide { overflow-x: auto; }
"""


def html_page(title: str, body: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: Shown on top and in the tab.
        body: HTML, such as the other functions make.
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    parts = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>\n{parts}\n</body></html>\n"
    )


def html_paragraph(text: str, links: Mapping[str, str] | None = None) -> str:
    """A paragraph, with the line breaks of the text.

    Args:
        text: What it says.
        links: Words of the text -> the address that they lead to.
    """
    html = "<br>".join(map(escape, text.splitlines()))
    for words, address in (links or {}).items():
        html = html.replace(escape(words), f'<a href="{escape(address)}">{escape(words)}</a>')
    return f"<p>{html}</p>"


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is a heading."""
    lines = [_row("th", header), *(_row("td", row) for row in rows)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def html_picture(figure: Figure, heading: str, caption: str) -> str:
    """A matplotlib figure, inside the page."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    data = b64encode(buffer.getvalue()).decode("ascii")
    image = f'<img alt="{escape(heading)}" src="data:image/png;base64,{data}">'
    return f"<h2>{escape(heading)}</h2><figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
