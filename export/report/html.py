"""Building blocks of a page that stands alone: every picture is inside it, nothing is fetched."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.6rem;margin-bottom:.2rem}
h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #ccc}
table{border-collapse:collapse;font-size:.88rem;margin:.8rem 0;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e4e4e4;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left;white-space:normal}th{background:#f4f4f2}
.yes{background:#e3f1e3}.no{background:#f7eadf}img{max-width:100%}
p.note{color:#555;font-size:.9rem}code{background:#f4f4f2;padding:0 .2rem}
@media (prefers-color-scheme:dark){body{background:#181a1b;color:#ddd}th,code{background:#26292b}
td,th{border-color:#333}.yes{background:#1d3a22}.no{background:#44301c}
img{background:#fff}p.note{color:#aaa}}
"""


def page(title: str, blocks: Iterable[str]) -> str:
    """Return a whole HTML document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(blocks)
        + "\n</body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, *, note: bool = False) -> str:
    """Return a paragraph; a note is printed small."""
    return f"<p{' class=note' if note else ''}>{escape(text)}</p>"


def listing(lines: Iterable[str]) -> str:
    """Return a list of lines."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], marks: Sequence[bool | None] = ()
) -> str:
    """Return a table; ``marks`` colours a row good or bad (None: neither)."""
    body, words = [], set[int]()
    for i, row in enumerate(rows):
        words.update(k for k, value in enumerate(row) if _long(value))
        mark = marks[i] if i < len(marks) else None
        kind = "" if mark is None else f' class="{"yes" if mark else "no"}"'
        body.append(f"<tr{kind}>{''.join(_cell(value) for value in row)}</tr>")
    top = "".join(
        f"<th{' class=text' if k in words else ''}>{escape(name)}</th>"
        for k, name in enumerate(head)
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def picture(png: bytes, alt: str) -> str:
    """Return a picture, carried in the page."""
    data = base64.b64encode(png).decode()
    return f'<p><img alt="{escape(alt)}" src="data:image/png;base64,{data}"></p>'


def _long(value: object) -> bool:
    return isinstance(value, str) and len(value) > 24


def _cell(value: object) -> str:
    kind = ' class="text"' if _long(value) else ""
    return f"<td{kind}>{escape(text(value))}</td>"


def text(value: object) -> str:
    """Return a value as a person reads it: three digits, an empty cell for what is not known."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
