"""A document of ours as one page: its blocks, its pictures inside, and nothing that a browser would fetch or run."""

from __future__ import annotations

import base64

from edge.parsing.page import figure, html_page


def test_each_kind_of_block_has_its_form() -> None:
    """Headings, lists, tables, paragraphs; bold, emphasis and code inside them."""
    text = "# Title\n\nSome **bold**, *soft* and `code`.\n\n- one\n- two\n\n## Part\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    page = html_page(text, {}).decode()
    for part in (
        "<title>Title</title>",
        "<h1>Title</h1>",
        "<h2>Part</h2>",
        "<p>Some <strong>bold</strong>, <em>soft</em> and <code>code</code>.</p>",
        "<ul><li>one</li><li>two</li></ul>",
        '<th scope="col">a</th>',
        "<tr><td>1</td><td>2</td></tr>",
    ):
        assert part in page
    assert "---" not in page
    assert html_page(text.replace("| --- | --- |", "|---|---|"), {}).decode() == page


def test_pictures_are_inside() -> None:
    """One that is not there stays text."""
    page = html_page("![scores](scores.png)\n\n![other](other.png)\n", {"scores.png": b"png"}).decode()
    assert f'<img alt="scores" src="data:image/png;base64,{base64.b64encode(b"png").decode()}">' in page
    assert "<p>![other](other.png)</p>" in page


def test_names_cannot_put_anything_into_the_page() -> None:
    """Whatever a file or a fault is called."""
    name = "<script>alert(1)</script>"
    page = html_page(
        f"# {name}\n\n- {name}\n\n| {name} |\n| --- |\n| {name} |\n", {}, figure(b"jpeg", (name,))
    ).decode()
    assert "<script" not in page
    assert "default-src 'none'" in page
