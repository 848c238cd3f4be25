"""What vendors send, as they send it: each value reaches its sensor, is bad at once, or is nobody's; none is taken for another's."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge.frame import Quality
from edge.intake.source import Accepted, Source
from edge.site.settings import Site
from edge.wire.envelope import Incoming

NOW_NS = 1_795_473_512_768_000_000  # 2026-11-23T22:38:32.768Z
NOW_MS = NOW_NS // 1_000_000
S = 1_000_000_000
TOPIC = "plant/gateway"
BAD = "bad"


def iso(ago_s: float = 0.0) -> str:
    """RFC 3339 of so long ago."""
    return (datetime.fromtimestamp(NOW_NS / 1e9, UTC) - timedelta(seconds=ago_s)).isoformat().replace("+00:00", "Z")


def source(*sensors: dict[str, Any]) -> Source:
    """A source whose sensors share one topic."""
    return Source(Site(**site_of(*sensors)), {})


def site_of(*sensors: dict[str, Any]) -> dict[str, Any]:
    """A site of sensors on one topic, each with a rule."""
    listed = [{"topic": TOPIC, **sensor} for sensor in sensors]
    rules = [{"id": f"r-{sensor['id']}", "sensor": sensor["id"], "kind": "above", "limit": 50} for sensor in listed]
    return {"bundle": "b", "node": {"id": "n"}, "sensors": listed, "rules": rules, "faults": [{"id": "f", "rules": [rules[0]["id"]]}]}  # fmt: skip


def send(here: Source, payload: object, *, after_s: float = 0.0, topic: str = TOPIC, **changes: Any) -> Accepted:
    """One message, so long after the first."""
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    after_ns = round(after_s * S)
    return here.accept(Incoming(topic, encoded, **{"retained": False, "received_ns": 10_000 * S + after_ns, "received_wall_ns": NOW_NS + after_ns} | changes))  # fmt: skip


def heard(accepted: Accepted) -> dict[str, list[float | str]]:
    """What each sensor heard, in order."""
    found: dict[str, list[float | str]] = {}
    for reading in accepted.readings_in_order:
        found.setdefault(reading.sensor, []).append(BAD if reading.quality is Quality.BAD else reading.value)
    return found


def counted(accepted: Accepted) -> list[str]:
    """The reasons of what was refused."""
    return [rejection.reason for rejection in accepted.rejections]


T = {"id": "t", "senml_name": "temperature"}
P = {"id": "p", "senml_name": "pressure"}

SHAPES: list[tuple[str, list[dict[str, Any]], object, dict[str, list[float | str]]]] = [
    ("Kepware, only what changed", [T, P], {"timestamp": NOW_MS, "values": [{"id": "pressure", "v": 9, "q": True, "t": NOW_MS}]}, {"p": [9.0]}),
    ("Kepware, by place in a shared list", [{"id": "t", "pointer": "/values/0/v"}, {"id": "p", "pointer": "/values/1/v"}],
     {"values": [{"id": "pressure", "v": 99, "q": True, "t": NOW_MS}]}, {}),
    ("Kepware, one list, two changes of one tag", [T], {"values": [{"id": "temperature", "v": 2, "t": NOW_MS}, {"id": "temperature", "v": 1, "t": NOW_MS - 500}]}, {"t": [1.0, 2.0]}),
    ("a record of another name", [T], {"id": "pressure", "value": 99}, {}),
    ("a record of another name on a shared topic", [T, P], {"id": "pressure", "value": 99}, {"p": [99.0]}),
    ("a record of another name, one pointer for both", [T | {"pointer": "/value"}, P | {"pointer": "/value"}], {"id": "pressure", "value": 99}, {"p": [99.0]}),
    ("a record that names nobody of the topic", [T | {"pointer": "/value"}, P | {"pointer": "/value"}], {"id": "flow", "value": 99}, {}),
    ("a bare number on a shared topic", [T, P], b"99", {"t": [BAD], "p": [BAD]}),
    ("a plain value on a shared topic", [T, P], {"value": 99}, {}),
    ("a message number is no name", [T], {"id": "8c1f9f0e-9e0e-4b52-9f0a-3d8c4f6f1a11", "value": 9}, {"t": [9.0]}),
    ("rtl_433, chosen", [T | {"pointer": "/temperature_C", "where": {"/model": "Tower", "/id": 77}}], {"time": "2026-11-23 22:38:32", "model": "Tower", "id": 77, "temperature_C": 21.5}, {"t": [21.5]}),
    ("rtl_433, the neighbour's", [T | {"pointer": "/temperature_C", "where": {"/model": "Tower", "/id": 77}}], {"model": "Tower", "id": 78, "temperature_C": 99}, {}),
    ("Telegraf", [T | {"pointer": "/fields/value", "where": {"/tags/id": "motor1"}}], {"fields": {"value": 9}, "name": "opcua", "tags": {"id": "motor1"}, "timestamp": NOW_MS // 1000}, {"t": [9.0]}),
    ("Telegraf, another motor", [T | {"pointer": "/fields/value", "where": {"/tags/id": "motor1"}}], {"fields": {"value": 99}, "name": "opcua", "tags": {"id": "motor2"}}, {}),
    ("Telegraf, a batch", [T | {"senml_name": "temp", "where": {"/tags/id": "motor1"}}],
     {"metrics": [{"fields": {"temp": 5}, "name": "m", "tags": {"id": "motor2"}, "timestamp": NOW_MS}, {"fields": {"temp": 9}, "name": "m", "tags": {"id": "motor1"}, "timestamp": NOW_MS}]}, {"t": [9.0]}),
    ("Telegraf, by the name of the metric", [T], {"fields": {"value": 9}, "name": "temperature", "tags": {"host": "a"}, "timestamp": NOW_MS}, {"t": [9.0]}),
    ("a condition on text, number and switch", [T | {"where": {"/unit": 3, "/on": True, "/kind": "x"}}], [{"unit": "3", "on": True, "kind": "x", "temperature": 9}], {"t": [9.0]}),
    ("ThingsBoard, newest first", [T], [{"ts": NOW_MS, "values": {"temperature": 9}}, {"ts": NOW_MS - 4000, "values": {"temperature": 1}}], {"t": [1.0, 9.0]}),
    ("ThingsBoard, by place", [T | {"pointer": "/0/values/p"}], [{"ts": NOW_MS - 1000, "values": {"p": 1}}, {"ts": NOW_MS, "values": {"p": 9}}], {"t": [1.0, 9.0]}),
    ("a list of one", [T], [{"temperature": 9}], {"t": [9.0]}),
    ("a list of one with a pointer", [T | {"pointer": "/a/b"}], [{"a": {"b": 9}}], {"t": [9.0]}),
    ("a list of one plain value", [T], [{"v": 9}], {"t": [9.0]}),
    ("Sparkplug in JSON", [T], {"timestamp": NOW_MS, "metrics": [{"name": "temperature", "timestamp": NOW_MS, "dataType": "Float", "value": 9}], "seq": 3}, {"t": [9.0]}),
    ("Sparkplug in JSON, bad", [T], {"metrics": [{"name": "temperature", "value": 9, "properties": {"Quality": {"type": "Int32", "value": 0}}}]}, {"t": [BAD]}),
    ("EdgeX", [T], {"event": {"readings": [{"resourceName": "temperature", "origin": NOW_NS, "value": 9}]}}, {"t": [9.0]}),
    ("OPC UA PubSub", [T], {"MessageType": "ua-data", "Messages": [{"Payload": {"temperature": {"Value": 9, "SourceTimestamp": iso()}}}]}, {"t": [9.0]}),
    ("CloudEvents with a text", [T], {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": '{"temperature": 9}'}, {"t": [9.0]}),
    ("CloudEvents, a batch", [T], [{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": iso(2), "data": {"temperature": 8}}, {"specversion": "1.0", "id": "2", "time": iso(), "data": {"temperature": 9}}], {"t": [8.0, 9.0]}),
    ("Litmus", [T], {"success": True, "datatype": "float64", "timestamp": NOW_MS, "tagName": "temperature", "value": 9, "quality": 192}, {"t": [9.0]}),
    ("Neuron, no value of it", [T], {"timestamp": NOW_MS, "values": {}, "errors": {"temperature": 2014}}, {"t": [BAD]}),
    ("two places of one name", [T], {"values": {"temperature": 1}, "data": {"temperature": 99}}, {"t": [BAD]}),
    ("a nested fact of the device is not its value", [T], {"temperature": 9, "device": {"temperature": 99}}, {"t": [9.0]}),
    ("SenML, a peak inside", [T], [{"bn": "temperature", "bt": NOW_NS / 1e9 - 2, "v": 20}, {"t": 1, "v": 400}, {"t": 2, "v": 21}], {"t": [20.0, 400.0, 21.0]}),
    ("SenML, newest first", [T], [{"n": "temperature", "t": NOW_NS / 1e9, "v": 400}, {"n": "temperature", "t": NOW_NS / 1e9 - 9, "v": 20}], {"t": [20.0, 400.0]}),
    ("SenML, one record broken", [T], b'[{"n":"temperature","v":nan,"t":-1},{"n":"temperature","v":5}]', {"t": [BAD, 5.0]}),
    ("a record of another name, pointed at", [T | {"pointer": "/value"}], {"name": "pressure", "value": 99}, {}),
    ("a list of timed values", [T], {"temperature": [{"ts": NOW_MS, "value": 2}, {"ts": NOW_MS - 1000, "value": 1}]}, {"t": [1.0, 2.0]}),
    ("a map of qualities", [T, P], {"values": {"temperature": 1, "pressure": 2}, "quality": {"temperature": "Bad", "pressure": "Good"}}, {"t": [BAD], "p": [2.0]}),
    ("a quality named after its value", [T, P], {"temperature": 1, "temperature_quality": "bad", "pressure": 2, "pressureStatus": "Good"}, {"t": [BAD], "p": [2.0]}),
    ("a tag with the code of an error", [T], {"tags": [{"name": "temperature", "value": 1, "error": 2002}]}, {"t": [BAD]}),
    ("a controller's error is no fault of the value", [T], {"temperature": 1, "setpoint": 3, "error": 2}, {"t": [1.0]}),
    ("a broken neighbour", [T, P], b'{"temperature": 81.5, "pressure": nan}', {"t": [81.5], "p": [BAD]}),
    ("a broken field that nobody reads", [T], b'{"temperature": 81.5, "x": None, "y": , "z": [inf]}', {"t": [81.5]}),
    ("a neighbour twice", [T, P], b'{"temperature": 81.5, "pressure": 1, "pressure": 2}', {"t": [81.5], "p": [BAD]}),
    ("JSON in gzip", [T], gzip.compress(b'{"temperature": 81.5}'), {"t": [81.5]}),
    ("JSON in UTF-16", [T], '{"temperature": 81.5}'.encode("utf-16"), {"t": [81.5]}),
    ("a number in UTF-16", [T], "81.5".encode("utf-16"), {"t": [81.5]}),
    ("a number in quotes", [T], {"temperature": "81.5"}, {"t": [81.5]}),
    ("a text with its unit", [T | {"unit": "kW"}], b"81.5 kW", {"t": [81.5]}),
    ("a text with another unit", [T | {"unit": "kW"}], {"temperature": "81.5 W"}, {"t": [BAD]}),
    ("a text with a comma", [T], b"1,013.2 hPa", {"t": [BAD]}),
    ("a text with its unit on a shared topic", [T, P], "81.5 °C".encode(), {"t": [BAD], "p": [BAD]}),
    ("a switch", [T | {"format": "switch"}], b"ON", {"t": [1.0]}),
    ("a switch in JSON", [T | {"format": "switch"}], {"temperature": "off"}, {"t": [0.0]}),
    ("a switch that sends numbers", [T | {"format": "switch"}], b"1", {"t": [1.0]}),
    ("a switch that is unavailable", [T | {"format": "switch"}], b"unavailable", {"t": [BAD]}),
    ("a thermometer that is off", [T], b"OFF", {"t": [BAD]}),
    ("what Python prints", [T], b"True", {"t": [1.0]}),
    ("a truth in quotes", [T], {"temperature": "false"}, {"t": [0.0]}),
    ("line protocol, by field", [T, P], f"motor,host=a temperature=81.5,pressure=nan {NOW_NS}".encode(), {"t": [81.5], "p": [BAD]}),
    ("line protocol, chosen by tag", [T | {"senml_name": "temp", "where": {"/tags/host": "a"}}], b"motor,host=b temp=99\nmotor,host=a temp=81.5\n", {"t": [81.5]}),
    ("line protocol, newest first", [T], f"m temperature=2 {NOW_NS}\nm temperature=1 {NOW_NS - S}".encode(), {"t": [1.0, 2.0]}),
    ("line protocol, another field", [T], b"motor,host=a pressure=99", {}),
    ("zero bytes of a C buffer", [T], b'{"temperature": 81.5}\x00\x00', {"t": [81.5]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sensors", "payload", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES]
)
def test_a_vendors_message_reaches_its_sensor_and_no_other(
    sensors: list[dict[str, Any]], payload: object, expected: dict[str, list[float | str]]
) -> None:
    """Every record counts, in the order of its time; what names somebody else is nobody's."""
    assert heard(send(source(*sensors), payload)) == {sensor: values for sensor, values in expected.items() if values}


BAD_FIELDS: list[dict[str, Any]] = [
    {"q": False}, {"q": 0}, {"quality": "Bad_Disconnected"}, {"quality": "BAD"}, {"quality": {"code": 512, "name": "Bad_Stale"}},
    {"quality": -2147483136}, {"quality": 500}, {"Quality": 24}, {"StatusCode": {"Code": 2150891520, "Symbol": "BadNoCommunication"}},
    {"StatusCode": 2147483648}, {"statusCode": "BadTimeout"}, {"status": "error: no answer"}, {"status": "Offline"}, {"valid": False},
    {"stale": True}, {"isBad": True}, {"is_null": True}, {"error": "crc"}, {"good": False}, {"opc_quality": 0},
]  # fmt: skip
GOOD_FIELDS: list[dict[str, Any]] = [
    {"q": True}, {"q": 192}, {"quality": "Good"}, {"quality": 216}, {"quality": {"code": 192, "name": "Good"}}, {"StatusCode": {"Code": 0, "Symbol": "Good"}},
    {"StatusCode": 0}, {"status": "running"}, {"status": 3}, {"statusCode": 200}, {"valid": True}, {"error": False}, {"error": ""}, {"error": 0.2},
    {"linkquality": 0}, {"air_quality": "bad"}, {"stale": False}, {"status": False}, {"quality": "excellent"},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=str)
@pytest.mark.parametrize("shape", ["flat", "inside", "list"])
def test_what_the_source_calls_bad_is_bad_at_once(fields: dict[str, Any], shape: str) -> None:
    """A value beside a bad quality is none, whatever the number says; the reason is counted."""
    record = {"value": 81.5, **fields}
    payload = {
        "flat": record,
        "inside": {"temperature": record},
        "list": {"values": [{"id": "temperature", **record}]},
    }[shape]
    accepted = send(source(T), payload)
    assert (heard(accepted), counted(accepted)) == ({"t": [BAD]}, ["source_error"])


@pytest.mark.parametrize("fields", GOOD_FIELDS, ids=str)
def test_what_only_looks_like_a_quality_is_none(fields: dict[str, Any]) -> None:
    """Good codes, states of machines, measurements that are called quality: the value counts."""
    assert heard(send(source(T), {"temperature": {"value": 81.5, **fields}})) == {"t": [81.5]}


@pytest.mark.parametrize("quality", ["Uncertain", 64, {"Code": 1073741824}, "questionable"])
def test_an_uncertain_value_is_passed_on_as_that(quality: object) -> None:
    """It may show a fault, and cannot show that there is none: the rule decides."""
    key = "StatusCode" if isinstance(quality, dict) else "quality"
    (reading,) = send(source(T), {"temperature": {"Value": 81.5, key: quality}}).readings
    assert (reading.value, reading.quality) == (81.5, Quality.UNCERTAIN)


@pytest.mark.parametrize(
    ("settings", "said", "expected"),
    [
        ({}, "Good", 9.0), ({}, "Bad", BAD), ({}, "strange", BAD), ({}, None, BAD), ({"quality_good": ["OK", 1]}, "OK", 9.0),
        ({"quality_good": ["OK", 1]}, 1, 9.0), ({"quality_good": ["OK", 1]}, 192, BAD),
    ],
)  # fmt: skip
def test_a_quality_that_only_this_vendor_has_is_pointed_at(
    settings: dict[str, Any], said: object, expected: float | str
) -> None:
    """What is not known to be good there is bad, and so is nothing at all."""
    here = source(T | {"pointer": "/a/x", "quality_pointer": "/a/health"} | settings)
    payload = {"a": {"x": 9} | ({} if said is None else {"health": said})}
    assert heard(send(here, payload)) == {"t": [expected]}


@pytest.mark.parametrize("payload", [b"unavailable", b"null", b"NaN", b"nan", b'{"value": null}', b'{"value": NaN}', b'{"value": "Error"}', b"-127", b'"off line"', b"\xff\xfe", b'{"val'])  # fmt: skip
def test_a_value_that_was_spoken_of_and_refused_is_bad_at_once(payload: bytes) -> None:
    """It is counted by its reason, and nothing is known of the sensor until its next value."""
    here = source(T | {"minimum": -40})
    assert heard(send(here, b"20")) == {"t": [20.0]}
    accepted = send(here, payload, after_s=1)
    assert (heard(accepted), len(counted(accepted))) == ({"t": [BAD]}, 1)
    assert heard(send(here, b"21", after_s=2)) == {"t": [21.0]}


@pytest.mark.parametrize(("payload", "changes"), [({"humidity": 4}, {}), (b"20", {"retained": True})])
def test_what_says_nothing_of_a_sensor_changes_nothing(payload: object, changes: dict[str, Any]) -> None:
    """Other fields and replayed messages are counted; the last value stands until it is stale."""
    assert heard(send(source(T), payload, **changes)) == {}


# Time


@pytest.mark.parametrize("ago_s", [11, 60, 3000, 3 * 3600, 2 * 86_400, 300 * 86_400])
@pytest.mark.parametrize(
    "payload",
    [
        lambda ago: {"value": 99, "ts": iso(ago)},
        lambda ago: {"temperature": 99, "last_seen": iso(ago)},
        lambda ago: {"temperature": {"SourceTimestamp": iso(ago), "Value": 99}},
        lambda ago: {"timestamp": NOW_MS - ago * 1000, "values": {"temperature": 99}},
        lambda ago: [{"n": "temperature", "v": 99, "t": -ago}],
        lambda ago: {
            "timestamp": NOW_MS,
            "values": [{"id": "temperature", "v": 99, "q": True, "t": NOW_MS - ago * 1000}],
        },
        lambda ago: {"specversion": "1.0", "id": "1", "time": iso(ago), "data": {"temperature": 99}},
        lambda ago: {"fields": {"temperature": 99}, "name": "x", "tags": {}, "timestamp": NOW_MS // 1000 - ago},
    ],
)
def test_what_was_measured_too_long_ago_is_no_news(payload: Any, ago_s: int) -> None:
    """However old, and wherever its time stands: it neither is a value nor takes one away."""
    accepted = send(source(T), payload(ago_s))
    assert (heard(accepted), counted(accepted)) == ({}, ["too_old"])


def test_the_age_of_a_value_travels_with_it() -> None:
    """Two seconds old by its source: measured two seconds before it came."""
    (reading,) = send(source(T), {"value": 9, "ts": iso(2)}).readings
    assert reading.received_ns - reading.measured_ns == pytest.approx(2 * S, abs=S // 1000)


def test_out_of_order_is_replaced_and_the_same_again_is_unchanged() -> None:
    """What a newer one came before is dropped and counted; an unchanged stamp with an unchanged value is no news."""
    here = source(T)
    assert heard(send(here, {"value": 20, "ts": iso(1)})) == {"t": [20.0]}
    assert counted(send(here, {"value": 99, "ts": iso(2)}, after_s=0.1)) == ["replaced"]
    assert counted(send(here, {"value": 20, "ts": iso(1)}, after_s=0.2)) == ["unchanged"]
    assert heard(send(here, {"value": 21, "ts": iso(1)}, after_s=0.3)) == {"t": [21.0]}, "a coarse clock, a new value"
    assert heard(send(here, {"value": 22, "ts": iso(0)}, after_s=0.4)) == {"t": [22.0]}


@pytest.mark.parametrize("stamps_s", [(0, 3000), (0, 86_400), (-600, 600), (3000, 0), (-600, 3000)])
def test_stamps_that_go_to_and_fro_do_not_let_a_value_flip(stamps_s: tuple[int, int]) -> None:
    """Of two clocks at most one is heard, whichever speaks first."""
    here = source(T)
    seen = set()
    for turn in range(8):
        value = turn % 2
        accepted = send(here, {"value": value, "ts": iso(stamps_s[value] - turn)}, after_s=turn)
        seen |= {reading.value for reading in accepted.readings}
    assert len(seen) == 1


@pytest.mark.parametrize(
    "ts",
    ["2001-01-01T00:00:00Z", 48_213, "1970-01-01T00:00:09Z", "2026-11-24T22:38:32Z", "2026-11-23 22:38:32", True, None],
)
def test_a_clock_that_cannot_be_right_is_not_believed(ts: object) -> None:
    """Never set, a counter, a day ahead, without a zone: the time of receipt counts."""
    (reading,) = send(source(T), {"value": 9, "ts": ts}).readings
    assert (reading.age_ns, reading.source_wall_ns) == (0, None)


def test_a_site_can_ignore_the_times_of_a_source() -> None:
    """`max_age_ms = 0`: for a clock that is wrong, or a time that is that of the last change."""
    here = source(T | {"max_age_ms": 0})
    for turn in range(3):
        (reading,) = send(here, {"value": 9, "ts": iso(86_400)}, after_s=turn).readings
        assert reading.age_ns == 0


def test_a_batch_counts_back_a_minute_and_a_flushed_backlog_does_not() -> None:
    """Records before the newest are history of now; an hour old ones say nothing of now."""
    pack = [{"bn": "temperature", "bt": NOW_NS / 1e9 - 3600, "v": 400}, {"t": 3560, "v": 300}, {"t": 3600, "v": 20}]
    accepted = send(source(T), pack)
    assert (heard(accepted), counted(accepted)) == ({"t": [300.0, 20.0]}, ["too_old"])
    here = source(T)
    flushed = [
        heard(send(here, {"value": 10 - turn, "ts": iso(3600 - turn * 300)}, after_s=turn / 10)) for turn in range(12)
    ]
    assert flushed == [{}] * 12


def test_a_batch_that_overlaps_what_was_heard_still_counts() -> None:
    """A pack whose newest record was sent before by itself brings the others; the same pack again is unchanged."""
    here = source(T)
    send(here, [{"n": "temperature", "t": NOW_NS / 1e9, "v": 20}])
    pack = [{"bn": "temperature", "bt": NOW_NS / 1e9 - 4, "v": 20}, {"t": 2, "v": 400}, {"t": 4, "v": 20}]
    assert heard(send(here, pack, after_s=0.5)) == {"t": [20.0, 400.0, 20.0]}
    assert counted(send(here, pack, after_s=1)) == ["unchanged"] * 3


# Which device


def test_a_topic_of_two_devices_is_ambiguous_until_the_site_says_which() -> None:
    """Without `where` nobody knows whose value it is, so it is bad while both are there; with it, the other device is not heard."""
    tower = {"model": "Tower", "id": 77, "temperature": 20}
    other = {"model": "Tower", "id": 78, "temperature": 99}
    here = source(T)
    assert heard(send(here, tower)) == {"t": [20.0]}
    for turn, payload in enumerate((other, tower, other), start=1):
        accepted = send(here, payload, after_s=turn)
        assert (heard(accepted), counted(accepted)) == ({"t": [BAD]}, ["ambiguous"])
    assert heard(send(here, tower | {"temperature": 22}, after_s=602)) == {"t": [BAD]}, (
        "the other was there within ten minutes"
    )
    assert heard(send(here, tower | {"temperature": 23}, after_s=604)) == {"t": [23.0]}, "the other one is gone"
    chosen = source(T | {"where": {"/id": 77}})
    assert [heard(send(chosen, payload, after_s=turn)) for turn, payload in enumerate((tower, other, tower | {"temperature": 21}))] == [
        {"t": [20.0]}, {}, {"t": [21.0]},
    ]  # fmt: skip


# A gateway that is gone


@pytest.mark.parametrize(
    "word", [b"offline", b"Offline", b'{"state": "offline"}', b'{"online": false}', b"0", b"false", b'"disconnected"']
)
def test_a_gateway_that_says_offline_makes_its_sensors_bad(word: bytes) -> None:
    """Its last will is retained, and counts all the same; the next value is believed again."""
    here = source(T | {"availability_topic": "gw/LWT"}, P | {"topic": "other"})
    assert next(item for item in here.subscriptions() if item.topic == "gw/LWT").no_retained is False
    send(here, {"temperature": 20})
    accepted = send(here, word, topic="gw/LWT", retained=True, after_s=1)
    assert (heard(accepted), counted(accepted)) == ({"t": [BAD]}, ["offline"])
    assert heard(send(here, {"temperature": 21}, after_s=2)) == {"t": [21.0]}


@pytest.mark.parametrize(
    ("word", "reasons"),
    [
        (b"online", []),
        (b'{"state": "online"}', []),
        (b"1", []),
        (b"soon", ["bad_availability"]),
        (b"", ["bad_availability"]),
    ],
)
def test_a_gateway_that_says_online_or_nonsense_changes_nothing(word: bytes, reasons: list[str]) -> None:
    """Online brings no value; what is neither is counted."""
    accepted = send(source(T | {"availability_topic": "gw/LWT"}), word, topic="gw/LWT")
    assert (heard(accepted), counted(accepted)) == ({}, reasons)


def test_a_gateway_that_says_offline_loses_its_cameras() -> None:
    """No frame came, so none is accounted for; what is unclear changes nothing."""
    site = site_of(T) | {"cameras": [{"id": "c", "availability_topic": "gw/LWT"}, {"id": "d"}]}
    here = Source(Site(**site), {"c": 40.0, "d": 40.0})
    assert "gw/LWT" in {item.topic for item in here.subscriptions() if not item.no_retained}
    accepted = send(here, b"offline", topic="gw/LWT", retained=True)
    assert (accepted.lost, counted(accepted)) == (("c",), ["offline"])
    assert accepted.rejections[0].camera is None
    assert "camera c" in accepted.rejections[0].detail
    assert [send(here, word, topic="gw/LWT").lost for word in (b"online", b"soon")] == [(), ()]


# Many sensors of one gateway


def many(count: int, shape: str) -> tuple[Source, bytes]:
    """Sensors of one topic, and a message with a value of each."""
    names = [f"t{number}" for number in range(count)]
    extra: dict[str, Any] = {"stale_after_ms": 5000}
    if shape == "pointers":
        return source(*({"id": name, "pointer": f"/{name}"} | extra for name in names)), json.dumps(
            dict.fromkeys(names, 9)
        ).encode()
    if shape == "names":
        return source(*({"id": name} | extra for name in names)), json.dumps(
            {"values": dict.fromkeys(names, 9)}
        ).encode()
    records = [{"id": number, "v": 9} for number in range(count)]
    if shape == "where":
        chosen = ({"id": name, "pointer": "/v", "where": {"/id": number}} | extra for number, name in enumerate(names))
        return source(*chosen), json.dumps(records).encode()
    named = [{"id": name, "v": 9} for name in names]
    return source(*({"id": name} | extra for name in names)), json.dumps({"values": named}).encode()


@pytest.mark.parametrize("shape", ["pointers", "names", "where", "records"])
def test_a_message_of_a_thousand_sensors_costs_what_it_holds(shape: str) -> None:
    """Not its square: at five a second none of them may be refused as a flood. Eight times the sensors: its square would be 64 times the cost."""
    costs_ms = []
    for count in (125, 1000):
        here, payload = many(count, shape)
        times = []
        for at_s in range(4):
            began_s = time.thread_time()
            accepted = send(here, payload, after_s=at_s)
            times.append((time.thread_time() - began_s) * 1e3)
            assert len(accepted.readings) == count, accepted.rejections[:2]
        costs_ms.append(min(times))
    assert costs_ms[1] < 25 * costs_ms[0]


@pytest.mark.parametrize(("told", "wanted"), [(77, 77), (77.0, 77), ("77", 77), (77, "77"), ("a", "a"), (True, True), (7.5, 7.5)])  # fmt: skip
def test_a_condition_takes_a_number_for_its_text(told: object, wanted: Any) -> None:
    """As gateways write them; a switch is no number."""
    here = source({"id": "t", "where": {"/k": wanted}})
    assert heard(send(here, [{"k": told, "v": 9}, {"k": "other", "v": 1}])) == {"t": [9.0]}
    assert heard(send(here, [{"k": None, "v": 9}, {"v": 9}], after_s=1)) == {}
