"""Whoever writes a TOML file is told what is wrong with it in the words of TOML, with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.parsing.toml_file import PROBLEMS_SHOWN, Section, explain, line_numbers, read_record, read_toml
from edge.site.settings import Site, load_site

LIBRARY_WORDS = re.compile(
    "extra inputs|field required|valid (tuple|list|string|integer|dictionary)|input should|parse|instance|loc|pydantic",
    re.IGNORECASE,
)
GOOD = 'bundle = "b"\n[node]\nid = "n"\n'


class Inner(BaseModel):
    """A table inside."""

    model_config = ConfigDict(extra="forbid")

    depth_mm: float = Field(default=1.0, gt=0, le=10)
    names: tuple[str, ...] = Field(default=(), max_length=2)


class Outer(BaseModel):
    """A file with one of everything."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=2, max_length=5)]
    count: int = Field(default=1, ge=1)
    share: float = Field(default=0.5, lt=1, allow_inf_nan=False)
    on: bool = True
    colour: Literal["red", "green"] = "red"
    code: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "a"
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    path: Path = Path()


def problem(text: str) -> str:
    """What is said of a text."""
    import tomllib

    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(tomllib.loads(text))
    return explain(caught.value, Outer, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count = 1", "title: is missing"),
        ("title = 3", 'line 1: title: must be a text in quotes, e.g. "press7", not 3'),
        ('title = "a"', 'line 1: title: must have at least 2 characters, not "a"'),
        ('title = "abcdef"', 'line 1: title: must have at most 5 characters, not "abcdef"'),
        ('title = "abc"\ncount = "8"', None),
        ('title = "abc"\ncount = "many"', 'line 2: count: must be a whole number, not "many"'),
        ('title = "abc"\ncount = 1.5', "line 2: count: must be a whole number, not 1.5"),
        ('title = "abc"\ncount = 0', "line 2: count: must be at least 1, not 0"),
        ('title = "abc"\nshare = 1', "line 2: share: must be below 1.0, not 1"),
        ('title = "abc"\nshare = nan', "line 2: share: must be a finite number, not nan"),
        ('title = "abc"\non = "perhaps"', 'line 2: on: must be true or false, not "perhaps"'),
        ('title = "abc"\ncolour = "gren"', "line 2: colour: must be one of 'red' or 'green', not \"gren\"; did you mean green?"),
        ('title = "abc"\ncode = "A b"', 'line 2: code: must be small letters, digits, - and _, at most 64, the first a letter or digit, not "A b"'),
        ('title = "abc"\ninner = 3', "line 2: inner: must be a table, not 3"),
        ('title = "abc"\nparts = "x"', 'line 2: parts: must be a list in square brackets, not "x"'),
        ('title = "abc"\npath = 3', 'line 2: path: must be a path in quotes, e.g. "bundles/line", not 3'),
        ('title = "abc"\n[inner]\nnames = ["a", "b", "c"]', "line 3: inner.names: may have at most 2 entries"),
        ('title = "abc"\n\n[[parts]]\n[[parts]]\ndepth_mm = 0', "line 5: parts.1.depth_mm: must be above 0.0, not 0"),
        ('title = "abc"\n[inner]\ndepht_mm = 1', "line 3: inner.depht_mm: is no key that is known here; did you mean depth_mm?"),
        ('titel = "abc"', "line 1: titel: is no key that is known here; did you mean title?"),
        ('title = "abc"\ndepth_mm = 1', "line 2: depth_mm: is no key that is known here; depth_mm is a key of [inner] and of [parts]"),
        ('title = "abc"\n[inner]\ncount = 1', "line 3: inner.count: is no key that is known here; count belongs above the first table of the file"),
        ('title = "abc"\nzzz = 1', "line 2: zzz: is no key that is known here"),
    ],
)  # fmt: skip
def test_each_kind_of_mistake_has_its_words(text: str, said: str | None) -> None:
    """The line, the key, what would be right, what is there; and none of the library's own words."""
    if said is None:
        return
    found = problem(text)
    assert said in found
    assert not LIBRARY_WORDS.search(found.replace("belongs above the first", ""))


def test_many_mistakes_are_cut_short() -> None:
    """A file of another kind does not flood the terminal, and the rest is counted."""
    found = problem("\n".join(f"key_{index} = 1" for index in range(50)))
    assert found.count("is no key") + found.count("is missing") == PROBLEMS_SHOWN
    assert found.endswith("and 46 more")


def test_lines_are_found_in_every_way_of_writing_toml() -> None:
    """Tables, lists of tables, dotted and quoted keys, comments, texts of several lines that look like keys."""
    text = '''# head
a = 1
b.c = 2   # dotted
"d e" = 3
long = """
a = 99
[x]
"""
[x] # a table
y = { z = 1 }
[[list]]
k = 1
[list.sub]
k = 2
[[list]]
[[list.deep]]
k = 3
'''
    lines = line_numbers(text)
    places: dict[tuple[Any, ...], int] = {
        ("a",): 2, ("b", "c"): 3, ("d e",): 4, ("long",): 5, ("x",): 9, ("x", "y"): 10, ("list", 0): 11, ("list", 0, "k"): 12,
        ("list", 0, "sub", "k"): 14, ("list", 1): 15, ("list", 1, "deep", 0, "k"): 17,
    }  # fmt: skip
    assert {place: lines.get(place) for place in places} == places


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, ending: str) -> None:
    """Editors on Windows write one, and other line ends."""
    file = tmp_path / "site.toml"
    file.write_bytes(b"\xef\xbb\xbf" + (GOOD + '[[cameras]]\nid = "c"\n').replace("\n", ending).encode())
    assert load_site(file).node.id == "n"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (GOOD.encode("utf-16"), "UTF-16 or UTF-32; save it as UTF-8"),
        (GOOD.encode("utf-16-be"), "UTF-16 or UTF-32; save it as UTF-8"),
        (GOOD.encode("utf-32"), "UTF-16 or UTF-32; save it as UTF-8"),
        (GOOD.encode() + b'x = "\xe4"\n', "line 4 is not UTF-8; save it as UTF-8"),
        (b"a = [" * 5000, "is not TOML"),
        (b"a = \n", "line 1"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, raw: bytes, said: str) -> None:
    """What to do is said: the file is fine in the editor's eyes."""
    file = tmp_path / "site.toml"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=said):
        read_toml(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[cameras]]\nid = "c"\nbudget = 3', "line 6: cameras.0.budget: is no key that is known here; did you mean budget_ms?"),
        ('[[cameras]]\nid = "c"\n[publish]\nflags = "frames"', "line 7: publish.flags: must be one of"),
        ("cameras = 3", "line 4: node.cameras: is no key that is known here; cameras belongs above the first table of the file"),
        ('[[cameras]]\nid = "c"\n[[sensor]]\nid = "s"', "line 6: sensor: is no key that is known here; did you mean sensors?"),
    ],
)  # fmt: skip
def test_a_site_file_is_explained(tmp_path: Path, text: str, said: str) -> None:
    """The real settings, from the file to the sentence."""
    file = tmp_path / "site.toml"
    file.write_text(GOOD + text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_site(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_every_field_of_the_settings_can_be_explained() -> None:
    """Whatever type a setting has: a value of a wrong one is told without the library's words."""
    for name in Site.model_fields:
        with pytest.raises(ValidationError) as caught:
            Site.model_validate({"bundle": "b", "node": {"id": "n"}, "cameras": [{"id": "c"}], name: object()})
        told = explain(caught.value, Site, "")
        assert not LIBRARY_WORDS.search(told), told


class Cell(Section):
    """A part of a file."""

    volts: float


class Pack(Section):
    """A file."""

    name: str
    cells: tuple[Cell, ...] = ()


def test_a_right_file_is_a_frozen_record(tmp_path: Path) -> None:
    """Its parts are records, too."""
    (tmp_path / "pack.toml").write_text('name = "a"\n[[cells]]\nvolts = 3.6\n')
    assert read_record(tmp_path / "pack.toml", Pack) == Pack(name="a", cells=(Cell(volts=3.6),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "is not TOML"),
        (b'name = "\xff"', "is not TOML"),
        (b'nmae = "a"', r"name: is missing; line 1: nmae: is no key that is known here; did you mean name\?"),
        (b'name = "a"\n[[cells]]\nvolts = nan\n', r"line 3: cells\.0\.volts: .*finite"),
    ],
    ids=["broken", "no-utf8", "misspelt", "no-number"],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, content: bytes, said: str) -> None:
    """Syntax, encoding, an unknown key, a value that is no number."""
    file = tmp_path / "pack.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_record(file, Pack)
    assert str(file) in str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A folder under the name of a file."""
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_record(tmp_path, Pack)
