"""Whether a schema must judge two documents alike, found from the schema itself: so one of many like messages is judged, and the others cost little.

A schema looks at a value in a few ways: its type, whether it is one of the words or numbers that the schema names, on which side of a limit it is, and
which patterns it matches. Values that agree in all of these are like each other, and documents whose keys are the same and whose values are like each
other get the same verdict. A schema with a keyword that looks in another way is refused: of its documents each is judged by itself.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

_NAMED = frozenset({"const", "enum"})
_LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_LENGTHS = frozenset({"minLength", "maxLength"})
_SCHEMAS = frozenset({"additionalProperties", "items"})
_LISTS = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
_TABLES = frozenset({"properties", "$defs"})
# counts of elements and names of keys are in the likeness itself; the rest says nothing of a value
_PLAIN = frozenset({
    "type", "required", "minItems", "maxItems", "$ref", "$schema", "$id", "title", "description", "default", "examples",
})  # fmt: skip


class Unlike(Exception):  # noqa: N818 - not an error: an answer
    """The schema has a keyword that this module does not know, so no two documents can be called alike."""


class Likeness:
    """What a schema can see of a document.

    Args:
        schema: JSON Schema.

    Raises:
        Unlike: it looks at values in other ways than those known here.
    """

    def __init__(self, schema: bool | Mapping[str, Any]) -> None:  # noqa: FBT001 - what JSON Schema is
        found = list(_keywords(schema))
        named = [value for key, item in found if key in _NAMED for value in (item if key == "enum" else [item])]
        if any(isinstance(value, dict | list) for value in named):
            raise Unlike("a whole object or list is named")
        self._words = frozenset(value for value in named if isinstance(value, str))
        self._limits = sorted({value for key, value in found if key in _LIMITS} | set(filter(_is_number, named)))
        self._lengths = sorted({value for key, value in found if key in _LENGTHS})
        self._patterns = [re.compile(value) for value in sorted({value for key, value in found if key == "pattern"})]

    def of(self, value: Any) -> Hashable:
        """Documents for which this is the same get the same verdict."""
        if isinstance(value, dict):
            return "object", tuple((key, self.of(value[key])) for key in sorted(value))
        if isinstance(value, list):
            return "array", tuple(map(self.of, value))
        if isinstance(value, str):
            return value if value in self._words else self._of_text(value)
        return ("number", *self._of_number(value)) if _is_number(value) else ("plain", value)

    def _of_text(self, text: str) -> Hashable:
        beside = tuple(_side(len(text), length) for length in self._lengths)
        return "text", beside, tuple(pattern.search(text) is not None for pattern in self._patterns)

    def _of_number(self, number: float) -> Iterator[Hashable]:
        yield isinstance(number, int) or number.is_integer()
        yield from (_side(number, limit) for limit in self._limits)


def _side(value: float, limit: float) -> int:
    """-1 below, 0 at, 1 above; what is not a number is nowhere."""
    return (value > limit) - (value < limit) if value == value else 2  # noqa: PLR0124 - NaN is not itself


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every keyword in a schema with its value.

    Raises:
        Unlike: one is not known.
    """
    if isinstance(schema, bool):
        return
    for key, value in schema.items():
        if key in _SCHEMAS:
            yield from _keywords(value)
        elif key in _LISTS:
            for item in value:
                yield from _keywords(item)
        elif key in _TABLES:
            for item in value.values():
                yield from _keywords(item)
        elif key in _NAMED | _LIMITS | _LENGTHS | {"pattern"}:
            yield key, value
        elif key not in _PLAIN:
            raise Unlike(f"{key} is not known")
