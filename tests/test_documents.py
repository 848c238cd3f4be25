"""What the documents point at is there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.module_map import sentence

ROOT = Path(__file__).parent.parent
FOLDERS = ("edge", "exporters", "benchmarks", "deploy", "devices", "docs", "examples")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.md"))),
]
# What people read first; reports of benchmarks and cards of models are written by programs.
PROSE = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(file for folder in ("docs", "devices") for file in sorted((ROOT / folder).rglob("*.md"))),
    ROOT / "benchmarks" / "README.md",
]
MODULES = [file for package in ("edge", "exporters") for file in sorted((ROOT / package).rglob("*.py"))]
MOST_WORDS = 25
MOST_OF_A_MODULE = 30  # its line in a table: commas and semicolons part it


def paragraphs(text: str) -> Iterator[str]:
    """The prose of a Markdown page by paragraph and list item: no generated part, code, table or heading."""
    text = re.sub(r"<!-- generated.*?<!-- /generated -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        item = re.match(r"\s*(?:[-*]|\d{1,2}\.) (.*)", line)
        if lines and (item or not line.strip() or line.startswith(("|", "#"))):
            yield " ".join(lines)
            lines = []
        code = line.startswith("    ") and not lines
        if item:
            lines = [item.group(1)]
        elif line.strip() and not code and not line.startswith(("|", "#")):
            lines.append(line.strip())


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page; code in backticks is one word, a colon ends a sentence."""
    for paragraph in paragraphs(text):
        plain = re.sub(r"`[^`]*`", "Code", re.sub(r"\]\([^)]*\)", "]", paragraph))
        yield from re.split(r"(?<=[.!?:])[)*\"]*\s+(?=[\[*(\"]*[A-Z0-9])", plain)


def long_sentences(text: str, most_words: int = MOST_WORDS) -> list[str]:
    """The sentences of a page that have more words."""
    return [part for part in sentences(text) if len(re.findall(r"\S*\w\S*", part)) > most_words]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """A relative link names a file or folder of the repository."""
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert gone == []


@pytest.mark.parametrize("document", ["README.md", "benchmarks/README.md"])
def test_every_command_exists(document: str) -> None:
    """`python -m X` names a module and `make X` a target."""
    text = (ROOT / document).read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m ((?:benchmarks|examples)[\w.]*)", text))
    assert [name for name in sorted(modules) if importlib.util.find_spec(name) is None] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets
    assert modules | named, "nothing was looked for"


@pytest.mark.parametrize("document", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_is_long(document: Path) -> None:
    """A sentence that a reader has to take apart is two sentences."""
    assert long_sentences(document.read_text(encoding="utf-8")) == []


def test_a_module_says_what_it_is_in_one_short_paragraph() -> None:
    """The first paragraph of a module's docstring is its line in edge/README.md or exporters/README.md."""
    modules = [file for file in MODULES if file.read_text(encoding="utf-8").strip()]
    assert [str(file.relative_to(ROOT)) for file in modules if len(sentence(file).split()) > MOST_OF_A_MODULE] == []


def test_long_sentences_are_found_in_prose_alone() -> None:
    """The control: a long sentence counts in a paragraph and in a list item, wrapped or not; in code, tables and generated parts none does."""
    words = "word " * 40
    assert len(long_sentences(f"Short. A {words}end. Short.\n")) == 1
    assert len(long_sentences(f"- item\n- An item {words}\n  {words}end.\n\nShort.")) == 1
    assert long_sentences(f"# {words}\n\n| {words} |\n\n    {words}\n\n```\n{words}\n```\n") == []
    assert long_sentences(f"<!-- generated: x -->\n{words}\n<!-- /generated -->\n`{words}`") == []
    assert long_sentences(f"{'word ' * 20}end. {'Word ' * 20}end.") == []
