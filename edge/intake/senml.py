"""Reads SenML packs (RFC 8428): base fields resolved, every record of a name with its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.errors import RejectedInput
from edge.intake.readers import number_of, plausible, shown, wall_ns_of
from edge.parsing.structure import Unreadable

MAX_RECORDS = 1000  # of one pack
_RELATIVE_S = 2**28  # times below this are relative to now
_KEYS = frozenset(["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"])


@dataclass(frozen=True, slots=True)
class Measured:
    """One value of a pack with its base value added, and its time, wall ns (None: now)."""

    raw: object
    source_wall_ns: int | None


def looks_like_senml(document: object) -> bool:
    """A list whose first record has a name and only SenML's fields."""
    if not isinstance(document, list) or not document or not isinstance(document[0], dict):
        return False
    keys = set(document[0])
    return keys <= _KEYS and not keys.isdisjoint(("n", "bn"))


def from_senml(document: object, name: str, received_wall_ns: int) -> list[Measured]:
    """Every record that resolves to `name`; base fields reach from their record to the end of the pack.

    Raises:
        RejectedInput: ``bad_senml`` or ``missing``.
    """
    if not isinstance(document, list):
        raise RejectedInput("bad_senml", "a SenML pack is a JSON list of records")
    if len(document) > MAX_RECORDS:
        raise RejectedInput("bad_senml", f"{len(document)} records, more than {MAX_RECORDS}")
    base: dict[str, Any] = {}
    found: list[Measured] = []
    for record in document:
        if not isinstance(record, dict):
            raise RejectedInput("bad_senml", f"{shown(record)} is not a record")
        unknown = [key for key in record if key.endswith("_")]
        if unknown:  # RFC 8428 section 4.4: a field that must be understood
            raise RejectedInput("bad_senml", f"the field {shown(unknown[0])} must be understood, and is not")
        base.update({key: record[key] for key in ("bn", "bt", "bv") if key in record})
        base_name, own_name = base.get("bn", ""), record.get("n", "")
        if not isinstance(base_name, str) or not isinstance(own_name, str):
            raise RejectedInput("bad_senml", "a name is not text")
        if base_name + own_name == name and ("bv" in base or not record.keys().isdisjoint(("v", "vb"))):
            found.append(_measured(record, base, received_wall_ns))
    if not found:
        raise RejectedInput("missing", f"the pack has no value for {shown(name)}")
    return found


def _measured(record: dict[str, Any], base: dict[str, Any], received_wall_ns: int) -> Measured:
    """One record; what cannot be read of it costs the others nothing."""
    raw = record["v"] if "v" in record else record.get("vb", 0)
    if isinstance(raw, str):
        return Measured(Unreadable("not_a_number", f"{shown(raw)} is text: RFC 8428 has `vs` for it"), None)
    try:
        if raw is not None and not isinstance(raw, bool) and "bv" in base:
            raw = number_of(raw) + number_of(base["bv"])
        seconds = number_of(base.get("bt", 0)) + number_of(record.get("t", 0))
    except RejectedInput as error:
        return Measured(Unreadable(error.reason, error.detail), None)
    if abs(seconds) >= _RELATIVE_S:
        return Measured(raw, plausible(wall_ns_of(seconds), received_wall_ns))
    if not seconds:
        return Measured(raw, None)
    return Measured(raw, plausible(received_wall_ns + round(seconds * 1e9), received_wall_ns))
