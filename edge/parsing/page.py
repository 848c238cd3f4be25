"""A document of ours in Markdown as one page of HTML that opens anywhere: its pictures inside, nothing loaded from elsewhere, no script; pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:1em auto;padding:0 1em}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #888;padding:.2em .6em;text-align:left}"
    "img{max-width:100%}figure{display:inline-block;margin:.3em;max-width:12em;vertical-align:top}figcaption{font-size:.8em;overflow-wrap:anywhere}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
_INLINE = (
    (re.compile(r"\*\*([^*]+)\*\*"), "strong"),
    (re.compile(r"\*([^*]+)\*"), "em"),
    (re.compile(r"`([^`]+)`"), "code"),
)


def html_page(markdown: str, images: Mapping[str, bytes], more: str = "") -> bytes:
    """The page.

    Args:
        markdown: headings, lists, tables, images and paragraphs; other kinds of block are not known here.
        images: PNG files that it shows, by name.
        more: HTML that follows it.
    """
    title = next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "report")
    body = "".join(_blocks(markdown, images))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body>{body}{more}</body></html>\n"
    ).encode()


def figure(jpeg: bytes, caption: Sequence[str]) -> str:
    """A picture with lines of text under it, as HTML."""
    lines = "<br>".join(escape(line) for line in caption)
    return f'<figure><img alt="" src="{_data_uri("jpeg", jpeg)}"><figcaption>{lines}</figcaption></figure>'


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _blocks(markdown: str, images: Mapping[str, bytes]) -> Iterator[str]:
    """The HTML of runs of lines of one kind."""
    for kind, run in groupby(markdown.splitlines(), _kind):
        lines = list(run)
        if kind == "list":
            yield f"<ul>{''.join(f'<li>{_inline(line[2:])}</li>' for line in lines)}</ul>"
        elif kind == "table":
            yield _table(lines)
        elif kind == "heading":
            yield from (_heading(line) for line in lines)
        elif kind == "text":
            yield from (_shown(line, images) for line in lines)


def _kind(line: str) -> str:
    starts = {"# ": "heading", "## ": "heading", "- ": "list", "|": "table"}
    return next((kind for start, kind in starts.items() if line.startswith(start)), "text" if line.strip() else "blank")


def _heading(line: str) -> str:
    marks, _, text = line.partition(" ")
    return f"<h{len(marks)}>{_inline(text)}</h{len(marks)}>"


def _table(lines: Sequence[str]) -> str:
    rows = [line.strip().removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    head, body = rows[0], rows[2:]  # the second is the rule under the head
    top = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
    rest = "".join(f"<tr>{''.join(f'<td>{_inline(cell)}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rest}</tbody></table>"


def _shown(line: str, images: Mapping[str, bytes]) -> str:
    found = _IMAGE.fullmatch(line.strip())
    if found is not None and found[2] in images:
        return f'<p><img alt="{escape(found[1])}" src="{_data_uri("png", images[found[2]])}"></p>'
    return f"<p>{_inline(line)}</p>"


def _inline(text: str) -> str:
    """Bold, emphasis and code of a line whose characters are escaped before."""
    html = escape(text)
    for pattern, tag in _INLINE:
        html = pattern.sub(rf"<{tag}>\1</{tag}>", html)
    return html
