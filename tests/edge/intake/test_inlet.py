"""What comes in is read, counted and left where the inference thread finds it; a reload changes what is read without losing what waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.health.ledger import Health
from edge.intake.inbox import Inbox
from edge.intake.inlet import Inlet
from edge.intake.slot import Slots
from edge.site.settings import Site
from edge.wire.envelope import Incoming
from tests.stand.bundles import flat_jpeg

GREY = flat_jpeg(90, 90, 90)
BUDGETS = {"cam": 40.0, "new": 40.0}


class Desk:
    """An inlet with the stages around it."""

    def __init__(self) -> None:
        self.site = site("cam")
        self.slots, self.inbox = Slots(["cam"]), Inbox()
        self.health = Health({"cam": 40_000_000}, ["heat"], 0)
        self.arrivals = 0
        self.inlet = Inlet(
            self.site, BUDGETS, slots=self.slots, inbox=self.inbox, counters=self.health, arrival=self._arrival
        )

    def _arrival(self) -> None:
        self.arrivals += 1

    def comes(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """A message arrives."""
        self.inlet.arrived(Incoming(f"{self.site.prefix()}/in/{topic}", payload, retained, 1_000, 1_000))


def site(*cameras: str) -> Site:
    """Some cameras and one sensor."""
    document: dict[str, Any] = {
        "bundle": Path("b"),
        "node": {"id": "n"},
        "cameras": tuple({"id": name, "availability_topic": "nvr/LWT"} for name in cameras),
        "sensors": ({"id": "heat"},),
    }
    return Site.model_validate(document)


@pytest.fixture
def desk() -> Desk:
    """A site of one camera."""
    return Desk()


def test_a_frame_waits_in_its_slot_and_stops_spare_work(desk: Desk) -> None:
    """The newest one; the one that it replaced is counted."""
    desk.comes("frame/cam", GREY)
    desk.comes("frame/cam", GREY)
    assert (desk.arrivals, desk.slots.waiting()) == (2, 1)
    report = desk.health.cameras(1_000)["cam"]
    assert (report.received, report.dropped) == (2, {"replaced": 1})
    frame = desk.slots.take(0.0)
    assert frame is not None
    assert frame.seq == 2


def test_a_reading_waits_in_the_inbox(desk: Desk) -> None:
    """It is counted, and no frame's business."""
    desk.comes("sensor/heat", b"21.5")
    assert [reading.value for reading in desk.inbox.take_readings()] == [21.5]
    assert (desk.health.sensors(1_000)["heat"].received, desk.arrivals) == (1, 0)


def test_a_camera_whose_gateway_is_offline_is_left_word_of(desk: Desk) -> None:
    """It is no frame: none is accounted for, and its stray is counted."""
    desk.inlet.arrived(Incoming("nvr/LWT", b"offline", True, 1_000, 1_000))  # noqa: FBT003 - a record's field
    assert desk.inbox.take_lost() == {"cam": 1_000}
    assert desk.health.strays() == {"offline": 1}
    assert desk.health.cameras(1_000)["cam"].received == 0


def test_it_knows_what_comes_in(desk: Desk) -> None:
    """Frames, values, and what gateways say of themselves; nothing else."""
    prefix = f"{desk.site.prefix()}/in"
    topics = (f"{prefix}/frame/cam", f"{prefix}/sensor/heat", "nvr/LWT", f"{prefix}/frame/other", "x")
    assert [desk.inlet.is_subscribed(topic) for topic in topics] == [True, True, True, False, False]
    assert set(desk.site.input_topics()) == set(topics[:3])


def test_a_rejection_is_counted_each_time_and_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A rejected frame counts as received, a retained one does not: it never was a fresh picture."""
    for _ in range(3):
        desk.comes("frame/cam", b"no picture")
    desk.comes("frame/cam", GREY, retained=True)
    report = desk.health.cameras(1_000)["cam"]
    assert (report.received, report.dropped) == (3, {"rejected": 3, "retained": 1})
    assert len([record for record in caplog.records if "input of cam refused" in record.message]) == 2


def test_another_site_is_read_from_one_message_to_the_next(desk: Desk) -> None:
    """Frames that wait stay and are counted on; whether other topics are needed is told."""
    desk.comes("frame/cam", GREY)
    assert not desk.inlet.reconfigure(site("cam"), BUDGETS, 1_000)
    assert desk.inlet.reconfigure(site("cam", "new"), BUDGETS, 1_000)
    assert any(item.topic.endswith("in/frame/new") for item in desk.inlet.subscriptions())
    waiting = desk.slots.take(0.0)
    assert waiting is not None
    desk.comes("frame/new", GREY)
    desk.comes("frame/cam", GREY)
    assert sorted(desk.health.cameras(1_000)) == ["cam", "new"]
    following = [desk.slots.take(0.0), desk.slots.take(0.0)]
    assert sorted((frame.camera, frame.seq) for frame in following if frame) == [("cam", 2), ("new", 1)]
