"""Triggers over a real broker: a PLC's topic and the command, from a part's id to the verdicts of its frame."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import main
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import FRAME_TOPIC, NODE, STILLS, Daemon, Ear, Sender, site_document
from tests.stand.plant import GREEN, GREY, RED, roomy_bundle

pytestmark = pytest.mark.broker

TOPIC = "line3/part"
TRIGGER = {
    "topic": TOPIC,
    "pointer": "/sn",
    "time_pointer": "/t",
    "before_ms": 1000,
    "after_ms": 5000,
    "timeout_ms": 8000,
}


class Line:
    """A daemon on a camera with triggers, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        document = site_document(roomy_bundle(folder / "colours"), port)
        document["cameras"] = [{"id": "cam1", "picture": STILLS, "trigger": TRIGGER}]
        self.port = port
        self.ear = Ear(port)
        self.daemon = Daemon(document, folder).start()
        self.sender = Sender(port)
        self.sender.knock(self.ear, GREY)

    def trigger(self, part: str, at_s: float) -> None:
        """The PLC says which part is there, and since when."""
        self.sender.publish(TOPIC, json.dumps({"sn": part, "t": round(at_s * 1000)}).encode())

    def answer(self, part: str, outcome: str) -> Any:
        """The answer about a part, with this outcome."""
        return self.ear.wait(
            "inspection/cam1", lambda one: (one["part"], one["outcome"]) == (part, outcome), timeout_s=20
        )


@pytest.fixture
def line(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Line]:
    """Running; stopped at the end."""
    made = Line(tmp_path, mosquitto.port)
    yield made
    made.sender.close()
    made.daemon.stop()
    made.ear.close()


def test_a_plc_gets_an_answer_for_every_part(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """The next frame, the frame before by the trigger's own time, a repetition, one that comes too late, and the command."""
    time.sleep(1.1)  # the frames that began are too old for the first trigger
    line.trigger("A1", time.time())
    line.sender.publish(FRAME_TOPIC, RED)
    first = line.answer("A1", "judged")
    assert (first["verdict"], first["faults"]["red"]["verdict"]) == ("fault", "fault")
    line.trigger("A1", time.time())
    again = line.answer("A1", "duplicate")
    assert (again["first"], again["frame_seq"], again["times"]) == ("judged", first["frame_seq"], 2)
    mark = line.ear.count()
    line.sender.publish(FRAME_TOPIC, GREEN)
    line.ear.wait("flag/red", lambda flag: flag["verdict"] == "ok" and flag["frame_seq"], since=mark)
    line.trigger("A2", time.time() - 30)
    assert line.answer("A2", "late")["verdict"] == "unknown"
    line.sender.publish(TOPIC, b"rubbish")
    unread = line.ear.wait("inspection/cam1", lambda one: one["part"] is None)
    assert (unread["outcome"], unread["reason"]) == ("unknown", "not_json")
    beat = line.ear.wait("heartbeat", lambda beat: beat["cameras"]["cam1"]["inspections"].get("unknown"), since=mark)
    assert beat["cameras"]["cam1"]["inspections"] == {"judged": 1, "duplicate": 1, "late": 1, "unknown": 1}
    assert beat["cameras"]["cam1"]["parts"] == {"fault": 1, "unknown": 2}
    where = ["--broker", f"127.0.0.1:{line.port}", "--node", NODE, "--user", "op"]
    assert main(["inspect", "--part", "A1", *where]) == 0
    told = capsys.readouterr().out
    assert told.startswith("inspect: part A1: duplicate, fault, frame ")
    assert "red" in told
    assert "Traceback" not in line.daemon.log()
