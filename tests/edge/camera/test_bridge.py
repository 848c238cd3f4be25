"""The bridge: the newest picture goes out when the broker has taken the one before; status retained, once for each change."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from edge.camera.bridge import Bridge, will
from edge.camera.newest import Newest
from edge.camera.report import Report
from edge.camera.shot import Shot
from edge.wire.camera import CameraTrouble
from edge.wire.envelope import ConnectionStats, Outgoing

MS = 1_000_000
JPEG = b"\xff\xd8\xff picture"
_NONE = ConnectionStats(
    connected=True,
    protocol="5",
    refused=None,
    connects=1,
    disconnects=0,
    published=0,
    acknowledged=0,
    pending=0,
    dropped={},
    received=0,
    received_bytes=0,
    last_message_ns=None,
    callback_errors=0,
)


@dataclass
class Broker:
    """The end of a connection, with a queue that a test fills."""

    connected: bool = True
    pending: int = 0
    sent: list[Outgoing] = field(default_factory=list)

    def publish(self, message: Outgoing) -> int | None:
        """Take it, if there is a connection."""
        if self.connected:
            self.sent.append(message)
        return len(self.sent) if self.connected else None

    def stats(self) -> ConnectionStats:
        """How much waits."""
        return replace(_NONE, pending=self.pending)

    def frames(self) -> list[Outgoing]:
        """The pictures of what was sent."""
        return [message for message in self.sent if not message.retain]

    def statuses(self) -> list[Mapping[str, object]]:
        """The statuses of what was sent."""
        return [json.loads(message.payload) for message in self.sent if message.retain]


@dataclass
class Picture:
    """A decoded picture that becomes so many bytes."""

    size: int
    width: int = 4
    height: int = 3

    def jpeg(self, quality: int) -> bytes:
        """So many bytes, and the quality in them."""
        return (b"\xff\xd8\xff%d" % quality).ljust(self.size)


class Line:
    """A bridge with its ends."""

    def __init__(self, fps: float | None = None, max_bytes: int = 1000) -> None:
        self.now_ns = 0
        self.newest, self.report, self.broker = Newest(), Report(0), Broker()
        self.bridge = Bridge(
            ("frames", "status"),
            self.newest,
            self.report,
            self.broker,
            quality=77,
            max_bytes=max_bytes,
            interval_ns=0 if fps is None else round(1e9 / fps),
            stall_ns=3000 * MS,
            monotonic_ns=lambda: self.now_ns,
            wall_ns=lambda: self.now_ns,
        )

    def shot(self, content: bytes | Picture = JPEG, coding: str = "jpeg", at: int = 5) -> None:
        """A picture comes."""
        shot = Shot(content, coding, at)
        self.newest.put(shot)
        self.report.pictured(shot, self.now_ns, self.now_ns)


@pytest.fixture
def line() -> Line:
    """One that publishes every picture."""
    return Line()


def test_a_picture_goes_out_with_its_time_and_its_checksum(line: Line) -> None:
    """As it came, at QoS 0, not retained."""
    line.shot()
    line.bridge.turn()
    (sent,) = line.broker.frames()
    assert (sent.topic, sent.payload, sent.qos, sent.content_type) == ("frames", JPEG, 0, "image/jpeg")
    assert dict(sent.user_properties) == {"ts": "5", "crc32": f"{zlib.crc32(JPEG):08x}"}


def test_a_picture_that_was_encoded_anew_says_so(line: Line) -> None:
    """What it was is beside it, and in the status."""
    line.shot(Picture(20), "h264")
    line.bridge.turn()
    (sent,) = line.broker.frames()
    assert sent.payload.startswith(b"\xff\xd8\xff77")
    assert dict(sent.user_properties)["transcoded"] == "h264"
    (status,) = line.broker.statuses()
    assert (status["coding"], status["transcoded"], status["width"], status["height"]) == ("h264", True, 4, 3)


def test_while_the_broker_is_slow_pictures_are_replaced_and_not_queued(line: Line) -> None:
    """When it can again, it gets the newest."""
    line.broker.pending = 2
    for number in range(5):
        line.shot(at=number)
        line.bridge.turn()
    assert line.broker.frames() == []
    line.broker.pending = 1
    line.bridge.turn()
    assert [dict(sent.user_properties)["ts"] for sent in line.broker.frames()] == ["4"]
    assert line.newest.replaced == 4


def test_without_a_broker_nothing_is_encoded_and_nothing_kept(line: Line) -> None:
    """What was taken then is not sent later; the status is, as soon as somebody hears it."""
    line.broker.connected = False
    line.shot(Picture(-1))
    line.bridge.turn()
    line.broker.connected = True
    line.bridge.turn()
    assert line.broker.frames() == []
    assert [status["state"] for status in line.broker.statuses()] == ["online"]


@pytest.mark.slow
def test_the_rate_is_kept_with_the_newest_pictures() -> None:
    """25 pictures a second come, 10 are wanted: each is the newest of its moment, and the average is exact."""
    line = Line(fps=10)
    for number in range(250):
        line.now_ns = number * 40 * MS
        line.shot(at=number)
        line.bridge.turn()
    stamps = [int(dict(sent.user_properties)["ts"]) for sent in line.broker.frames()]
    assert 98 <= len(stamps) <= 101
    assert {after - before for before, after in itertools.pairwise(stamps)} == {2, 3}


def test_a_status_is_published_when_it_changes_and_after_a_reconnect(line: Line) -> None:
    """Retained at QoS 1: who comes later hears it too."""
    for _ in range(3):
        line.shot()
        line.bridge.turn()
    line.report.failed(CameraTrouble.ENDED, "", 9)
    line.bridge.turn()
    line.bridge.republish_status()
    line.bridge.turn()
    assert [(status["state"], status["reason"]) for status in line.broker.statuses()] == [
        ("online", None),
        ("offline", "ended"),
        ("offline", "ended"),
    ]
    assert {message.qos for message in line.broker.sent if message.retain} == {1}


def test_a_picture_that_is_too_large_is_not_sent_and_said(line: Line) -> None:
    """It would only be refused at the other end."""
    line.shot(Picture(1001), "h264")
    line.bridge.turn()
    assert line.broker.frames() == []
    assert [status["reason"] for status in line.broker.statuses()] == ["too_large"]


def test_a_stalled_source_is_said_by_the_bridge(line: Line) -> None:
    """The reader may hang in the source then."""
    line.shot()
    line.bridge.turn()
    line.now_ns = 3001 * MS
    line.bridge.turn()
    assert [status["reason"] for status in line.broker.statuses()] == [None, "stalled"]


def test_the_last_will_says_that_the_process_is_gone() -> None:
    """On the topic of the status, retained, so that it takes its place."""
    message = will("status")
    assert (message.topic, message.retain, json.loads(message.payload)["reason"]) == ("status", True, "gone")
