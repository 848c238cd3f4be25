"""The edge node's own connection against a real Mosquitto that takes small packets only."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.site.inputs import CameraSettings
from edge.site.sections import BrokerSettings, NodeSettings
from edge.site.settings import Site
from edge.sparkplug.codec import DataType
from edge.sparkplug.connection import SparkplugConnection
from edge.sparkplug.metrics import Catalogue
from edge.sparkplug.node import Change, EdgeNode, NodeSpec, Tag
from edge.system.clock import Clock
from edge.wire.messages import AlarmCounts, State
from edge.wire.requests import Inspection
from tests.sparkplug_conformance.schema import read
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import Ear

LIMIT_BYTES = 3_000


def _session(node: EdgeNode, port: int, folder: Path) -> SparkplugConnection:
    site = Site(bundle=folder, node=NodeSettings(id="press"), cameras=(CameraSettings(id="cam"),))
    return SparkplugConnection(
        node,
        Catalogue(site, (), (), {}),
        servers=(BrokerSettings(port=port, reconnect_max_s=0.5),),
        client_id="press-sparkplug",
        state_dir=None,
        command_topic="edge/v1/press/cmd",
        put_command=lambda _: None,
        run_id="run",
        clock=Clock(),
    )


@pytest.fixture
def narrow(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A server that says in CONNACK how little it takes."""
    return make_mosquitto(f"allow_anonymous true\nmax_packet_size {LIMIT_BYTES}").start()


@pytest.mark.broker
def test_data_are_cut_to_what_the_server_takes(narrow: Mosquitto, tmp_path: Path) -> None:
    """Everything arrives, in pieces, and the numbers have no gap."""
    node = EdgeNode(NodeSpec("plant", "press", (Tag("value", DataType.INT32),), {}))
    for value in range(500):
        node.note(Change(None, "value", value, 1_000 + value))
    ear = Ear(narrow.port, (), ("spBv1.0/#",))
    session = _session(node, narrow.port, tmp_path)
    session.start()

    def heard() -> list[Any]:
        return [read(item.payload) for item in ear.everything() if "/NDEATH/" not in item.topic]

    wait_for(lambda: sum(len(payload.metrics) for payload in heard()[1:]) == 500, what="all values have come")
    session.stop()
    ear.close()
    assert [payload.seq for payload in heard()] == list(range(len(heard())))
    assert max(len(item.payload) for item in ear.everything()) < LIMIT_BYTES
    assert session.counts["too_large"] == 0


@pytest.mark.broker
def test_births_that_the_server_does_not_take_end_the_session(
    narrow: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is published under numbers with a gap; the log says what is too large, and the node tries again."""
    tags = tuple(Tag(f"a metric with a rather long name, number {number}", DataType.INT32) for number in range(100))
    ear = Ear(narrow.port, (), ("spBv1.0/plant/#",))
    session = _session(EdgeNode(NodeSpec("plant", "press", tags, {})), narrow.port, tmp_path)
    session.start()
    wait_for(lambda: session.counts["too_large"] >= 2, what="it tried again")
    session.stop()
    time.sleep(0.2)
    ear.close()
    assert {item.topic.split("/")[2] for item in ear.everything()} <= {"NDEATH"}
    assert any("NBIRTH/press has" in record.message for record in caplog.records)


def test_the_newest_answer_to_a_trigger_is_on_its_cameras_device() -> None:
    """Only where the site has triggers for the camera: a host learns its metrics in the birth."""
    trigger = CameraSettings.model_validate({"id": "cam", "trigger": {}})
    site = Site(bundle=Path("b"), node=NodeSettings(id="press"), cameras=(trigger, CameraSettings(id="other")))
    catalogue = Catalogue(site, (), (), {})
    names = {device: {tag.name for tag in tags} for device, tags in catalogue.devices.items()}
    assert {name for name in names["cam"] if name.startswith("Inspection/")} == names["cam"] - names["other"]
    answer: dict[str, Any] = dict.fromkeys(Inspection.model_fields)
    answer |= {"ts": "2026-12-01T00:00:00.000Z", "session": "s", "part": "A7", "outcome": "judged", "verdict": "fault"}
    answer |= {"q": "good", "reason": "", "faults": {}, "frame_seq": 7, "lat_ms": 1.0, "times": 1}
    answer["schema"] = answer.pop("schema_") or "edge.inspection/1"
    told = {
        name: list(catalogue.changes(Inspection.model_validate(answer | {"cam": name}))) for name in ("cam", "other")
    }
    assert told["other"] == []
    changes = [change for change in told["cam"] if isinstance(change, Change)]
    assert {change.name: change.value for change in changes} == {
        "Inspection/Part": "A7",
        "Inspection/Outcome": "judged",
        "Inspection/Verdict": "fault",
        "Inspection/Reason": "",
        "Inspection/Frame": 7,
    }
    assert {change.name for change in changes} <= names["cam"]


def test_the_profile_is_a_metric_of_the_node() -> None:
    """Only of a site that has any."""
    cameras = (CameraSettings(id="cam"),)
    plain = Site(bundle=Path("b"), node=NodeSettings(id="press"), cameras=cameras)
    site = Site.model_validate(plain.model_dump() | {"profiles": ({"id": "small"},)})
    state = State(
        online=True, ts="2026-12-01T00:00:00.000Z", session="s", ne107="G", version="1", profile="small",
        alarms=AlarmCounts(active=0, unacknowledged=0, shelved=0),
    )  # fmt: skip
    told = [
        {change.name: change.value for change in catalogue.changes(state) if isinstance(change, Change)}
        for catalogue in (Catalogue(site, (), (), {}), Catalogue(plain, (), (), {}))
    ]
    assert (told[0]["Profile"], "Profile" in told[1]) == ("small", False)
    assert "Profile" in {tag.name for tag in Catalogue(site, (), (), {}).node}
