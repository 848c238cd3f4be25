"""What is fuzzed: each parser of the product that outsiders can reach, as a function of bytes that must hold what it promises.

A target takes any bytes, at most so many, and returns what came of them in a word. It raises where the product breaks a promise: another error than
the project's own, an input that costs more than its bound, a refusal that cannot be told, a message that leaves no trace. Imports the daemon alone,
so that it runs where only the daemon is installed.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.alarm.catalogue import site_alarms
from edge.bundle import MANIFEST, open_bundle, read_manifest
from edge.errors import BundleError, RejectedInput
from edge.inference.picture_header import PictureLimits
from edge.inference.preprocess import Preprocessor
from edge.intake.source import Accepted, Source
from edge.manifest import InputSpec, manifest_json
from edge.plan import resolve_channels
from edge.site.settings import Site
from edge.sparkplug.metrics import Catalogue
from edge.sparkplug.node import EdgeNode, NodeSpec
from edge.wire.command import CommandDesk, Refused, accept, usable_response_topic
from edge.wire.envelope import Incoming
from edge.wire.verbs import Verb

Reader = Callable[[bytes], str]
NOW_NS, NOW_WALL_NS = 5_000_000_000, 1_795_473_512_768_000_000
SECOND_NS = 1_000_000_000
BOUND_S = 0.5  # processor time of one input; instrumented code is some ten times slower than the product
BOUND_MB = 64  # by how much one input may raise the most memory that the process ever held
REASON = re.compile(r"[a-z0-9_]{1,40}")
LONGEST_DETAIL = 2_000  # characters: it goes into the log and into answers

SITE = Site.model_validate(
    {
        "bundle": "bundle",
        "node": {"id": "press7"},
        "cameras": [
            {"id": "top", "max_bytes": 60_000},
            {"id": "side", "topic": "plant/side", "image_pointer": "/params/shot"},
            {"id": "summed", "topic": "plant/summed", "checksum": "required"},
        ],
        "sensors": [
            {"id": "temperature", "minimum": -40, "maximum": 200, "frozen_after_ms": 60_000},
            {"id": "bare", "format": "number"},
            {"id": "power", "topic": "shelly", "pointer": "/params/pm1:0/apower", "quality_pointer": "/params/quality"},
            {"id": "vibration", "topic": "gateway", "senml_name": "press/vibration"},
            {"id": "pressure", "topic": "gateway", "senml_name": "press/pressure", "maximum": 10},
            {"id": "chosen", "topic": "gateway", "where": {"/tags/id": "motor1"}, "availability_topic": "lwt"},
            {"id": "pack", "format": "senml", "senml_name": "press/pack"},
        ],
        "rules": [{"id": "hot", "sensor": "temperature", "kind": "above", "limit": 50}],
        "faults": [
            {
                "id": "overheated",
                "rules": ["hot"],
                "alarm": {"severity": 700, "message": "Hot", "operator_action": "Stop", "consequence": "Fire"},
            }
        ],
    }
)
FRAME_TOPICS = [SITE.frame_topic(camera) for camera in SITE.cameras]
SENSOR_TOPICS = [*dict.fromkeys(SITE.sensor_topic(sensor) for sensor in SITE.sensors), "lwt"]
CONTENT_TYPES = (None, "application/senml+json", "application/cloudevents+json", "text/plain")
BUDGETS_MS = dict.fromkeys((camera.id for camera in SITE.cameras), 40.0)
PICTURE = Preprocessor(
    InputSpec(name="frame", width=32, height=32, resize="stretch"), PictureLimits(60_000, 500_000, min_side_px=4)
)


class BrokenPromiseError(AssertionError):
    """What the product did with an input is not what it promises."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that outsiders can send.

    Args:
        name: in results and on the command line.
        what: is sent, for people.
        largest_bytes: the longest input tried; the cost at the limit of size is for `tests/stand/worst_cases.py` to hold.
        make: gives the reader, in a folder of its own.
    """

    name: str
    what: str
    largest_bytes: int
    make: Callable[[Path], Reader]


def held(reader: Reader) -> Reader:
    """A reader that also holds each input to its bounds."""

    def read(sent: bytes) -> str:
        with _bounded():
            return reader(sent)

    return read


@contextmanager
def _bounded() -> Iterator[None]:
    began_ns, before_mb = time.thread_time_ns(), _most_mb()
    yield
    took_s, more_mb = (time.thread_time_ns() - began_ns) / 1e9, _most_mb() - before_mb
    _promise(took_s <= BOUND_S, f"{took_s:.2f} s of processor time for one input")
    _promise(more_mb <= BOUND_MB, f"{more_mb:.0f} MB more for one input")


def _most_mb() -> float:
    """The most memory that this process ever held, MB; getrusage would tell what its parent held before exec."""
    found = re.search(rb"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_bytes(), re.MULTILINE)
    return int(found[1]) / 1e3 if found else 0.0


def _promise(kept: bool, told: str) -> None:  # noqa: FBT001 - a condition, as assert has it
    if not kept:
        raise BrokenPromiseError(told)


def _split(sent: bytes) -> tuple[int, bytes]:
    """The first byte chooses among variants, the rest is the payload."""
    return (sent[0], sent[1:]) if sent else (0, b"")


# --- frames and readings ------------------------------------------------------------------------------------------------------------------


def _frames(_folder: Path) -> Reader:
    def read(sent: bytes) -> str:
        choice, payload = _split(sent)
        topic = FRAME_TOPICS[choice % len(FRAME_TOPICS)]
        properties = _properties(payload) if choice & 0x80 else ()
        accepted = _twice(Incoming(topic, payload, False, NOW_NS, NOW_WALL_NS, user_properties=properties))  # noqa: FBT003 - a record's field
        for frame in accepted.frames:
            _picture(frame.encoded)
        return _outcome(accepted)

    return read


def _properties(payload: bytes) -> tuple[tuple[str, str], ...]:
    """User properties from the same bytes: a time and a checksum."""
    text = payload[-40:].decode("latin-1")
    return (("ts", text), ("crc32", text[:8]), ("sha256", text))


def _pictures(_folder: Path) -> Reader:
    return _picture


def _picture(encoded: bytes) -> str:
    try:
        tensor = PICTURE.prepare(encoded)
    except RejectedInput as refusal:
        return _refused(refusal.reason, refusal.detail)
    _promise(tensor.shape == (1, 32, 32, 3), f"a tensor of {tensor.shape}")
    return "read"


def _sensors(_folder: Path) -> Reader:
    def read(sent: bytes) -> str:
        choice, payload = _split(sent)
        topic = SENSOR_TOPICS[choice % len(SENSOR_TOPICS)]
        media = CONTENT_TYPES[choice // 16 % len(CONTENT_TYPES)]
        accepted = _twice(Incoming(topic, payload, False, NOW_NS, NOW_WALL_NS, content_type=media))  # noqa: FBT003 - a record's field
        _promise(topic == "lwt" or accepted != Accepted(), "a message that leaves no trace")
        _promise(all(math.isfinite(reading.value) for reading in accepted.readings), "a value that is no number")
        return _outcome(accepted)

    return read


def _twice(incoming: Incoming) -> Accepted:
    """The message, and the same again a second later; returns what came of the first."""
    source = Source(SITE, BUDGETS_MS, lambda: 0)
    first = source.accept(incoming)
    later = dataclasses.replace(
        incoming, received_ns=NOW_NS + SECOND_NS, received_wall_ns=incoming.received_wall_ns + SECOND_NS
    )
    for accepted in (first, source.accept(later)):
        for rejection in accepted.rejections:
            _refused(rejection.reason, rejection.detail)
    return first


def _outcome(accepted: Accepted) -> str:
    if accepted.frames or accepted.readings:
        return "read"
    return accepted.rejections[0].reason if accepted.rejections else "nothing"


def _refused(reason: str, detail: str) -> str:
    """A refusal is told: counted under a word, and logged in words that can be written."""
    _promise(REASON.fullmatch(reason) is not None, f"a reason that is no word: {reason!a}")
    _promise(len(detail) <= LONGEST_DETAIL, f"{len(detail)} characters of detail for {reason}")
    detail.encode()
    return reason


# --- commands -----------------------------------------------------------------------------------------------------------------------------


def _commands(_folder: Path) -> Reader:
    verbs = [*Verb, "launch"]

    def read(sent: bytes) -> str:
        choice, payload = _split(sent)
        desk = CommandDesk((Verb.REBIRTH,))
        topic = f"edge/v1/press7/cmd/{verbs[choice % len(verbs)]}"
        asked_on = payload[:60].decode("latin-1")
        usable_response_topic(asked_on, "edge/v1/press7")
        incoming = Incoming(topic, payload, False, NOW_NS, NOW_WALL_NS, response_topic=asked_on, correlation=payload)  # noqa: FBT003 - a record's field
        answer = desk.check(incoming, NOW_WALL_NS)
        reply = answer.reply if isinstance(answer, Refused) else desk.answered(accept(answer.command))
        reply.model_dump_json(by_alias=True).encode()
        if isinstance(answer, Refused):
            return reply.code if answer.reason is None else _refused(answer.reason, reply.detail)
        again = desk.check(incoming, NOW_WALL_NS)
        _promise(isinstance(again, Refused) and again.reply.code == "duplicate", "a command that is carried out twice")
        return "read"

    return read


# --- Sparkplug ----------------------------------------------------------------------------------------------------------------------------

HOST = "scada"
SPARKPLUG_TOPICS = ("spBv1.0/plant/NCMD/press7", "spBv1.0/plant/DCMD/press7/top", f"spBv1.0/STATE/{HOST}")
CHANNELS = resolve_channels(SITE, None)
ALARMS = [
    entry for entry in site_alarms(SITE, CHANNELS) if entry.kind == "process"
]  # a birth names each; it is made for every input
CATALOGUE = Catalogue(SITE, CHANNELS, ALARMS, {"Model/Name": "none"})


def _sparkplug(_folder: Path) -> Reader:
    spec = NodeSpec("plant", "press7", CATALOGUE.node, CATALOGUE.devices, primary_host=HOST)
    now_ms = NOW_WALL_NS // 1_000_000
    online = b'{"online":true,"timestamp":%d}' % (now_ms - 1_000)

    def read(sent: bytes) -> str:
        choice, payload = _split(sent)
        node = EdgeNode(spec)
        node.connected(0, now_ms)
        node.received(SPARKPLUG_TOPICS[2], online, retained=True)
        node.poll(now_ms)
        taken = node.received(SPARKPLUG_TOPICS[choice % len(SPARKPLUG_TOPICS)], payload, retained=False)
        if taken is not None:
            for request in CATALOGUE.requests(*taken, "r", now_ms):
                for change in CATALOGUE.answered(taken[0], request, accept(request.command, "done"), now_ms):
                    node.note(change)
        node.poll(now_ms + 1_000)
        node.farewell(now_ms + 2_000)
        return "read" if taken is not None else next(iter(node.counts), "state")

    return read


# --- manifests ----------------------------------------------------------------------------------------------------------------------------


def _manifests(folder: Path) -> Reader:
    """The folder holds the files of a bundle; the manifest is what is sent."""

    def read(sent: bytes) -> str:
        (folder / MANIFEST).write_bytes(sent)
        try:
            manifest, _ = read_manifest(folder)
            manifest.one_sided()
            (folder / MANIFEST).write_bytes(manifest_json(manifest))
            again, _ = read_manifest(folder)
            _promise(again == manifest, "a manifest that is another one once it is written again")
            for entry in manifest.files:
                inside = (folder / entry.path).resolve().is_relative_to(folder.resolve())
                _promise(inside, f"a file outside of the bundle: {entry.path!a}")
            open_bundle(folder)
        except BundleError as refusal:
            return _refused(type(refusal).__name__.lower(), str(refusal).replace(str(folder), ""))
        return "read"

    return read


TARGETS = (
    Target("frame", "frame payloads: raw, base64, data URI, JSON envelopes, and the picture inside", 65_536, _frames),
    Target("picture", "JPEG and PNG files, from the header to the tensor", 60_000, _pictures),
    Target(
        "sensor", "sensor payloads: numbers, JSON of every shape, SenML, CloudEvents, availability", 32_768, _sensors
    ),
    Target("command", "commands of every verb, and the topics that their answers are to go to", 17_000, _commands),
    Target("sparkplug", "Sparkplug commands to node and device, the host's STATE", 20_500, _sparkplug),
    Target("manifest", "a bundle's manifest beside the bundle's files", 65_536, _manifests),
)


def named(name: str) -> Target:
    """The target of that name."""
    return next(target for target in TARGETS if target.name == name)
