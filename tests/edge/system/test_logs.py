"""The log can be read by people and by collectors, and nobody else writes lines of it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys

import pytest

from edge.system.logs import Format, JsonLines, TextLines, set_up


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    """One record, made at a known time."""
    problem = None
    if failed:
        try:
            int("broken")
        except ValueError:
            problem = sys.exc_info()
    made = logging.LogRecord("edge.x", logging.WARNING, "x.py", 1, message, arguments, problem)
    made.created, made.msecs = 1_795_471_200.25, 250.0
    return made


def test_a_line_says_when_in_utc() -> None:
    """With milliseconds, as every message on the wire does."""
    assert (
        TextLines().format(record("camera %s is back", "cam1"))
        == "2026-11-23T22:00:00.250Z WARNING edge.x: camera cam1 is back"
    )


@pytest.mark.parametrize("text", ["a\nERROR forged", "\x1b[2J", "a\r\nb", "\u2028x", "\x85x"])
def test_what_others_say_stays_in_its_line(text: str) -> None:
    """A user's name or comment with line breaks or control codes forges no line and clears no screen."""
    for made in (TextLines(), JsonLines()):
        line = made.format(record("command by %s", text))
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line


def test_json_lines_carry_the_traceback() -> None:
    """In the same object, so that a collector keeps them together."""
    told = json.loads(JsonLines().format(record("failed", failed=True)))
    assert (told["ts"], told["level"], told["logger"], told["message"]) == (
        "2026-11-23T22:00:00.250Z",
        "WARNING",
        "edge.x",
        "failed",
    )
    assert "ValueError: invalid literal" in told["traceback"]
    assert "ValueError: invalid literal" in TextLines().format(record("failed", failed=True))


@pytest.mark.parametrize(
    ("form", "pattern"),
    [("text", r"^\d{4}-.*Z INFO edge.y: hello$"), ("json", r'^\{"ts": ".*", "level": "INFO", .*"message": "hello"\}$')],
)
def test_one_of_two_forms_is_chosen(form: Format, pattern: str) -> None:
    """Below the level nothing is written."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    try:
        set_up("info", form, stream)
        logging.getLogger("edge.y").info("hello")
        logging.getLogger("edge.y").debug("not this")
    finally:
        root.handlers[:], root.level = handlers, level
    assert re.match(pattern, stream.getvalue().strip())
    assert stream.getvalue().count("\n") == 1
