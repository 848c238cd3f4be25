"""What a line of the log looks like: its time in UTC, and one line whatever is in it; as text for people, or as JSON for a collector."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from typing import Literal, TextIO

Format = Literal["text", "json"]
#: What would end a line or move the cursor: foreign text must not pass for a log line of its own.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def add_log_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--log` and `--log-format`; ``default`` says the default level in words."""
    parser.add_argument(
        "--log",
        choices=["debug", "info", "warning", "error"],
        help=f"what is logged to standard error; default: {default}",
    )
    parser.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="lines for people, or one JSON object a line for a collector; default: %(default)s",
    )


def set_up(level: str, form: Format = "text", stream: TextIO | None = None) -> None:
    """Have everything of this level and above written to a stream; default: standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextLines(logging.Formatter):
    """``2026-11-23T22:00:00.000Z INFO edge.commands: command ack by op: ...``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line = f"{_stamp(record)} {record.levelname} {record.name}: {record.getMessage().translate(_ESCAPED)}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: ``ts``, ``level``, ``logger``, ``message``, and ``traceback`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields = {
            "ts": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info is not None:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _stamp(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
