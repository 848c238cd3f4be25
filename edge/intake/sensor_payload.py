"""Reads sensor values from an MQTT payload: a bare number, JSON in its common industrial shapes, SenML (RFC 8428), or line protocol.

| shape | example |
|---|---|
| bare number | ``23.5`` |
| flat JSON | ``{"value": 23.5, "ts": ...}``, ``{"temperature": 23.5}``, or anything with a pointer |
| a value with its time and quality | ``{"temperature": {"SourceTimestamp": "...", "Value": 23.5, "StatusCode": {...}}}`` |
| records that name themselves | ``{"values": [{"id": "temperature", "v": 23.5, "q": true, "t": ...}]}`` |
| values by name | ``{"timestamp": ..., "values": {"temperature": 23.5}, "errors": {}}`` |
| SenML | ``[{"bn": "press/", "n": "temperature", "v": 23.5}]`` |
| InfluxDB's line protocol | ``press,host=gw temperature=23.5 1795473512500000000`` |
| text with or without a unit, in quotes or bare | ``23.5 °C`` |
| CloudEvents, structured, batched, with text inside | any of these under ``data`` |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.errors import RejectedInput
from edge.frame import Quality, worst
from edge.intake.fields import quality_of, time_in
from edge.intake.line_protocol import lines_of
from edge.intake.quantity import begins_like_number, is_switch, quantity_of
from edge.intake.readers import at_pointer, bare_number, json_of, number_of, shown, text_of
from edge.intake.records import Found, Record, Records, value_in
from edge.intake.senml import from_senml, looks_like_senml
from edge.parsing.text import inflated
from edge.site.inputs import SensorSettings

MAX_BYTES = 262_144
_MAX_EVENT_TEXTS = 100  # of a batch of CloudEvents, whose data are JSON in a text


@dataclass(frozen=True, slots=True)
class Value:
    """One value of one sensor as a message has it.

    ``refusal`` is why it is none (the message names the sensor, so it is bad from now on); ``device`` is which device the message names that it
    is of. ``source_wall_ns`` is its time of measurement by the source's clock; None: not given, or by a clock that cannot be right.
    """

    number: float
    source_wall_ns: int | None = None
    quality: Quality = Quality.GOOD
    refusal: RejectedInput | None = None
    device: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other sensors of a topic: what they are called, and whether one of them has the same pointer and no `where` either."""

    names: frozenset[str] = frozenset()
    same_pointer: bool = False


ALONE = Neighbours()


class SensorMessage:
    """One payload, read once, asked for each sensor that listens to its topic.

    Args:
        payload: the MQTT payload.
        content_type: MQTT 5 content type; decides where the payload alone is ambiguous.
        received_wall_ns: when it came, to judge the source's times.

    Raises:
        RejectedInput: ``empty``, ``oversize_bytes``, ``bad_gzip``, ``not_text``, or a reason of `json_of`: the whole message is refused.
    """

    def __init__(self, payload: bytes, content_type: str | None, received_wall_ns: int) -> None:
        if len(payload) > MAX_BYTES:
            raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than {MAX_BYTES}")
        text = text_of(inflated(payload, MAX_BYTES))
        if not text.strip():
            raise RejectedInput("empty", "the message has no payload")
        self._now_ns = received_wall_ns
        self._number = bare_number(text)
        document: Any = self._number if self._number is not None else _document(text)
        media = (content_type or "").partition(";")[0].strip().lower()
        self._time_ns: int | None = None
        if isinstance(document, dict) and (media == "application/cloudevents+json" or "specversion" in document):
            self._time_ns = time_in(document, received_wall_ns)
            document = _event_data(document)
        elif isinstance(document, list):
            document = [_opened(item, at) for at, item in enumerate(document)]
        self._senml = media == "application/senml+json" or looks_like_senml(document)
        self._records = Records(document)

    def values(self, sensor: SensorSettings, topic: Neighbours = ALONE) -> list[Value]:
        """This sensor's values, in the order of their time; each of them inside its range, or refused by itself.

        Args:
            sensor: whose.
            topic: who else listens to it.

        Raises:
            RejectedInput: ``missing`` (it has nothing of this sensor), ``wrong_format``, ``ambiguous``, ``source_error``, ``bad_senml``,
                ``too_many_values``.
        """
        return sorted(self._found(sensor, topic), key=self._when)

    def _when(self, value: Value) -> int:
        return self._now_ns if value.source_wall_ns is None else value.source_wall_ns

    def _found(self, sensor: SensorSettings, topic: Neighbours) -> list[Value]:
        name = sensor.senml_name or sensor.id
        if sensor.format == "number" and self._number is None:
            raise RejectedInput("wrong_format", f"{shown(self._records.document)} is not a bare number")
        if self._number is not None and sensor.format in {"number", "auto", "switch"}:
            if topic.names and sensor.format != "number":
                raise RejectedInput("ambiguous", "a bare number on a topic of several sensors: which one measured it?")
            return [_ranged(Value(self._number), sensor)]
        pointed = sensor.pointer is not None or sensor.where
        if sensor.format == "senml" or (sensor.format == "auto" and self._senml and not pointed):
            measured = from_senml(self._records.document, name, self._now_ns)
            return [_valued(item.raw, item.source_wall_ns, Quality.GOOD, sensor) for item in measured]
        return [self._value(found, sensor) for found in self._places(sensor, name, topic)]

    def _places(self, sensor: SensorSettings, name: str, topic: Neighbours) -> list[Found]:
        inside: list[Record] | None = None
        if sensor.where:
            inside = self._records.where(sensor.where)
            if not inside:
                raise RejectedInput("missing", "no record of the message fulfils `where`")
        if sensor.pointer is not None:
            found = self._records.pointed(sensor.pointer, inside)
            return found if inside else _mine(found, sensor, topic)
        found = self._records.called(name, inside)
        if found:
            return found
        if inside is not None:
            return [Found(record.fields, record) for record in inside]
        return self._unnamed(name, topic)

    def _unnamed(self, name: str, topic: Neighbours) -> list[Found]:
        """A plain ``value``, where nothing else can be meant."""
        found = self._records.plain_values()
        if not found:
            raise RejectedInput(
                "missing", f"the message has neither {shown(name)} nor 'value': give the sensor a pointer"
            )
        if topic.names:
            bare = not isinstance(self._records.document, (dict, list))
            raise RejectedInput(
                "ambiguous" if bare else "missing",
                f"a value that is not called {shown(name)}, on a topic of several sensors",
            )
        another = next(self._records.names(), None)
        if another is not None:
            raise RejectedInput(
                "missing",
                f"the value is that of {shown(another)}, not of {shown(name)}: set senml_name, or choose one with `where`",
            )
        if len({item.record.place for item in found if item.record}) > 1:
            raise RejectedInput("ambiguous", "several values without a name: give the sensor a pointer")
        return found

    def _value(self, found: Found, sensor: SensorSettings) -> Value:
        raw, source_wall_ns, qualities = value_in(found, self._now_ns)
        quality = worst(*qualities)
        if sensor.quality_pointer is not None:
            quality = worst(quality, _given_quality(self._quality_place(found, sensor), sensor))
        told_ns = self._time_ns if source_wall_ns is None else source_wall_ns
        return _valued(raw, told_ns, quality, sensor, found.device())

    def _quality_place(self, found: Found, sensor: SensorSettings) -> object:
        """From the record that `where` chose or that holds the value; else from the document."""
        for record in () if found.record is None else found.record.around():
            try:
                return at_pointer(record.fields, sensor.quality_pointer or "")
            except RejectedInput:
                continue
        try:
            return at_pointer(self._records.document, sensor.quality_pointer or "")
        except RejectedInput:
            return None


def _given_quality(given: object, sensor: SensorSettings) -> Quality:
    """The quality that the site gives a source's own word; an unknown word is bad."""
    if sensor.quality_good:
        return (
            Quality.GOOD
            if any(given == good or str(given) == str(good) for good in sensor.quality_good)
            else Quality.BAD
        )
    return quality_of(given) or Quality.BAD


def _valued(
    raw: object,
    source_wall_ns: int | None,
    quality: Quality,
    sensor: SensorSettings,
    device: tuple[tuple[str, str], ...] = (),
) -> Value:
    """A value, or why it is none."""
    if quality is Quality.BAD:
        refusal = RejectedInput("source_error", "the source itself calls the value bad")
        return Value(float("nan"), source_wall_ns, quality, refusal, device)
    try:
        text = raw if isinstance(raw, str) else None
        number = raw if text is None else quantity_of(text, sensor.unit, switch=sensor.format == "switch")
        return _ranged(Value(number_of(number), source_wall_ns, quality, device=device), sensor)
    except RejectedInput as error:
        return Value(float("nan"), source_wall_ns, Quality.BAD, error, device)


def _ranged(value: Value, sensor: SensorSettings) -> Value:
    low, high = sensor.minimum, sensor.maximum
    if (low is None or value.number >= low) and (high is None or value.number <= high):
        return value
    refusal = RejectedInput("out_of_range", f"{value.number:g} is outside {low} to {high}")
    return Value(float("nan"), value.source_wall_ns, Quality.BAD, refusal, value.device)


def _mine(found: list[Found], sensor: SensorSettings, topic: Neighbours) -> list[Found]:
    """What a pointer found, without what belongs to another sensor of the topic.

    A record that names itself counts for whom it names, where the site names the sensor's name there, or where only a place in a list or a pointer
    that several sensors have would distinguish them.
    """
    mine = [item for item in found if _may_be(item, sensor, topic)]
    if not mine:
        raise RejectedInput(
            "missing",
            f"what the pointer finds is called {shown(found[0].called()[0])}: set senml_name to what this sensor is called there, or set `where`",
        )
    return mine


def _may_be(found: Found, sensor: SensorSettings, topic: Neighbours) -> bool:
    called = found.called()
    if not called or (sensor.senml_name or sensor.id) in called:
        return True
    if sensor.senml_name is not None or not topic.names.isdisjoint(called):
        return False
    return not (topic.names and (found.indexed or topic.same_pointer))


def _document(text: str) -> object:
    """Records in line protocol, or JSON, or a text that begins like a number: whether it is one, its unit decides."""
    records = lines_of(text)
    if records is not None:
        return records if len(records) > 1 else records[0]
    return text if begins_like_number(text) or is_switch(text) else json_of(text)


def _event_data(event: dict[str, Any]) -> object:
    """What a CloudEvent carries; JSON in a text is read too."""
    data = event.get("data", {})
    return json_of(data) if isinstance(data, str) and data.lstrip()[:1] in {"{", "["} else data


def _opened(item: object, at: int) -> object:
    """An item of a list; of a batch of CloudEvents what it carries, and its time."""
    if not isinstance(item, dict) or "specversion" not in item:
        return item
    data = _event_data(item) if at < _MAX_EVENT_TEXTS else item.get("data")
    return {"time": item.get("time"), "data": data}
