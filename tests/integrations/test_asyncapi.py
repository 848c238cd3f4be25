"""The AsyncAPI document is one: the specification's own parser reads it without an error or a warning."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from edge.wire.topics import IN, INPUTS, OUT, PICTURES
from tests.integrations.conftest import ROOT, needs_npm

CHECK = Path(__file__).with_name("check_asyncapi.mjs")
ADVICE = 2  # severities: 0 error, 1 warning, then advice, e.g. that there is a newer AsyncAPI


def parsed(document: Path) -> Any:
    """What @asyncapi/parser says."""
    command = ["node", str(CHECK), str(needs_npm("@asyncapi/parser")), str(document)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def test_the_document_that_ships_is_valid() -> None:
    """No error, no warning, and everything that we say and hear is in it."""
    found = parsed(ROOT / "docs" / "asyncapi.json")
    assert [item for item in found["diagnostics"] if item["severity"] < ADVICE] == []
    assert (found["valid"], found["version"]) == (True, "3.0.0")
    assert found["operations"] == found["messages"] == len(OUT) + len(IN) + len(PICTURES) + len(INPUTS)


def test_a_document_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    """So that the test above could fail: a reference that leads nowhere is an error."""
    text = (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8")
    broken = tmp_path / "broken.json"
    broken.write_text(text.replace("#/components/messages/edge.flag-1", "#/components/messages/edge.flag/1"))
    found = parsed(broken)
    assert not found["valid"]
    assert any(item["code"] == "invalid-ref" for item in found["diagnostics"])
