"""An MQTT payload becomes sensor values: a bare number, JSON in its common industrial shapes, or SenML (RFC 8428).

| shape | example |
|---|---|
| bare number | ``23.5`` |
| flat JSON | ``{"value": 23.5, "ts": ...}``, ``{"temperature": 23.5}``, or anything with a pointer |
| Azure IoT Operations | ``{"temperature": {"SourceTimestamp": "...", "Value": 23.5}}`` |
| Neuron | ``{"timestamp": ..., "values": {"temperature": 23.5}, "errors": {}}``, or ``{"tags": [{"name", "value"}]}`` |
| SenML | ``[{"bn": "press/", "n": "temperature", "v": 23.5}]`` |
| CloudEvents, structured | any of these under ``data`` |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.errors import RejectedInput
from edge.payload import at_pointer, bare_number, believed, json_of, number_of, shown, text_of, time_in, wall_ns_of
from edge.sections import SensorSettings

MAX_BYTES = 262_144
MAX_RECORDS = 1000  # of one SenML pack
_RELATIVE_S = 2**28  # SenML times below this are relative to now
_SENML_KEYS = frozenset(["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"])


@dataclass(frozen=True, slots=True)
class Value:
    """A finite number, and when its source says it was measured, wall ns (None: not said, or not believable)."""

    number: float
    source_wall_ns: int | None = None


class SensorMessage:
    """One payload, read once, asked for each sensor that listens to its topic.

    Args:
        payload: the MQTT payload.
        content_type: MQTT 5 content type; decides where the payload alone is ambiguous.
        received_wall_ns: when it came, to judge the source's times.

    Raises:
        RejectedInput: ``empty``, ``oversize_bytes``, ``not_text``, or a reason of `json_of`: the whole message is refused.
    """

    def __init__(self, payload: bytes, content_type: str | None, received_wall_ns: int) -> None:
        if len(payload) > MAX_BYTES:
            raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than {MAX_BYTES}")
        text = text_of(payload)
        if not text.strip():
            raise RejectedInput("empty", "the message has no payload")
        self._now_ns = received_wall_ns
        self._number = bare_number(text)
        document: Any = self._number if self._number is not None else json_of(text)
        media = (content_type or "").partition(";")[0].strip().lower()
        if isinstance(document, dict) and (media == "application/cloudevents+json" or "specversion" in document):
            self._time_ns = time_in(document, received_wall_ns)
            document = document.get("data")
        else:
            self._time_ns = None
        self._document = document
        self._senml = media == "application/senml+json" or _looks_like_senml(document)

    def value(self, sensor: SensorSettings) -> Value:
        """This sensor's value, inside its range.

        Raises:
            RejectedInput: ``missing`` (it says nothing of this sensor), ``wrong_format``, ``no_value``, ``not_a_number``, ``not_finite``,
                ``source_error`` (the source itself calls it bad), ``bad_senml``, ``out_of_range``.
        """
        found = self._find(sensor)
        low, high = sensor.minimum, sensor.maximum
        if (low is not None and found.number < low) or (high is not None and found.number > high):
            raise RejectedInput("out_of_range", f"{found.number:g} is outside {low} to {high}")
        return found

    def _find(self, sensor: SensorSettings) -> Value:
        if sensor.format == "number" or (self._number is not None and sensor.format == "auto"):
            if self._number is None:
                raise RejectedInput("wrong_format", f"{shown(self._document)} is not a bare number")
            return Value(self._number)
        if sensor.format == "senml" or (sensor.format == "auto" and self._senml and sensor.pointer is None):
            return _from_senml(self._document, sensor.senml_name or sensor.id, self._now_ns)
        if sensor.pointer is not None:
            raw = at_pointer(self._document, sensor.pointer)
        else:
            raw = _by_name(self._document, sensor.senml_name or sensor.id)
        if isinstance(raw, dict):  # the value with its own time beside it
            key = next((key for key in ("Value", "value") if key in raw), None)
            if key is None:
                raise RejectedInput("not_a_number", f"{shown(raw)} is not a number")
            return Value(number_of(raw[key]), time_in(raw, self._now_ns) or self._outer_time())
        return Value(number_of(raw), self._outer_time())

    def _outer_time(self) -> int | None:
        return time_in(self._document, self._now_ns) or self._time_ns


def _by_name(document: object, name: str) -> object:
    """The value called `name` in the common shapes, else a plain ``value``."""
    if isinstance(document, (bool, int, float)):
        return document
    if not isinstance(document, dict):
        raise RejectedInput("missing", f"the message is {shown(document)}: give the sensor a pointer")
    if name in document:
        return document[name]
    errors, values = document.get("errors"), document.get("values")
    if isinstance(errors, dict) and errors.get(name):
        raise RejectedInput("source_error", f"the source reports error {shown(errors[name])}")
    if isinstance(values, dict) and name in values:
        return values[name]
    tags = document.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and tag.get("name") == name:
            if tag.get("error"):
                raise RejectedInput("source_error", f"the source reports error {shown(tag['error'])}")
            return tag.get("value")
    if "value" in document:
        return document["value"]
    raise RejectedInput("missing", f"the message has neither {shown(name)} nor 'value': give the sensor a pointer")


def _looks_like_senml(document: object) -> bool:
    """A list whose first record has only SenML's fields, and one that names or measures."""
    if not isinstance(document, list) or not document or not isinstance(document[0], dict):
        return False
    keys = set(document[0])
    return bool(keys) and keys <= _SENML_KEYS and not keys.isdisjoint(("n", "bn", "v", "bv"))


def _from_senml(document: object, name: str, now_ns: int) -> Value:
    """The last record that resolves to `name`; base fields reach from their record to the end of the pack."""
    if not isinstance(document, list):
        raise RejectedInput("bad_senml", "a SenML pack is a JSON list of records")
    if len(document) > MAX_RECORDS:
        raise RejectedInput("bad_senml", f"{len(document)} records, more than {MAX_RECORDS}")
    base: dict[str, Any] = {}
    found: tuple[object, float] | None = None
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
        measured = record.get("v", record.get("vb"))
        if base_name + own_name == name and (measured is not None or "bv" in base):
            if not isinstance(measured, bool):
                measured = number_of(0 if measured is None else measured) + number_of(base.get("bv", 0))
            found = (measured, number_of(base.get("bt", 0)) + number_of(record.get("t", 0)))
    if found is None:
        raise RejectedInput("missing", f"the pack has no value for {shown(name)}")
    measured, seconds = found
    return Value(number_of(measured), _senml_time(seconds, now_ns))


def _senml_time(seconds: float, now_ns: int) -> int | None:
    if abs(seconds) < _RELATIVE_S:
        return believed(now_ns + round(seconds * 1e9), now_ns) if seconds else None
    return believed(wall_ns_of(seconds), now_ns)
