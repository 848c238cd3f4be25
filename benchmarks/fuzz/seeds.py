"""Where fuzzing starts: for each target the project's own examples, small, and the words that they are made of."""

from __future__ import annotations

import base64
import codecs
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.targets import CATALOGUE, FRAME_TOPICS, NOW_WALL_NS, SENSOR_TOPICS
from edge.inference.preprocess import encode_jpeg
from edge.sparkplug.codec import DataType, Metric, Payload, Property, Value, encode
from edge.wire.verbs import Verb
from tests.stand.bundles import flat_jpeg, manifest_document, speech_section
from tests.stand.worst_cases import chunk

STAMP = datetime.fromtimestamp(NOW_WALL_NS / 1e9, UTC).isoformat()
MS = NOW_WALL_NS // 1_000_000
GOLDEN = Path(__file__).parents[2] / "tests/golden"
_QUOTED = re.compile(rb'"([^"\\]{2,30})"')
_SAMPLES: Mapping[DataType, Value] = {
    DataType.STRING: "01M8PA3P80N4N41BSXB1CJ23KS",
    DataType.BOOLEAN: True,
    DataType.FLOAT: 0.5,
    DataType.DOUBLE: 0.5,
    DataType.DATETIME: MS,
}


def seeds_of(target: str) -> list[bytes]:
    """Inputs that the target reads, and some that it refuses."""
    return list(_SEEDS[target]())


def words_of(seeds: list[bytes]) -> list[bytes]:
    """What stands between quotes in the seeds, each once: keys and names that chance would not find."""
    return list(dict.fromkeys(word for seed in seeds for word in _QUOTED.findall(seed)))


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _pictures() -> Iterator[bytes]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
    yield flat_jpeg(255, 0, 0)
    yield encode_jpeg(noise)
    yield encode_jpeg(noise[:40, :40], quality=20)
    for colour, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        rows = b"".join(b"\x00" + rng.integers(0, 255, 8 * channels, np.uint8).tobytes() for _ in range(8))
        head = chunk(b"IHDR", (8).to_bytes(4) + (8).to_bytes(4) + bytes([8, colour, 0, 0, 0]))
        body = chunk(b"tEXt", b"a\x00b") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        yield b"\x89PNG\r\n\x1a\n" + head + body


def _frames() -> Iterator[bytes]:
    for number, picture in enumerate(_pictures()):
        text = base64.b64encode(picture).decode()
        wrapped: list[bytes] = [
            picture,
            text.encode(),
            f"data:image/jpeg;base64,{text}".encode(),
            _json({"image": text, "ts": STAMP}),
            _json({"params": {"shot": text}, "meta": {"timestamp": MS}}),
            _json([{"captured": STAMP, "thumbnail": text[:40]}, text]),
            _json({"frame": {"data": f"data:image/png;base64,{text}"}, "preview": "data:image/png;base64,AAAA"}),
            _json({"a": text, "b": text}),
        ]
        for place, payload in enumerate(wrapped if number == 0 else wrapped[:1]):
            choice = place % len(FRAME_TOPICS)
            yield bytes([choice]) + payload
            yield bytes([0x80 | choice]) + payload + STAMP.encode()


def _readings() -> Iterator[bytes]:
    value: dict[str, Any] = {"value": 23.5, "ts": STAMP}
    shapes: list[object] = [
        23.5,
        value,
        {"temperature": 23.5, "time": MS, "quality": "good"},
        {"temperature": {"SourceTimestamp": STAMP, "Value": 23.5, "StatusCode": {"Code": 0, "Symbol": "Good"}}},
        {"timestamp": MS, "values": [{"id": "temperature", "v": 23.5, "q": True, "t": MS}]},
        {"timestamp": STAMP, "values": {"temperature": 23.5, "press/vibration": 1}, "errors": {"press/pressure": "x"}},
        {"params": {"pm1:0": {"apower": 12.5}, "quality": "bad"}},
        [{"bn": "press/", "bt": MS / 1000, "n": "vibration", "u": "m/s2", "v": 1.5}, {"n": "pressure", "v": 3}],
        [{"n": "press/pack", "v": 1, "t": -1}, {"n": "press/pack", "v": 2, "t": -2}],
        {"specversion": "1.0", "type": "t", "source": "s", "id": "1", "time": STAMP, "data": value},
        [{"specversion": "1.0", "id": "2", "data": '{"temperature": 1}'}],
        {"tags": {"id": "motor1"}, "fields": {"value": 1}, "name": "chosen"},
        {"model": "Sensor", "id": 7, "temperature_C": 1.5, "temperature": "unavailable"},
        [{"name": "press/pressure", "value": "9.5"}, {"name": "press/vibration", "value": None}],
    ]
    bare = [
        b"21,5",
        b"on",
        b"offline",
        b'{"state":"online"}',
        b'{"temperature":nan,"bare":1}',
        b'{"value":1,"value":2}',
    ]
    for payload in [*map(_json, shapes), *bare]:
        for topic in range(len(SENSOR_TOPICS)):
            yield bytes([topic]) + payload
    yield bytes([16]) + _json(shapes[7])
    yield bytes([32]) + _json(shapes[9])


def _commands() -> Iterator[bytes]:
    asked: dict[str, Any] = {"schema": "edge.cmd/1", "request_id": "r1", "issued_at": STAMP, "user": "op"}
    more = {"alarm_id": "overheated", "occurrence_id": "o1", "comment": "seen", "duration_s": 60, "one_shot": True}
    for choice, verb in enumerate(Verb):
        yield bytes([choice]) + _json(asked | more | {"camera": "top", "bundle": "line-v2", "weaker": ["rust"]})
        yield bytes([choice]) + _json(asked | {"verb": verb})
    odd = [
        codecs.BOM_UTF8 + _json(asked | more),
        codecs.BOM_UTF16_LE + _json(asked | more).decode().encode("utf-16-le"),
        _json(asked | more) + b"\x00\x00",
        _json(asked | {"request_id": 7, "issued_at": MS, "alarm_id": None}),
        _json(asked | {"issued_at": "2026-11-23"}),
        b'{"request_id": "r2", "issued_at": ',
        b"[]",
        b"",
    ]
    yield from (b"\x00" + payload for payload in odd)


def _sparkplug() -> Iterator[bytes]:
    for scope, tags in enumerate((CATALOGUE.node, *CATALOGUE.devices.values())):
        for tag in tags:
            metric = Metric(tag.name, tag.datatype, _SAMPLES.get(tag.datatype, 5), MS)
            yield bytes([min(scope, 1)]) + encode(Payload(MS, (metric,), 0))
    orders = (
        Metric("Node Control/Rebirth", DataType.BOOLEAN, value=True, timestamp_ms=MS),
        Metric("Command/User", DataType.STRING, "operator", MS),
        Metric("Command/Comment", DataType.STRING, None, MS),
        Metric("Alarms/overheated/Shelve Minutes", DataType.INT32, -5, MS),
        Metric("Alarms/overheated/In Service", DataType.BOOLEAN, value=False, timestamp_ms=None),
        Metric("a", DataType.DOUBLE, 1.5, MS, historical=True, properties={"q": Property(DataType.INT32, 192)}),
    )
    yield b"\x00" + encode(Payload(MS, orders, None))
    yield b"\x00" + encode(Payload(None, (), 255))
    yield b"\x02" + _json({"online": False, "timestamp": MS})
    yield b"\x02OFFLINE"


def bundle_files() -> dict[str, bytes]:
    """The files beside the manifests that are tried; what they hold is not looked at."""
    return {"graph.onnx": b"not a graph", "golden/0.jpg": b"not a picture", "golden/1.jpg": b"nor this"}


def _manifests() -> Iterator[bytes]:
    whole = manifest_document(bundle_files())
    yield _json(whole)
    yield json.dumps(whole, indent=1).encode()
    yield _json(whole | {"speech": speech_section(2) | {"begin": "graph.onnx", "follow": "graph.onnx"}})
    golden = [{**item, "verdicts": {"crack": "ok", "dent": "ok"}} for item in whole["proof"]["golden"]]
    yield _json(whole | {"proof": whole["proof"] | {"golden": golden, "one_sided": ["crack"], "doubts": ["busy"]}})
    yield _json(whole | {"faults": [{**one, "kind": "unnamed"} for one in whole["faults"]]})
    yield _json(whole | {"files": [{**one, "path": "../" + one["path"]} for one in whole["files"]]})
    yield _json(whole | {"signature": "x", "format": 2})
    yield from (file.read_bytes() for file in sorted(GOLDEN.glob("*/manifest.json")))


_SEEDS: Mapping[str, Callable[[], Iterator[bytes]]] = {
    "frame": _frames,
    "picture": _pictures,
    "sensor": _readings,
    "command": _commands,
    "sparkplug": _sparkplug,
    "manifest": _manifests,
}
