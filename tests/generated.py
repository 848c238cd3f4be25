"""Documents that are drawn from the code: `python -m tests.generated --write` renews them, a test checks that they are fresh."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edge.bundle import manifest_schema
from edge.messages import json_schemas
from edge.settings_reference import reference_markdown
from edge.topics import asyncapi, table_markdown
from tests.sparkplug_conformance import suite

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- generated: {name} -->", "<!-- /generated -->"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _between(path: str, name: str, text: str) -> str:
    """A document with the part between its markers replaced."""
    begin = BEGIN.format(name=name)
    document = (ROOT / path).read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"{path} has no part {begin}")
    return pattern.sub(lambda _found: f"{begin}\n{text}\n{END}", document)


def documents() -> dict[str, Callable[[], str]]:
    """Every generated document by its path, with what writes it."""
    schemas = {f"docs/schemas/{name.replace('/', '-')}.json": schema for name, schema in json_schemas().items()}
    schemas["docs/schemas/bundle-1.json"] = manifest_schema()
    made: dict[str, Callable[[], str]] = {path: partial(_json, schema) for path, schema in schemas.items()}
    made["docs/settings.md"] = reference_markdown
    made["docs/asyncapi.json"] = lambda: _json(asyncapi("1"))
    made["docs/topics.md"] = lambda: _between("docs/topics.md", "topics", table_markdown())
    made["docs/sparkplug.md"] = lambda: _between("docs/sparkplug.md", "sparkplug", suite.table_markdown())
    return made


def main() -> None:
    """Write every document again."""
    for path, write in documents().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(write(), encoding="utf-8")
        print(path)  # noqa: T201 - a command's output


if __name__ == "__main__":
    if "--write" not in sys.argv:
        sys.exit("say --write")
    main()
