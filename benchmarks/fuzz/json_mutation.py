"""Changes JSON and leaves it JSON: bytes flipped at random seldom get past the parser, to what reads the values."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, -0.0, 2**53, 2**63, 2**64, 10**30, float("nan"), float("inf"), "", " ", "nan", "1e999", "../x", "/", "~0/~2",
    "a\x00b", "\ud800", "\U0001f600", "é", "e\u0301", "x" * 300, "2026-11-23T22:38:32.768Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60Z", [], {},
    [[]], [{}], {"": None},
)  # fmt: skip
LARGEST_BYTES = 100_000


def mutated(document: bytes, chance: random.Random) -> bytes | None:
    """A JSON document with one to three places changed; None: these bytes are none, or too long."""
    if len(document) > LARGEST_BYTES:
        return None
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        return None
    root = [value]
    for _ in range(chance.randint(1, 3)):
        holder, key = chance.choice(_places(root))
        _change(holder, key, root, chance)
    return json.dumps(root[0]).encode()


def _places(root: list[Any]) -> list[tuple[Any, Any]]:
    """Every place of a document, as what holds it and the key or number in that."""
    found: list[tuple[Any, Any]] = [(root, 0)]
    for holder, key in found:  # it grows as we go down
        value = holder[key]
        if isinstance(value, (dict, list)):
            found += [(value, inner) for inner in (value if isinstance(value, dict) else range(len(value)))]
    return found


def _change(holder: Any, key: Any, root: list[Any], chance: random.Random) -> None:  # noqa: ANN401 - JSON is any of seven types
    """One place: an odd value, a copy of another place, gone, under another name, or inside a list."""
    match chance.randrange(5):
        case 0:
            holder[key] = _odd(chance)
        case 1:
            other, name = chance.choice(_places(root))
            holder[key] = json.loads(json.dumps(other[name]))
        case 2 if holder is not root:
            del holder[key]
        case 3 if isinstance(holder, dict):
            holder[str(_odd(chance))] = holder.pop(key)
        case _:
            holder[key] = [holder[key], _odd(chance)]


def _odd(chance: random.Random) -> Any:  # noqa: ANN401 - likewise
    """One of its own: what is put into a document may be changed there."""
    return copy.deepcopy(chance.choice(ODD))
