"""Every command that a document shows is one that the command line takes, and the table of exit statuses is that of the programs."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.__main__ import _parser as daemon_parser
from edge.camera.__main__ import _parser as camera_parser
from edge.console import exits
from edge.page.__main__ import _parser as page_parser
from exporters.__main__ import _parser as export_parser

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "devices").rglob("*.md")),
]
PARSERS = {
    "edge-camera": camera_parser,
    "edge-daemon": daemon_parser,
    "edge-export": export_parser,
    "edge-page": page_parser,
}
BLOCK = re.compile(r"^```.*?^```|(?:^ {4}.*\n)+", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?<![\w/.-])(edge-camera(?!@)|edge-daemon|edge-export|edge-page(?!:))((?:(?!&&)[^\n;|#`)])*)")


def commands(text: str) -> Iterator[list[str]]:
    """Every command of a document as words; of prose only what stands between backquotes."""
    blocks = [block for block in BLOCK.findall(text) if not block.startswith("```mermaid")]  # pictures, no commands
    pieces = [block.replace("\\\n", " ") for block in blocks]
    pieces += [" ".join(code.split()) for code in INLINE.findall(BLOCK.sub("\n", text))]
    for piece in pieces:
        for program, rest in COMMAND.findall(piece):
            yield [program, *_words(rest)]


def _words(text: str) -> list[str]:
    """Words as a shell makes them; a quote that was opened before the command closes it."""
    try:
        return shlex.split(text)
    except ValueError:
        return shlex.split(text[: max(text.rfind("'"), text.rfind('"'))])


def is_taken(words: list[str]) -> bool:
    """Whether a program parses these words; a command without options and what else it needs is a mention of it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            PARSERS[words[0]]().parse_args(words[1:])
    except SystemExit as ended:
        is_mention = not any(word.startswith("-") for word in words)
        if (
            not is_mention and "are required: --config" in said.getvalue() and "--config" not in words
        ):  # prose leaves it out
            return is_taken([*words, "--config", "site.toml"])
        return ended.code == 0 or (is_mention and re.search(r"(are|is) required", said.getvalue()) is not None)
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_a_document_parses(document: Path) -> None:
    """With its options, their values and what must stand beside them."""
    shown = list(commands(document.read_text(encoding="utf-8")))
    assert [" ".join(words) for words in shown if not is_taken(words)] == []


def test_every_command_of_the_client_page_parses() -> None:
    """Its table names commands without the program."""
    text = (ROOT / "docs" / "alarm-client.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    shown = [["edge-daemon", *shlex.split(code)] for row in rows for code in INLINE.findall(row)]
    assert len(shown) > 10
    assert [" ".join(words) for words in shown if not is_taken(words)] == []


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("edge-daemon out-of-service a --reason b", True),
        ("edge-daemon out-of-service a --comment b", False),
        ("edge-daemon nothing", False),
        ("edge-daemon run", True),
    ],
)
def test_a_command_that_does_not_parse_is_found(words: str, taken: bool) -> None:  # noqa: FBT001 - the answer itself
    """The reader of documents is no yes-man."""
    found = list(commands(f"Say `{words}` now.\n\n    $ {words}  # comment\n"))
    assert [is_taken(one) for one in found] == [taken, taken]


def test_the_table_of_exit_statuses_holds_each_one() -> None:
    """And no other for `edge-daemon`."""
    text = (ROOT / "docs" / "exit-status.md").read_text(encoding="utf-8")
    numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert {value for name, value in vars(exits).items() if name.startswith("EXIT_")} <= numbers
