"""Another product over a real broker: by command and by the plant's topic, kept over a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.__main__ import main
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import FRAME_TOPIC, NODE, Daemon, Ear, Sender, site_document
from tests.stand.plant import ALARM, RED, roomy_bundle

pytestmark = pytest.mark.broker

RECIPE = "plc/line3/recipe"


class Line:
    """A daemon with profiles, which can be started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.document = site_document(roomy_bundle(folder / "colours"), port)
        self.document["node"]["state_dir"] = str(folder / "state")
        self.document["faults"] = [{"id": name, "camera": "cam1", "alarm": ALARM} for name in ("red", "blue")]
        self.document["profiles"] = [{"id": "large"}, {"id": "small", "called": ["12"], "faults": ["blue"]}]
        self.document["changeover"] = {"topic": RECIPE}
        self.folder, self.port = folder, port
        self.ear, self.sender = Ear(port), Sender(port)
        self.daemon = Daemon(self.document, folder).start()

    def restart(self) -> None:
        """The daemon goes and comes again."""
        self.daemon.stop()
        self.daemon = Daemon(self.document, self.folder).start()


@pytest.fixture
def line(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Line]:
    """Running; stopped at the end."""
    made = Line(tmp_path, mosquitto.port)
    yield made
    made.sender.close()
    made.daemon.stop()
    made.ear.close()


def test_a_changeover_holds_over_a_restart_and_the_plant_may_change_it_back(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarm of what is left out is suppressed with its reason, and no flag of it is ever ok."""
    line.sender.knock(line.ear, RED)
    line.ear.until("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM")
    where = ["--broker", f"127.0.0.1:{line.port}", "--node", NODE]
    assert main(["profile", "12", "--user", "op.meier", *where]) == 0
    assert capsys.readouterr().out.strip() == "profile: done: small: 1 of 2 faults hold"
    line.ear.until("state", lambda state: state["profile"] == "small")
    mark = line.ear.count()
    alarm = line.ear.until("alarm/red", lambda alarm: alarm["suppressed"])
    assert (alarm["state"], alarm["suppressed_because"]) == ("SUPPRESSED", "profile small does not hold it")
    event = line.ear.wait("event", lambda event: event["subject"] == "changeover")
    assert (event["user"], event["detail"]) == ("op.meier", "from large to small: 1 of 2 faults hold; by command")
    line.restart()
    line.ear.wait("state", lambda state: state["online"] and state["profile"] == "small", since=mark, timeout_s=20)
    line.sender.knock(line.ear, RED)
    assert line.ear.last("flag/blue")["verdict"] == "ok"
    reds = [flag.document() for flag in line.ear.on("flag/red", mark)]
    assert reds
    assert {flag["verdict"] for flag in reds} == {"unknown"}
    mark = line.ear.count()
    line.ear.publish(RECIPE, b"large")
    line.ear.wait("state", lambda state: state["profile"] == "large", since=mark)
    end = time.monotonic() + 10
    while line.ear.last("flag/red")["verdict"] != "fault" and time.monotonic() < end:
        line.sender.publish(FRAME_TOPIC, RED)
        time.sleep(0.2)
    shown = line.ear.until("alarm/red", lambda alarm: not alarm["suppressed"])
    assert shown["state"] == "UNACK_ALM"
    line.ear.publish(RECIPE, b"99")
    state = line.ear.until("state", lambda state: any("'99'" in reason for reason in state["reasons"]))
    assert state["profile"] == "large"
    assert "Traceback" not in line.daemon.log()
