"""Splits a JSON document into records: the objects in which gateways put values, each with its surroundings.

Only containers of the trade are gone into (lists, and objects under names like ``data`` or ``values``), so that a device's own nested facts are
not taken for another value of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge.errors import RejectedInput
from edge.frame import Quality
from edge.intake.fields import (
    device_in,
    names_in,
    plain,
    quality_beside,
    quality_in,
    shared_fields,
    suffixed,
    time_in,
    value_key,
)
from edge.intake.readers import at_pointer, index_of, shown, tokens_of
from edge.parsing.structure import Unreadable

MAX_RECORDS = 3000  # of one message in which something is searched; a pointer from the document needs no search
MAX_FOUND = 500  # values of one sensor in one message
_WRAPPERS = frozenset((
    "data", "payload", "values", "fields", "metrics", "tags", "readings", "event", "messages", "records", "items", "d", "body", "result",
    "telemetry", "measurements", "points", "params", "sensors", "samples", "content", "msg", "reported", "state", "series",
))  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One JSON object, the record it is inside of, and its place: a pointer in which ``*`` is the index of a list."""

    fields: dict[str, Any]
    parent: Record | None = None
    place: str = ""

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Its fields that apply to all its values, looked for once."""
        return shared_fields(self.fields)

    @cached_property
    def named(self) -> dict[str, list[tuple[str, Any]]]:
        """Its fields that apply to single values by their name, looked for once."""
        return suffixed(self.fields)

    def around(self) -> Iterator[Record]:
        """This record and those around it, innermost first."""
        here: Record | None = self
        while here is not None:
            yield here
            here = here.parent


@dataclass(frozen=True, slots=True)
class Found:
    """A value in its place: in a field of a record (None: the record is the value's own object, or the document is the value)."""

    raw: object
    record: Record | None = None
    field: str | None = None
    indexed: bool = False  # the place in a list decided

    def called(self) -> list[str]:
        """What the record that holds the value calls itself."""
        return [] if self.record is None else list(names_in(self.record.shared))

    def device(self) -> tuple[tuple[str, str], ...]:
        """Which device or point the value is of, by the message."""
        if self.record is None:
            return ()
        points = tuple(("name", name) for name in self.called() if any(letter.isalpha() for letter in name))
        return points + tuple(item for record in self.record.around() for item in device_in(record.shared))


class Records:
    """The records of one document, found once, asked for each sensor.

    Args:
        document: parsed JSON.
    """

    def __init__(self, document: object) -> None:
        self.document = document
        self._all: list[Record] | None = None
        self._too_many = False
        self._named: dict[str, list[Record]] = {}  # by the names that they give themselves
        self._holding: dict[str, list[Record]] = {}  # by the names of their fields
        self._valued_inside: dict[int, Record] = {}  # by the identity of the record around it: one with a value
        self._values: dict[str, dict[str, list[Record]]] = {}  # by the pointer of a condition and what it finds
        self._met_by: dict[
            tuple[int, int], Record
        ] = {}  # on the way of a pointer: by the identity of object and record around it

    def where(self, conditions: Mapping[str, str | float | bool]) -> list[Record]:
        """The records that fulfil every condition, a pointer from the record and its value; of nested ones the innermost.

        Raises:
            RejectedInput: ``too_many_values``.
        """
        wanted = [(tokens_of(pointer), value) for pointer, value in conditions.items()]
        first_pointer, first_value = next(iter(conditions.items()))
        found = [
            record
            for record in self._by_value(first_pointer).get(_key_of(first_value), ())
            if all(_equal(_looked_up(record.fields, tokens), value) for tokens, value in wanted)
        ]
        outer = {id(around) for record in found for around in record.around() if around is not record}
        return [record for record in found if id(record) not in outer]

    def _by_value(self, pointer: str) -> dict[str, list[Record]]:
        """All records by what a pointer finds in them, made once for all sensors that ask."""
        if pointer not in self._values:
            tokens, found = tokens_of(pointer), self._values.setdefault(pointer, {})
            for record in self._walked():
                found.setdefault(_key_of(_looked_up(record.fields, tokens)), []).append(record)
        return self._values[pointer]

    def called(self, name: str, inside: list[Record] | None = None) -> list[Found]:
        """Every value of a name: a field of that name, a record that names itself so, or an error that the source reports for it.

        Args:
            name: what the source calls it.
            inside: only in or below these records; None: anywhere.

        Raises:
            RejectedInput: ``ambiguous`` (several places that are not one list), ``source_error``, ``too_many_values``.
        """
        self._walked()
        wanted = None if inside is None else {id(record) for record in inside}
        found = [Found(record.fields[name], record, name) for record in self._holding.get(name, ())]
        if not found:
            found = [item for record in self._named.get(name, ()) for item in self._own(record)]
        found = [part for item in found for part in _expanded(item)]
        if wanted is not None:
            found = [item for item in found if any(id(record) in wanted for record in _around(item))]
        places = {item.record.place for item in found if item.record is not None}
        if len(places) > 1:
            raise RejectedInput(
                "ambiguous", f"{shown(name)} is at {' and at '.join(sorted(places)[:4])}: give the sensor a pointer"
            )
        if not found:
            self._refuse_error(name)
        return _bounded(found)

    def pointed(self, pointer: str, inside: list[Record] | None = None) -> list[Found]:
        """What a pointer points at: from the document, or from each record of a list.

        Raises:
            RejectedInput: ``missing``, ``too_many_values``, or why it could not be read.
        """
        if inside is not None:
            starts: list[tuple[object, Record | None]] = [(record.fields, record.parent) for record in inside]
        elif isinstance(self.document, list) and index_of((tokens_of(pointer) or ("0",))[0]) is None:
            if len(self.document) > MAX_RECORDS:
                raise RejectedInput("too_many_values", f"{len(self.document)} records, more than {MAX_RECORDS}")
            starts = [(item, None) for item in self.document if isinstance(item, dict)]
        else:
            starts = [(self.document, None)]
        found = [item for start, parent in starts for item in self._resolved(start, parent, tokens_of(pointer))]
        if not found:
            at_pointer(starts[-1][0] if starts else None, pointer)  # the error names what is missing, or cannot be read
            raise RejectedInput("missing", f"the message has nothing at {shown(pointer)}")
        return _bounded(found)

    def plain_values(self) -> list[Found]:
        """The value of a message that names nothing: a field called ``value``, in the document or in its one record."""
        if not isinstance(self.document, (dict, list)):
            return [Found(self.document)]
        return _bounded([Found(record.fields, record) for record in self._walked() if value_key(record.fields)])

    def names(self) -> Iterator[str]:
        """What the records that hold a value call themselves."""
        return (
            name
            for record in self._walked()
            if value_key(record.fields)
            for around in record.around()
            for name in names_in(around.shared)
        )

    def _resolved(
        self, start: object, parent: Record | None, tokens: Sequence[str], *, indexed: bool = False
    ) -> list[Found]:
        """Follow a pointer; an index into a list of timed records means the series that its record is one of."""
        here, record, field = start, parent, None
        for at, token in enumerate(tokens):
            if isinstance(here, dict) and token in here:
                record, field = self._on_the_way(here, record), token
                here = here[token]
                continue
            index = index_of(token)
            if not isinstance(here, list) or index is None or index >= len(here):
                return []
            series, indexed = _series(here, index), True
            if len(series) > 1:
                rest = tokens[at + 1 :]
                return [item for part in series for item in self._resolved(part, record, rest, indexed=True)]
            here = here[index]
        return _expanded(Found(here, record, field, indexed))

    def _on_the_way(self, fields: dict[str, Any], parent: Record | None) -> Record:
        """The record of an object, the same for every sensor whose pointer leads through it."""
        key = id(fields), id(parent)
        met = self._met_by.get(key)
        if met is None:
            met = self._met_by[key] = Record(fields, parent)
        return met

    def _own(self, record: Record) -> list[Found]:
        """The value of a record that names itself; Telegraf keeps it in a record inside."""
        if value_key(record.fields) is None:
            inner = self._valued_inside.get(id(record))
            if inner is not None:
                return [Found(inner.fields, inner)]
        return [Found(record.fields, record)]

    def _refuse_error(self, name: str) -> None:
        """Neuron's map of errors by name."""
        for record in self._walked():
            errors = record.fields.get("errors")
            if isinstance(errors, dict) and errors.get(name):
                raise RejectedInput("source_error", f"the source reports error {shown(errors[name])}")

    def _walked(self) -> list[Record]:
        if self._all is None:
            self._all = []
            level: list[tuple[object, Record | None, str]] = [(self.document, None, "")]
            while level:
                below: list[tuple[object, Record | None, str]] = []
                for value, parent, place in level:
                    if isinstance(value, list):
                        below += [(item, parent, f"{place}/*") for item in value if isinstance(item, (dict, list))]
                    elif isinstance(value, dict):
                        below += self._met(Record(value, parent, place))
                level = below
                if len(self._all) + len(level) > MAX_RECORDS:
                    self._all = []  # a second search would find nothing sooner
                    self._too_many = True
                    break
        if self._too_many:
            raise RejectedInput(
                "too_many_values", f"more than {MAX_RECORDS} records to search: send fewer in one message"
            )
        return self._all

    def _met(self, record: Record) -> list[tuple[object, Record | None, str]]:
        assert self._all is not None  # noqa: S101 - narrows the type; `_walked` set it
        self._all.append(record)
        if record.parent is not None and value_key(record.fields):
            self._valued_inside.setdefault(id(record.parent), record)
        below: list[tuple[object, Record | None, str]] = []
        for key, value in record.fields.items():
            self._holding.setdefault(key, []).append(record)
            # Telegraf's tags are names
            wrapped = isinstance(value, list) or (isinstance(value, dict) and key != "tags")
            if wrapped and plain(key) in _WRAPPERS:
                below.append((value, record, f"{record.place}/{key}"))
        for name in set(names_in(record.shared)):
            self._named.setdefault(name, []).append(record)
        return below


def _bounded(found: list[Found]) -> list[Found]:
    if len(found) > MAX_FOUND:
        raise RejectedInput("too_many_values", f"{len(found)} values of one sensor, more than {MAX_FOUND}")
    return found


def _around(found: Found) -> Iterator[Record]:
    return iter(()) if found.record is None else found.record.around()


def value_in(found: Found, received_wall_ns: int) -> tuple[object, int | None, list[Quality]]:
    """A found value itself, its time nearest to the measurement, and every quality that is given for it, in itself and around it."""
    raw = found.raw
    times: list[int | None] = []
    qualities: list[Quality] = []
    for _ in range(4):
        if not isinstance(raw, dict):
            break
        key = value_key(raw)
        times.append(time_in(raw, received_wall_ns))
        qualities.append(quality_in(raw, but=key))
        if key is None:
            return Unreadable(*_valueless(raw)), next((at for at in times if at is not None), None), qualities
        raw = raw[key]
    for record in _around(found):
        if record.fields is found.raw:
            continue
        times.append(time_in(record.shared, received_wall_ns))
        qualities.append(quality_in(record.shared, but=found.field))
        if found.field is not None:
            qualities.append(quality_beside(record.shared, record.named, found.field))
    return raw, next((at for at in times if at is not None), None), qualities


def _valueless(fields: Mapping[str, Any]) -> tuple[str, str]:
    if fields.get("error"):
        return "source_error", f"the source reports error {shown(fields['error'])}"
    return "not_a_number", f"{shown(fields)} is not a number"


def _looked_up(here: object, tokens: Sequence[str]) -> object:
    """What a pointer points at; None: nothing."""
    for token in tokens:
        if isinstance(here, dict):
            here = here.get(token)
        elif isinstance(here, list) and (index := index_of(token)) is not None and index < len(here):
            here = here[index]
        else:
            return None
    return here


def _key_of(value: object) -> str:
    """Under which values are found that may be `_equal`: a number and its text are the same."""
    if isinstance(value, float) and value == value // 1:
        return str(int(value))
    return str(value).removesuffix(".0") if isinstance(value, (str, int, float)) else ""


def _equal(found: object, wanted: str | float | bool) -> bool:  # noqa: FBT001 - a value of a site file
    if not isinstance(found, (str, int, float)):
        return False
    return (found == wanted and isinstance(found, bool) == isinstance(wanted, bool)) or str(found) == str(wanted)


def _expanded(found: Found) -> list[Found]:
    """A list of records with values where a value is looked for: each of them."""
    parts = found.raw if isinstance(found.raw, list) else []
    if not parts or not all(isinstance(part, dict) and value_key(part) for part in parts):
        return [found]
    return [Found(part, found.record, found.field, found.indexed) for part in parts]


def _series(items: list[Any], index: int) -> list[Any]:
    """The records of a list that are about the same thing as one of them, if each of those has a time; else that one alone."""
    chosen = items[index]
    if not isinstance(chosen, dict) or len(items) > MAX_FOUND:
        return [chosen]
    about = sorted(names_in(chosen))
    series = [item for item in items if isinstance(item, dict) and sorted(names_in(item)) == about]
    return series if all(time_in(item, _ANY_TIME_NS) is not None for item in series) else [chosen]


_ANY_TIME_NS = 2**62
