"""What `edge-camera` says of its camera, from its topic to the alarm: it is read within bounds, and becomes the reason of the camera's silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.health.ledger import Health
from edge.intake.inbox import Inbox
from edge.intake.inlet import Inlet
from edge.intake.slot import Slots
from edge.intake.source import Source
from edge.record.recorder import Counts
from edge.site.settings import Site
from edge.wire.camera import TROUBLE_TEXTS, CameraStatus, CameraTrouble
from edge.wire.envelope import Incoming, Subscription
from tests.edge.bench import RED, Bench

TOPIC = "edge/v1/n/in/camera/cam"
SOURCE = {"url": "rtsp://cam/live"}


def site(**camera: Any) -> Site:
    """One camera that `edge-camera` watches, if its source is given."""
    return Site.model_validate({"bundle": Path("b"), "node": {"id": "n"}, "cameras": [{"id": "cam"} | camera]})


def message(payload: bytes, *, received_ns: int = 1) -> Incoming:
    """A retained message on the camera's topic, as a broker replays it."""
    return Incoming(TOPIC, payload, retained=True, received_ns=received_ns, received_wall_ns=1)


def status(reason: CameraTrouble | None) -> bytes:
    """What `edge-camera` publishes."""
    return CameraStatus(state="offline" if reason else "online", ts=None, reason=reason).encode()


def test_only_a_camera_with_a_source_has_a_status_topic() -> None:
    """Its retained message is wanted at once: it is a state."""
    watched = Source(site(source=SOURCE), {"cam": 40.0})
    assert Subscription(TOPIC, 1) in watched.subscriptions()
    alone = Source(site(), {"cam": 40.0})
    assert TOPIC not in [wanted.topic for wanted in alone.subscriptions()]
    assert alone.accept(message(status(None))).rejections[0].reason == "unknown_topic"


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        *((status(reason), reason) for reason in CameraTrouble),
        (status(None), None),
        (b'{"state": "offline", "reason": "of a later version"}', CameraTrouble.GONE),
        (b'{"state": "offline", "reason": ["x"]}', CameraTrouble.GONE),
        (b"offline", CameraTrouble.GONE),
        (b"online", None),
    ],
)
def test_every_status_is_read_and_an_unknown_reason_is_still_a_reason(
    payload: bytes, told: CameraTrouble | None
) -> None:
    """A newer `edge-camera` may know more codes than this daemon."""
    accepted = Source(site(source=SOURCE), {"cam": 40.0}).accept(message(payload))
    assert (accepted.cameras, accepted.rejections) == ((("cam", told),), ())


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "bad_availability"),
        (b"{", "not_json"),
        (b"\xff\xfe2", "not_text"),
        (b'{"state": 7}', "bad_availability"),
        (b'{"state": "online", "x": "' + b"y" * 5000 + b'"}', "oversize_bytes"),
    ],
)
def test_what_is_no_status_is_refused_and_counts_as_no_frame(payload: bytes, reason: str) -> None:
    """A camera that is silent does not look alive because somebody talks about it."""
    health = Health({"cam": 40_000_000}, [], 0)
    inlet = Inlet(
        site(source=SOURCE), {"cam": 40.0}, slots=Slots(["cam"]), inbox=Inbox(), counters=health, arrival=lambda: None
    )
    inlet.arrived(message(payload))
    assert health.strays() == {reason: 1}
    assert health.ages_ns("cam", 10).arrived is None
    inlet.arrived(message(status(CameraTrouble.BUSY)))
    assert health.trouble("cam") is CameraTrouble.BUSY
    health.camera_reported("a camera that a reload took away", None)


def test_a_topic_that_is_flooded_is_not_read() -> None:
    """Its share of the processor is that of every topic."""
    clock = iter(range(0, 10**12, 150_000_000))
    watched = Source(site(source=SOURCE), {"cam": 40.0}, cpu_ns=lambda: next(clock))
    read = [watched.accept(message(status(None))) for _ in range(6)]
    assert read[0].cameras
    assert read[-1].cameras == ()


def test_the_reason_stands_behind_the_silence_and_goes_with_it(tmp_path: Path) -> None:
    """In the alarm as a code and in words, in the state, and anew when it changes; not while the camera is well."""
    bench = Bench(tmp_path / "bundle", cameras=({"id": "cam", "source": SOURCE},))
    bench.frame(RED)
    bench.health.camera_reported("cam", CameraTrouble.STALLED)
    bench.idle(300)
    assert not [sent for sent in bench.take("alarm/cam-silent") if sent["reason"]]
    bench.idle(3000)
    raised = bench.last("alarm/cam-silent")
    assert (raised["active"], raised["reason"]) == (True, "stalled")
    assert raised["message"] == f"Camera cam gives no usable picture: {TROUBLE_TEXTS[CameraTrouble.STALLED]}"
    bench.health.camera_reported("cam", CameraTrouble.UNREACHABLE)
    bench.idle(1500)
    assert bench.last("alarm/cam-silent")["reason"] == "unreachable"
    assert TROUBLE_TEXTS[CameraTrouble.UNREACHABLE] in bench.last("state")["reasons"][0]
    bench.health.camera_reported("cam", None)
    for _ in range(10):
        bench.frame(RED)
        bench.idle(300)
    well = bench.last("alarm/cam-silent")
    assert (well["active"], well["reason"], well["message"]) == (False, None, "Camera cam gives no usable picture")


def test_what_was_said_of_a_camera_that_nobody_watches_any_more_is_no_reason(tmp_path: Path) -> None:
    """Its source was taken out of the site file."""
    bench = Bench(tmp_path / "bundle")
    bench.frame(RED)
    bench.health.camera_reported("cam", CameraTrouble.STALLED)
    bench.idle(3000)
    assert bench.last("alarm/cam-silent")["reason"] is None


def test_a_recording_counts_why_a_camera_gave_nothing() -> None:
    """Apart from what was refused; that pictures come is told by none."""
    counts = Counts()
    counts.camera_reported("cam", CameraTrouble.UNREACHABLE)
    counts.camera_reported("cam", None)
    assert counts.reported == {"cam had no pictures for a while: unreachable": 1}
    assert not counts.refused
