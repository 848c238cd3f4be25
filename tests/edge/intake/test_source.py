"""Messages become frames and readings, or counted refusals: every shape of the trade, and everything bad that can come."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Frame
from edge.intake.source import Accepted, Source
from edge.site.settings import Site
from edge.wire.envelope import Incoming, Subscription

ROOT = Path(__file__).parents[3]
NOW_NS = 1_795_473_512_768_000_000  # 2026-11-23T22:38:32.768Z
BEFORE = "2026-11-23T22:38:32.500Z"
BEFORE_NS = NOW_NS - 268_000_000
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 2 + b"\xff\xd9"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8L" + bytes(40)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
B64 = base64.b64encode(JPEG).decode()

SITE: dict[str, Any] = {
    "bundle": "bundle",
    "node": {"id": "press7"},
    "cameras": [
        {"id": "top", "max_bytes": 100_000},
        {"id": "side", "topic": "plant/side", "image_pointer": "/params/shot"},
    ],
    "sensors": [
        {"id": "temperature", "minimum": -40, "maximum": 200},
        {"id": "bare", "format": "number"},
        {"id": "power", "topic": "shelly/events/rpc", "pointer": "/params/pm1:0/apower"},
        {"id": "vibration", "topic": "plant/gateway", "senml_name": "press/vibration"},
        {"id": "pressure", "topic": "plant/gateway", "senml_name": "press/pressure", "maximum": 10},
        {"id": "pack", "format": "senml", "senml_name": "press/pack"},
    ],
}
TOPICS = ["edge/v1/press7/in/frame/top", "plant/side", "shelly/events/rpc", "plant/gateway"] + [
    f"edge/v1/press7/in/sensor/{name}" for name in ("temperature", "bare", "pack")
]
FRAME, TEMPERATURE = TOPICS[0], TOPICS[4]


LATER_NS = 5_000_000_000  # on a slow processor the message before took its topic's share of the first second


def source(**changes: Any) -> Source:
    """A fresh source of the site above or one like it, with budgets of 40 ms."""
    return Source(Site(**SITE | changes), {"top": 40.0, "side": 40.0})


def incoming(topic: str, payload: object, **changes: Any) -> Incoming:
    """A message; what is not bytes is sent as JSON."""
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Incoming(topic, encoded, **{"retained": False, "received_ns": 5_000, "received_wall_ns": NOW_NS} | changes)


def only_frame(accepted: Accepted) -> Frame:
    """The frame, when it is all that came."""
    assert accepted.rejections == ()
    assert len(accepted.frames) == 1
    return accepted.frames[0]


def values(accepted: Accepted) -> dict[str, float]:
    """Sensor values by id."""
    return {reading.sensor: reading.value for reading in accepted.readings}


def reasons(accepted: Accepted) -> dict[str | None, str]:
    """Reasons of refusal by camera or sensor."""
    return {rejection.camera or rejection.sensor: rejection.reason for rejection in accepted.rejections}


def test_every_topic_is_subscribed_once() -> None:
    """Frames at QoS 0, sensors at QoS 1, a shared topic once, and no replay of retained messages."""
    subscriptions = source().subscriptions()
    assert sorted(item.topic for item in subscriptions) == sorted(TOPICS)
    assert Subscription("plant/side", 0, no_retained=True) in subscriptions
    assert Subscription("plant/gateway", 1, no_retained=True) in subscriptions


# Frames


def test_a_frame_carries_its_deadline_and_number() -> None:
    """The deadline is receipt plus the camera's budget; frames of one camera are counted, whatever other cameras do."""
    here = source()
    first = only_frame(here.accept(incoming(FRAME, JPEG)))
    here.accept(incoming("plant/side", {"params": {"shot": B64}}))
    second = only_frame(here.accept(incoming(FRAME, PNG)))
    assert (first.camera, first.seq, first.encoded, first.captured_wall_ns) == ("top", 1, JPEG, None)
    assert (first.received_ns, first.received_wall_ns, first.deadline_ns) == (5_000, NOW_NS, 40_005_000)
    assert (second.seq, second.encoded) == (2, PNG)


@pytest.mark.parametrize(
    "payload",
    [
        JPEG,
        B64.encode(),
        base64.encodebytes(JPEG),
        f"data:image/jpeg;base64,{B64}".encode(),
        json.dumps(B64).encode(),
        {"image": B64},
        {"frame": f"data:image/jpeg;base64,{B64}", "ts": 5},
        {"meta": {"camera": "x"}, "anything": B64},
        {"data": {"picture": B64}},
        [{"objects": []}, B64],
        {"specversion": "1.0", "type": "t", "source": "s", "id": "1", "data_base64": B64},
        {"metadata": {"height": 480}, "blob": B64},
        {"thumbnail": base64.b64encode(PNG).decode(), "image": B64},
    ],
    ids=lambda payload: str(payload)[:30],
)
def test_a_picture_is_found_in_every_usual_wrapping(payload: object) -> None:
    """Raw, base64, MIME base64, data URI, and JSON under a known or unknown name; the best known name wins."""
    assert only_frame(source().accept(incoming(FRAME, payload))).encoded == JPEG


OTHER = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("payload", "pointers"),
    [
        ({"thumbnail": OTHER, "full": B64}, ("/thumbnail", "/full")),
        ({"heatmap": OTHER, "frame_b64": B64}, ("/heatmap", "/frame_b64")),
        ({"before": OTHER, "after": B64}, ("/before", "/after")),
        ({"image": OTHER, "frame": B64}, ("/image", "/frame")),
        ({"image": OTHER, "current_image": B64}, ("/image", "/current_image")),
        ({"images": [OTHER, B64]}, ("/images/0", "/images/1")),
        ({"a": {"image": OTHER}, "b": {"image": B64}}, ("/a/image", "/b/image")),
        ({"\ud800": {"image": OTHER}, "b": {"image": B64}}, ("/\\ud800/image", "/b/image")),
    ],
)
def test_of_two_pictures_none_is_guessed(payload: object, pointers: tuple[str, ...]) -> None:
    """Refused, with the places where they are, so that the site can say which."""
    (rejection,) = source().accept(incoming(FRAME, payload)).rejections
    assert rejection.reason == "ambiguous"
    assert all(pointer in rejection.detail for pointer in pointers)


def test_a_data_uri_may_be_in_capitals() -> None:
    """Scheme and media type know no case."""
    assert only_frame(source().accept(incoming(FRAME, b"DATA:Image/JPEG;BASE64," + B64.encode()))).encoded == JPEG


@pytest.mark.parametrize("beside", [b'"score": nan', b'"x": 1, "x": 2', b'"t": None', b'"data": NaN', b'"y": '])
def test_a_broken_token_beside_a_picture_costs_nothing(beside: bytes) -> None:
    """Nobody reads it: the picture is judged; zero bytes at the end are no part of it."""
    payload = b'{"image": "%b", %b}\x00' % (B64.encode(), beside)
    assert only_frame(source().accept(incoming(FRAME, payload))).encoded == JPEG


def test_a_picture_of_long_ago_says_nothing_of_now() -> None:
    """By its own time: too old, out of order, the very same again; a coarse clock with another picture is no harm."""
    here = source()

    def sent(ago_s: float, picture: bytes = JPEG) -> object:
        frame = {"image": base64.b64encode(picture).decode(), "ts": (NOW_NS / 1e9) - ago_s}
        accepted = here.accept(incoming(FRAME, frame))
        return accepted.frames[0].seq if accepted.frames else reasons(accepted)["top"]

    assert [sent(600), sent(1), sent(2), sent(1), sent(1, PNG), sent(0), sent(3600), sent(86_400)] == [
        "too_old", 1, "replaced", "unchanged", 2, 3, "replaced", "replaced",
    ]  # fmt: skip


def test_a_pointer_decides_which_picture_it_is() -> None:
    """With image_pointer nothing is searched: what stands elsewhere is not taken."""
    here = source()
    assert only_frame(here.accept(incoming("plant/side", {"params": {"shot": B64}}))).encoded == JPEG
    assert reasons(here.accept(incoming("plant/side", {"image": B64}))) == {"side": "missing"}
    assert reasons(here.accept(incoming("plant/side", {"params": {"shot": 5}}))) == {"side": "not_an_image"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a....", "unsupported"),
        (WEBP, "unsupported"),
        (base64.b64encode(WEBP), "unsupported"),
        ({"image": base64.b64encode(WEBP).decode()}, "unsupported"),
        (b"data:image/webp;base64," + base64.b64encode(WEBP), "unsupported"),
        (b"\x00\x00\x00\x01\x67\x42", "unsupported"),
        ({"type": "Buffer", "data": list(WEBP)}, "unsupported"),
        (base64.urlsafe_b64encode(JPEG), "unsupported"),
        (str(base64.b64encode(JPEG)).encode(), "unsupported"),
        (JPEG.hex().encode(), "unsupported"),
        ({"image": PNG.hex().upper()}, "unsupported"),
        ({"payload": json.dumps({"image": B64})}, "unsupported"),
        (b"DATA:text/html;base64," + B64.encode(), "not_an_image"),
        (b"hello", "not_an_image"),
        (b"\x00\x01\x02\xff", "not_text"),
        (b"\xff\xd8", "not_text"),
        (JPEG + bytes(100_000), "oversize_bytes"),
        (bytes(10_000_000), "oversize_bytes"),
        (base64.b64encode(JPEG + bytes(100_000)), "oversize_bytes"),
        ({"image": base64.b64encode(JPEG + bytes(100_000)).decode()}, "oversize_bytes"),
        (B64[:-3].encode(), "bad_base64"),
        ((B64[:40] + "!" + B64[41:]).encode(), "bad_base64"),
        (b"data:image/jpeg;base64", "not_an_image"),
        (b"data:image/jpeg," + B64.encode(), "not_an_image"),
        (b"data:text/html;base64," + B64.encode(), "not_an_image"),
        (b"data:image/jpeg;base64," + base64.b64encode(b"<html>"), "not_an_image"),
        ({"image": "/9j/\u00e9"}, "bad_base64"),
        (b'{"image": "' + B64.encode(), "not_json"),
        (b'{"image": "x", "image": "y"}', "duplicate_key"),
        (b'{"image": NaN}', "not_finite"),
        (b'{"image": nan, "seq": 5}', "not_finite"),
        (b"[" * 50_000, "too_deep"),
        ({"image": 5}, "missing"),
        ({"text": "no picture here"}, "missing"),
        ([[[[[[[[B64]]]]]]]], "missing"),
        (dict.fromkeys(map(str, range(3000)), 0) | {"image": B64}, "missing"),
        (b"null", "not_an_image"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_frame_is_refused_and_the_next_one_is_fine(payload: object, reason: str) -> None:
    """Each refusal names its camera and reason, is short, and costs nothing else."""
    here = source()
    accepted = here.accept(incoming(FRAME, payload))
    assert reasons(accepted) == {"top": reason}
    assert len(accepted.rejections[0].detail) < 300
    assert accepted.frames == ()
    assert only_frame(here.accept(incoming(FRAME, JPEG, received_ns=LATER_NS))).seq == 1


@pytest.mark.parametrize("topic", [FRAME, TEMPERATURE, "plant/gateway"])
def test_a_retained_message_is_not_fresh(topic: str) -> None:
    """What the broker replays may be of last week: refused as retained, for cameras and sensors."""
    accepted = source().accept(incoming(topic, JPEG if topic == FRAME else b"5", retained=True))
    assert set(reasons(accepted).values()) == {"retained"}
    assert (accepted.frames, accepted.readings) == ((), ())


@pytest.mark.parametrize(
    ("payload", "properties", "captured_ns"),
    [
        (JPEG, (("ts", BEFORE),), BEFORE_NS),
        (JPEG, (("ts", str(BEFORE_NS // 1_000_000)),), BEFORE_NS),
        (JPEG, (("seq", "4"), ("time", BEFORE)), BEFORE_NS),
        (JPEG, (("ts", "nonsense"),), None),
        (JPEG, (("ts", "2026-11-23T22:38:34Z"),), None),
        (JPEG, (("ts", "2019-11-23T21:38:00Z"),), None),
        (JPEG, (("ts", "123456"),), None),
        ({"image": B64, "ts": BEFORE}, (), BEFORE_NS),
        ({"image": B64, "timestamp": BEFORE_NS // 1_000_000}, (), BEFORE_NS),
        ({"blob": B64, "metadata": {"time": BEFORE_NS}}, (), BEFORE_NS),
        ([{"timestamp": BEFORE}, B64], (), BEFORE_NS),
        ({"image": B64, "ts": 48_213, "time": BEFORE}, (), BEFORE_NS),
        ({"image": B64, "ts": {"a": 1}}, (), None),
    ],
)
def test_a_capture_time_is_believed_only_when_sane(
    payload: object, properties: tuple[tuple[str, str], ...], captured_ns: int | None
) -> None:
    """From a user property or JSON; ahead by over 1 s, a clock that nobody set, or a millis() counter: ignored, the frame stays."""
    frame = only_frame(source().accept(incoming(FRAME, payload, user_properties=properties)))
    assert frame.captured_wall_ns == captured_ns


# Sensors


@pytest.mark.parametrize(
    ("payload", "value", "source_ns"),
    [
        (b"23.5", 23.5, None),
        (b" 23.5\r\n", 23.5, None),
        (b"true", 1.0, None),
        ({"value": 23.5}, 23.5, None),
        ({"value": 23.5, "ts": BEFORE}, 23.5, BEFORE_NS),
        ({"temperature": 23.5, "humidity": 4, "linkquality": 9}, 23.5, None),
        ({"temperature": {"SourceTimestamp": BEFORE, "Value": 23.5}}, 23.5, BEFORE_NS),
        ({"timestamp": BEFORE_NS // 10**6, "node": "n", "group": "g", "values": {"temperature": 23.5}, "errors": {}, "metas": {}}, 23.5, BEFORE_NS),
        ({"timestamp": 5, "tags": [{"name": "x", "error": 3}, {"name": "temperature", "value": 23.5}]}, 23.5, None),
        ([{"n": "temperature", "u": "Cel", "v": 23.5}], 23.5, None),
        ([{"n": "temperature", "v": 23.5, "t": -0.268}], 23.5, BEFORE_NS),
        ([{"n": "temperature", "v": 23.5, "t": BEFORE_NS / 1e9}], 23.5, BEFORE_NS),
        ([{"n": "temperature", "vb": True}], 1.0, None),
        ({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": BEFORE, "data": {"temperature": 23.5}}, 23.5, BEFORE_NS),
        ({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": 23.5}, 23.5, None),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_sensor_value_is_found_in_every_usual_shape(payload: object, value: float, source_ns: int | None) -> None:
    """Bare, flat JSON, Azure IoT Operations, Neuron in both formats, SenML, structured CloudEvents."""
    accepted = source().accept(incoming(TEMPERATURE, payload))
    assert accepted.rejections == ()
    (reading,) = accepted.readings
    assert (reading.sensor, reading.value, reading.received_ns) == ("temperature", value, 5_000)
    assert source_ns is None or reading.source_wall_ns is not None
    assert abs((reading.source_wall_ns or 0) - (source_ns or 0)) < 1_000  # SenML seconds are floats


def test_a_pointer_reaches_into_a_shelly_notification() -> None:
    """Names with colons, nesting: the pointer finds it."""
    notification = {"src": "shelly", "method": "NotifyStatus", "params": {"ts": 5.0, "pm1:0": {"apower": 71.4}}}
    assert values(source().accept(incoming("shelly/events/rpc", notification))) == {"power": 71.4}


def test_senml_base_fields_reach_over_the_pack() -> None:
    """RFC 8428: base name, base time and base value apply from their record to the end; the last value of a name counts."""
    pack = [
        {"bn": "press/", "bt": NOW_NS / 1e9 - 10, "bv": 100, "n": "vibration", "v": 1},
        {"n": "pressure", "v": -95},
        {"n": "vibration", "v": 2, "t": 5},
        {"n": "label", "vs": "text"},
    ]
    accepted = source().accept(incoming("plant/gateway", pack, content_type="application/senml+json"))
    assert values(accepted) == {"vibration": 102.0, "pressure": 5.0}
    assert accepted.rejections == ()
    told = {reading.sensor: reading.source_wall_ns or 0 for reading in accepted.readings}
    assert abs(told["vibration"] - (NOW_NS - 5 * 10**9)) < 1_000_000


def test_one_bad_value_does_not_lose_the_others() -> None:
    """Two sensors on one topic, one of them out of range: a reading and a refusal."""
    accepted = source().accept(incoming("plant/gateway", {"press/vibration": 3, "press/pressure": 99}))
    assert values(accepted) == {"vibration": 3.0}
    assert reasons(accepted) == {"pressure": "out_of_range"}


def test_on_a_shared_topic_silence_about_a_sensor_is_no_error() -> None:
    """Sources report what changed; only a message about none of the topic's sensors is refused, for each of them."""
    here = source()
    assert reasons(here.accept(incoming("plant/gateway", {"press/vibration": 3}))) == {}
    nothing = reasons(here.accept(incoming("plant/gateway", {"other": 3})))
    assert nothing == {"vibration": "missing", "pressure": "missing"}


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (TEMPERATURE, b"", "empty"),
        (TEMPERATURE, b"  \n", "empty"),
        (TEMPERATURE, b"23,5", "not_a_number"),
        (TEMPERATURE, b"23.5 kW", "wrong_unit"),
        (TEMPERATURE, b"\x1f\x8b\x08\x00", "bad_gzip"),
        (TEMPERATURE, b"nan", "not_json"),
        (TEMPERATURE, b"NaN", "not_finite"),
        (TEMPERATURE, b"1e999", "not_finite"),
        (TEMPERATURE, b'{"value": 1e999}', "not_finite"),
        (TEMPERATURE, b'{"value": -Infinity}', "not_finite"),
        (TEMPERATURE, b'{"value": ' + b"9" * 400 + b"}", "not_finite"),
        (TEMPERATURE, b'{"value": 1, "value": 2}', "duplicate_key"),
        (TEMPERATURE, b"[" * 100_000, "too_deep"),
        (TEMPERATURE, b"\xff\xfe", "empty"),
        (TEMPERATURE, b"\xff\xfe2", "not_text"),
        (TEMPERATURE, b" " * 300_000, "oversize_bytes"),
        (TEMPERATURE, {"value": "23,5"}, "not_a_number"),
        (TEMPERATURE, {"value": None}, "no_value"),
        (TEMPERATURE, {"value": [1]}, "not_a_number"),
        (TEMPERATURE, {"value": {"x": 1}}, "not_a_number"),
        (TEMPERATURE, {"value": "x" * 10_000}, "not_a_number"),
        (TEMPERATURE, {"humidity": 1}, "missing"),
        (TEMPERATURE, [], "missing"),
        (TEMPERATURE, "text", "not_a_number"),
        (TEMPERATURE, b"unavailable", "not_json"),
        (TEMPERATURE, b"null", "no_value"),
        (TEMPERATURE, {"value": 200.1}, "out_of_range"),
        (TEMPERATURE, b"-41", "out_of_range"),
        (TEMPERATURE, {"values": {}, "errors": {"temperature": 2002}}, "source_error"),
        (TEMPERATURE, {"tags": [{"name": "temperature", "error": 2002}]}, "source_error"),
        (TEMPERATURE, {"specversion": "1.0"}, "missing"),
        (TOPICS[5], {"value": 5}, "wrong_format"),
        (TOPICS[6], b"5", "bad_senml"),
        (TOPICS[6], [5], "bad_senml"),
        (TOPICS[6], [{"n": "press/pack", "v": 1, "secret_": 1}], "bad_senml"),
        (TOPICS[6], [{"n": 5, "v": 1}], "bad_senml"),
        (TOPICS[6], [{"n": "press/pack", "v": "1"}], "not_a_number"),
        (TOPICS[6], [{"n": "press/pack", "vs": "1"}], "missing"),
        (TOPICS[6], [{"n": "x", "v": 1}] * 1001, "bad_senml"),
        ("shelly/events/rpc", {"params": {}}, "missing"),
    ],
    ids=lambda value: str(value)[:34],
)
def test_a_bad_reading_is_refused_and_the_next_one_is_fine(topic: str, payload: object, reason: str) -> None:
    """Each refusal names its sensor and reason, is short, and costs nothing else."""
    here = source()
    accepted = here.accept(incoming(topic, payload))
    assert list(reasons(accepted).values()) == [reason]
    assert None not in reasons(accepted)
    assert len(accepted.rejections[0].detail) < 300
    assert accepted.readings == ()
    assert values(here.accept(incoming(TEMPERATURE, b"20", received_ns=LATER_NS))) == {"temperature": 20.0}


def test_an_unknown_topic_belongs_to_nobody() -> None:
    """A stray message is counted without a camera or sensor, with a short, printable detail."""
    accepted = source().accept(incoming("other/\x07" + "x" * 10_000, b"5"))
    assert reasons(accepted) == {None: "unknown_topic"}
    assert len(accepted.rejections[0].detail) < 100
    assert accepted.rejections[0].detail.isprintable()


# The page that describes it all

PAGE = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
READERS = (
    "parsing/structure",
    "intake/long_strings",
    "intake/readers",
    "intake/frame_payload",
    "intake/sensor_payload",
    "intake/trigger_payload",
    "intake/records",
    "intake/senml",
    "intake/line_protocol",
    "intake/byte_list",
    "intake/quantity",
    "parsing/text",
    "intake/availability",
    "intake/source",
    "intake/checksum",
    "inference/picture_header",
    "inference/jpeg_structure",
    "inference/decode_cost",
    "inference/preprocess",
)


def code_in(section: str, column: int) -> list[str]:
    """The code words of one table column of a section of docs/inputs.md."""
    rows = [
        line.split(" | ")
        for line in PAGE.partition(f"## {section}")[2].partition("\n## ")[0].splitlines()
        if line[0:1] == "|"
    ]
    return [word for row in rows if len(row) > column for word in re.findall(r"`([^`]+)`", row[column])]


def test_every_sensor_example_of_the_page_is_read() -> None:
    """docs/inputs.md: each payload it shows for sensor `temperature` gives 23.5."""
    examples = [example for example in code_in("Sensor values", 1) if not example.startswith(("/", "pointer"))]
    assert len(examples) == 16
    for example in examples:
        assert values(source().accept(incoming(TEMPERATURE, example.encode()))) == {"temperature": 23.5}, example


def test_every_frame_example_of_the_page_is_read() -> None:
    """docs/inputs.md: each JSON wrapping it shows gives the picture."""
    examples = [example for example in code_in("Frames", 1) if example.startswith(("{", "[", "data:"))]
    assert len(examples) == 4
    for example in examples:
        payload = re.sub(r"/9j/[A-Za-z0-9]*[.]{3}", B64, example).encode()
        assert only_frame(source().accept(incoming(FRAME, payload))).encoded == JPEG, example


def test_the_page_lists_every_reason_and_no_other() -> None:
    """docs/inputs.md: the reasons are those that the readers raise."""
    raised = {"unknown_topic", "too_old", "replaced", "unchanged"}  # the last three are what `Stream.judge` answers
    for module in READERS:
        code = (ROOT / "edge" / f"{module}.py").read_text(encoding="utf-8")
        raised |= set(re.findall(r'(?:RejectedInput|Rejection)\(\s*"(\w+)"', code))
    assert set(code_in("Reasons of refusal", 0)) == raised


# Checksums

CRC32, SHA256 = f"{zlib.crc32(JPEG):08x}", hashlib.sha256(JPEG).hexdigest()


@pytest.mark.parametrize(
    "properties",
    [
        (("crc32", CRC32),),
        (("CRC32", "0x" + CRC32.upper()),),
        (("sha256", SHA256),),
        (("crc32", CRC32), ("sha256", SHA256)),
        (),
    ],
)
def test_a_frame_whose_checksum_fits_is_taken(properties: tuple[tuple[str, str], ...]) -> None:
    """One, both or none; a site that requires one takes only the former."""
    message = incoming(FRAME, JPEG, user_properties=properties)
    assert only_frame(source().accept(message)).encoded == JPEG
    strict = source(cameras=[{"id": "top", "checksum": "required"}])
    refused = [item.reason for item in strict.accept(message).rejections]
    assert refused == ([] if properties else ["no_checksum"])


@pytest.mark.parametrize("name", ["crc32", "sha256"])
def test_a_frame_whose_checksum_does_not_fit_is_damaged(name: str) -> None:
    """One bit of the payload is enough, required or not; what is no checksum is said to be none."""
    told = {"crc32": CRC32, "sha256": SHA256}[name]
    changed = JPEG[:300] + bytes([JPEG[300] ^ 1]) + JPEG[301:]
    for value, reason in (
        (told, "damaged"),
        ("rubbish", "bad_checksum"),
        (told + "00", "bad_checksum"),
        ("", "damaged"),
    ):
        message = incoming(FRAME, changed, user_properties=((name, value),))
        assert [item.reason for item in source().accept(message).rejections] == [reason]


# Anything

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["value", "Value", "ts", "n", "v", "t", "bn", "bt", "bv", "vb", "image", "data", "tags",
                             "values", "errors", "name", "error", "temperature", "specversion", "metadata", "params",
                             "press/vibration", "SourceTimestamp", "x_"]), inner, max_size=5)
    ),
    max_leaves=20,
)  # fmt: skip
PAYLOADS = (
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda tail: JPEG[:20] + tail)
    | st.text(max_size=100).map(str.encode)
    | JSON.map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=60).map(lambda data: b"data:image/png;base64," + base64.b64encode(data))
)
TYPES = st.sampled_from([None, "application/senml+json", "application/cloudevents+json; charset=utf-8", "image/jpeg"])


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(topic=st.sampled_from(TOPICS), payload=PAYLOADS, content_type=TYPES, told=st.text(max_size=30))
def test_nothing_that_comes_in_makes_it_raise(topic: str, payload: bytes, content_type: str | None, told: str) -> None:
    """Any payload on any topic gives frames, readings or refusals; and the good message after it works."""
    here = source()
    accepted = here.accept(incoming(topic, payload, content_type=content_type, user_properties=(("ts", told),)))
    assert accepted.frames or accepted.readings or accepted.rejections
    assert all(abs(reading.value) < float("inf") for reading in accepted.readings)
    assert only_frame(here.accept(incoming(FRAME, JPEG))).encoded == JPEG
    assert values(here.accept(incoming(TEMPERATURE, b"20"))) == {"temperature": 20.0}


def test_frames_are_counted_on_over_a_reload() -> None:
    """The next source goes on with each camera's number, so that no newer frame looks older."""
    before, after = source(), source()
    for _ in range(3):
        before.accept(incoming(FRAME, JPEG))
    after.succeed(before)
    assert only_frame(after.accept(incoming(FRAME, JPEG))).seq == 4
    assert only_frame(after.accept(incoming("plant/side", {"params": {"shot": B64}}))).seq == 1


def test_a_topic_that_had_its_share_is_not_read_until_that_is_paid_off() -> None:
    """One hostile topic costs the others nothing: what it may cost is bounded, and a long message that is refused counts sixteen times."""
    clock = iter(range(0, 10**12, 30_000_000))  # each reading takes 30 ms
    here = Source(Site(**SITE), {"top": 40.0, "side": 40.0}, cpu_ns=lambda: next(clock))
    first = [reasons(here.accept(incoming(TEMPERATURE, b"[", received_ns=index))) for index in range(3)]
    assert [found["temperature"] for found in first] == ["not_json", "flooded", "flooded"]
    assert only_frame(here.accept(incoming(FRAME, JPEG, received_ns=5))).seq == 1
    assert reasons(here.accept(incoming(TEMPERATURE, b"[", received_ns=10**9))) == {"temperature": "flooded"}
    assert reasons(here.accept(incoming(TEMPERATURE, b"[", received_ns=2 * 10**9))) == {"temperature": "not_json"}


def test_what_is_taken_may_cost_more_than_what_is_refused() -> None:
    """A camera that sends large pictures in JSON is no flood."""
    clock = iter(range(0, 10**12, 30_000_000))
    here = Source(Site(**SITE), {"top": 40.0, "side": 40.0}, cpu_ns=lambda: next(clock))
    found = [here.accept(incoming(TEMPERATURE, b"5", received_ns=index)) for index in range(8)]
    assert [len(accepted.readings) for accepted in found] == [1] * 7 + [0]
