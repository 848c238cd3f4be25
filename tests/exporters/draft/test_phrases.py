"""A draft says a fault as the engineers' file has it, and refuses a file that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import ConfigError
from exporters.__main__ import main
from exporters.draft.phrases import read_phrases
from exporters.recipe import load_recipe
from tests.exporters.draft.test_survey import fill

CRACK = {"label": "crack", "title": "Crack in the rim", "words": ["a crack", "a broken rim"]}


def text(*faults: object, schema: str = "edge.words/1") -> bytes:
    """A file of words."""
    return json.dumps({"schema": schema, "faults": faults}).encode()


def test_a_recipe_says_it_as_the_file_does(tmp_path: Path) -> None:
    """A label without words keeps those made of its name, and one without pictures is left out."""
    words, out = tmp_path / "faults.json", tmp_path / "r.toml"
    words.write_bytes(text(CRACK, CRACK | {"label": "hole"}))
    folder = fill(tmp_path / "site", normal=3, crack=3, dent=3)
    assert main(["init", str(folder), "--out", str(out), "--words", str(words)]) == 0
    said = {fault.id: (fault.title, fault.words) for fault in load_recipe(out).faults}
    assert said["crack"] == ("Crack in the rim", ("a crack", "a broken rim"))
    assert said["dent"][0] == "Dent"
    assert set(said) == {"crack", "dent"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "cannot be read as JSON"),
        (text(schema="edge.words/2"), "schema"),
        (text(CRACK | {"words": []}), "words"),
        (text(CRACK | {"title": " "}), "title"),
        (text("crack"), "faults"),
    ],
)
def test_what_is_no_file_of_words_is_refused(data: bytes, words: str) -> None:
    """The text names what is wrong."""
    with pytest.raises(ConfigError, match=words):
        read_phrases("faults.json", data)
