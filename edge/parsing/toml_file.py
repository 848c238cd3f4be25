"""Reads a TOML file as one frozen record, with errors that name the line, the key and what may have been meant.

The only reader of site, recipe and board files; the words also for whatever else pydantic refuses.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import ConfigError
from edge.parsing.toml_text import MAX_TOML_BYTES, toml_of

PROBLEMS_SHOWN = 5
MAX_SHOWN = 40  # characters of a wrong value
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_WORDS = {  # pydantic's kind of error: what it means to an author of TOML
    "missing": "is missing",
    "string_type": 'must be a text in quotes, e.g. "press7"',
    "path_type": 'must be a path in quotes, e.g. "bundles/line"',
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list in square brackets",
    "list_type": "must be a list in square brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "needs at least {min_length} entries",
    "too_long": "may have at most {max_length} entries",
    "string_pattern_mismatch": "must be of the form {pattern}",
}
_PATTERNS = {  # what the commonest forms mean
    r"^[a-z0-9][a-z0-9_-]{0,63}$": "must be small letters, digits, - and _, at most 64, the first a letter or digit",
    r"\S": "must not be blank",
}
_SCALARS = (str, int, float, bool)
_HEADER = re.compile(r"^\s*(\[\[?)([^\[\]#]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")

Place = tuple[str | int, ...]
Record = TypeVar("Record", bound=BaseModel)


class Section(BaseModel):
    """Base of all parts of a file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_record(path: Path, kind: type[Record]) -> Record:
    """Read and check a file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has a value that is not allowed; the text names file, line and key.
    """
    document, text = read_toml(path)
    try:
        return kind(**document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, kind, text)}") from error


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Read a file: its document and its text. A byte order mark, as editors on Windows write it, is taken off.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or is not TOML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(4 * MAX_TOML_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if raw.startswith(_UTF16) or b"\x00" in raw[:4]:
        raise ConfigError(f"{path} is not TOML: it is written in UTF-16 or UTF-32; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not TOML: line {line} is not UTF-8; save it as UTF-8") from error
    try:
        return toml_of(text), text
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def explain(error: ValidationError, kind: type[BaseModel], text: str) -> str:
    """All that is wrong with a file, in one line: for each problem the line of the file, the key, and what would be right."""
    lines = line_numbers(text)
    found = [_problem(item, kind, lines) for item in error.errors()]
    more = f"; and {len(found) - PROBLEMS_SHOWN} more" if len(found) > PROBLEMS_SHOWN else ""
    return "; ".join(found[:PROBLEMS_SHOWN]) + more


def words(item: Mapping[str, Any]) -> str:
    """What one of pydantic's problems is, without its place."""
    kind, context, given = str(item["type"]), item.get("ctx", {}), item.get("input")
    if kind in {"value_error", "assertion_error"}:
        return str(item["msg"]).partition(", ")[2] or str(item["msg"])
    if kind == "extra_forbidden":
        return "is no key that is known here"
    if kind in {"literal_error", "enum"}:
        return f"must be one of {context['expected']}{_shown(given)}{_meant(given, _choices(context['expected']))}"
    if kind == "string_pattern_mismatch" and context["pattern"] in _PATTERNS:
        return _PATTERNS[context["pattern"]] + _shown(given)
    template = _WORDS.get(kind)
    if template is None:
        return str(item["msg"])
    return template.format(**context) + ("" if kind == "missing" else _shown(given))


def line_numbers(text: str) -> dict[Place, int]:
    """The line of each key and table of a TOML text, by its place in the document; the first line is 1.

    Of the keys of an inline table only the line of its own key is known.
    """
    found: dict[Place, int] = {(): 1}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, line in _code_lines(text):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header is not None:
            names = _names(header[2])
            if header[1] == "[[":
                owner = _within(names[:-1], counts)
                counts[(*owner, names[-1])] = counts.get((*owner, names[-1]), -1) + 1
                found.setdefault((*owner, names[-1]), number)
            table = _within(names, counts)
            found.setdefault(table, number)
        elif key is not None:
            place = (*table, *_names(key[1]))
            for depth in range(len(table) + 1, len(place) + 1):
                found.setdefault(place[:depth], number)
    return found


def _problem(item: Mapping[str, Any], kind: type[BaseModel], lines: Mapping[Place, int]) -> str:
    place: Place = tuple(item["loc"])
    known = next(place[:depth] for depth in range(len(place), -1, -1) if place[:depth] in lines)
    where = f"line {lines[known]}: " if known else ""
    problem = words(item)
    if item["type"] == "extra_forbidden":
        problem += _elsewhere(str(place[-1]), kind, place[:-1])
    return f"{where}{'.'.join(map(str, place)) or 'the file'}: {problem}"


def _elsewhere(key: str, kind: type[BaseModel], parent: Place) -> str:
    """What an unknown key may have been meant for: a key of this table, or one of another."""
    section = _section(kind, parent)
    near = _meant(key, () if section is None else section.model_fields)
    if near:
        return near
    homes = [
        name
        for name, field in kind.model_fields.items()
        if (inner := _model(field.annotation)) and key in inner.model_fields
    ]
    if parent and key in kind.model_fields:
        return f"; {key} belongs above the first table of the file"
    return f"; {key} is a key of {' and of '.join(f'[{name}]' for name in homes[:2])}" if homes else ""


def _section(kind: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """The model that describes the table at a place."""
    found: type[BaseModel] | None = kind
    for part in place:
        if isinstance(part, int):
            continue
        if found is None or part not in found.model_fields:
            return None
        found = _model(found.model_fields[part].annotation)
    return found


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type, however nested
    """The model inside an annotation such as ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part)) is not None), None)


def _meant(given: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), 1, 0.6) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def _choices(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _shown(given: object) -> str:
    if not isinstance(given, _SCALARS):
        return ""
    text = str(given).lower() if isinstance(given, bool) else f'"{given}"' if isinstance(given, str) else str(given)
    return f", not {text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '...'}"


def _code_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without those inside texts of several lines."""
    open_with = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not open_with:
            yield number, line
        for quotes in re.findall(r'"""|\'\'\'', line):
            if not open_with:
                open_with = quotes
            elif quotes == open_with:
                open_with = ""


def _names(dotted: str) -> list[str]:
    parts = re.findall(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""", dotted)
    return [part.strip("\"'") for part in parts]


def _within(names: Sequence[str], counts: Mapping[Place, int]) -> Place:
    """A table's place: behind each list of tables the number of its newest one."""
    place: Place = ()
    for name in names:
        place = (*place, name)
        if place in counts:
            place = (*place, counts[place])
    return place
