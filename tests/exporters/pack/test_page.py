"""The page of a report is whole in itself, tells what report.md tells, and runs nothing that a name brings."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.bundle import open_bundle
from edge.manifest import FaultSpec
from exporters.pack.page import SIDE, WORST, page, worst
from exporters.pictures.grouping import Part
from exporters.pictures.images import Dataset

SCORES = (0.1, 0.9, 0.7, 0.95, 0.2, 0.4, 0.9, 0.1)  # two false alarms in part test, and two misses
HOSTILE = "<script>alert(1)</script>\"' & co.jpg"


class Elements(HTMLParser):
    """Every element and attribute of a page; raises where one is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes the newest one."""
        assert self.open.pop() == tag


def dataset(name: str = "a.jpg", side: int = 400) -> Dataset:
    """Eight pictures, the first four normal; the fourth taught, so it is not of part test."""
    parts: tuple[Part, ...] = ("test", "test", "test", "fit", "test", "test", "test", "fit")
    levels = np.arange(8, dtype=np.uint8)[:, None, None, None] * 20
    return Dataset(
        encoded=(b"",) * 8,
        names=tuple(f"{index}-{name}" for index in range(8)),
        labels=(np.arange(8) >= 4)[:, None],
        groups=tuple("abcdefgh"),
        parts=parts,
        frames=np.broadcast_to(levels, (8, side, side // 2, 3)).copy(),
        masks=None,
    )


def crack(title: str = "crack") -> FaultSpec:
    """A fault that flags from a half."""
    return FaultSpec(id="crack", title=title, words=("a crack",), threshold=0.5, release=0.4, armed=False)


def told(markdown: str, *, name: str = "a.jpg", title: str = "crack") -> str:
    """The page of one fault's report."""
    scores = np.array(SCORES, np.float32)[:, None]
    return page(markdown, {"scores.png": b"\x89PNG"}, dataset(name), scores, [crack(title)]).decode()


def test_the_worst_test_pictures_come_first_and_no_others() -> None:
    """False alarms by falling score, misses by rising score; what taught the head is neither."""
    found = [one for _, one in worst(dataset(), np.array(SCORES, np.float32)[:, None], [crack()])]
    assert [(one.kind, one.rows, one.count) for one in found] == [("false alarms", (1, 2), 2), ("misses", (4, 5), 2)]


def test_many_wrong_pictures_are_counted_and_a_few_shown() -> None:
    """All six of part test are wrong in one way or the other; each kind shows the worst alone."""
    scores = np.where(dataset().normal, 0.9, 0.1).astype(np.float32)[:, None]
    assert all(len(one.rows) <= WORST and one.count == 3 for _, one in worst(dataset(), scores, [crack()]))


def test_thumbnails_are_small_pictures_inside_the_page() -> None:
    """Four wrong pictures, each a JPEG of at most the side of a thumbnail, with its score and threshold beneath."""
    text = told("# report\n")
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert len(pictures) == 4
    for one in pictures:
        with Image.open(io.BytesIO(base64.b64decode(one))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= SIDE
    assert "0.900, threshold 0.500" in text


def test_headings_lists_tables_plots_and_text_become_html() -> None:
    """Each kind of block of report.md, with bold, emphasis and code."""
    text = told(
        "# T\n\n- one\n- **two**\n\n## H\n\n| a | b |\n| --- | --- |\n| - | `c` |\n\nSome *text*.\n\n![scores](scores.png)\n"
    )
    for part in (
        "<h1>T</h1>", "<ul><li>one</li><li><strong>two</strong></li></ul>", "<h2>H</h2>", '<th scope="col">b</th>',
        "<tr><td>-</td><td><code>c</code></td></tr>", "<p>Some <em>text</em>.</p>", '<img alt="scores" src="data:image/png;base64,iVBORw==">',
    ):  # fmt: skip
        assert part in text
    assert "---" not in text
    Elements(text)


@pytest.mark.parametrize("where", ["name", "title", "markdown"])
def test_what_a_site_names_is_text_and_nothing_else(where: str) -> None:
    """A file, a title or a note that holds HTML is shown as it is written."""
    given = {"markdown": "# report\n", where: HOSTILE if where != "markdown" else f"# {HOSTILE}\n\n- {HOSTILE}\n"}
    text = told(**given)
    found = Elements(text).found
    assert "script" not in {tag for tag, _ in found}
    assert not {name for _, attributes in found for name in attributes if name.startswith("on")}
    assert HOSTILE in unescape(text)


def test_the_page_of_a_bundle_loads_nothing(words_bundle: Path) -> None:
    """Listed in the manifest, told like report.md, and every source is inside it; a policy forbids the rest."""
    assert "report.html" in {entry.path for entry in open_bundle(words_bundle).manifest.files}
    text = (words_bundle / "report.html").read_text(encoding="utf-8")
    found = Elements(text).found
    sources = [attributes.get("src") or attributes.get("href") for _, attributes in found]
    assert all(source is None or source.startswith("data:image/") for source in sources)
    assert not {tag for tag, _ in found} & {"script", "link", "iframe", "object"}
    assert "default-src 'none'" in text
    for heading in re.findall(r"^## (.*)$", (words_bundle / "report.md").read_text(), re.MULTILINE):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("data:image/png") == 2
    assert len(text) < 2_000_000
