"""A site file is read as TOML, or refused for its size or shape before the parser has worked on it."""

from __future__ import annotations

import time
import tomllib

import pytest

from edge.parsing.toml_text import MAX_KEY_PARTS, MAX_TOML_BYTES, toml_of


def test_a_site_file_is_plain_data() -> None:
    """Tables, lists and comments as they are."""
    assert toml_of('a.b = 1 # not.a.key\n[[c]]\nd = "x.y.z"\n') == {"a": {"b": 1}, "c": [{"d": "x.y.z"}]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#" * (MAX_TOML_BYTES + 1), f"more than {MAX_TOML_BYTES}"),
        (f"\n{'a.' * MAX_KEY_PARTS}a.b = 1", f"line 2: a key of more than {MAX_KEY_PARTS} parts"),
        (f"a = {'[' * 50_000}", "nested too deeply"),
        ("a = ", "Invalid value"),
    ],
    ids=["size", "key", "depth", "no TOML"],
)
def test_what_no_person_writes_is_refused_at_once(text: str, says: str) -> None:
    """With what is wrong, and without the time that the parser would take for it."""
    began = time.process_time()
    with pytest.raises(tomllib.TOMLDecodeError, match=says):
        toml_of(text)
    assert time.process_time() - began < 1.0


def test_a_key_may_have_as_many_parts_as_allowed() -> None:
    """The limit itself is no mistake."""
    found = toml_of(f"{'a.' * MAX_KEY_PARTS}b = 1")
    for _ in range(MAX_KEY_PARTS):
        found = found["a"]
    assert found == {"b": 1}
