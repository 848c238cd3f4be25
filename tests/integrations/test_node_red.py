"""Node-RED, for real: the generated flow loads, an alarm raised by a camera frame is on its page, and its button acknowledges here."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.conftest import needs_npm
from tests.integrations.line import FAULT, HeldLine
from tests.stand.brokers import wait_for
from tests.stand.ports import free_port

PACKAGE = "node-red"  # see the fixture `line`
pytestmark = pytest.mark.broker

SETTINGS = """module.exports = {{
  flowFile: "flows.json", uiHost: "127.0.0.1", uiPort: {port}, credentialSecret: false,
  logging: {{ console: {{ level: "info" }} }}, telemetry: {{ enabled: false, updateNotification: false }},
}};"""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets a test see the redirect itself."""

    def redirect_request(self, *_: object) -> None:
        """Do not follow."""


class NodeRed:
    """Node-RED's runtime with one flow, on a loopback port."""

    def __init__(self, npm: Path, folder: Path, flow: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir()
        (folder / "flows.json").write_text(flow, encoding="utf-8")
        (folder / "settings.js").write_text(SETTINGS.format(port=port), encoding="utf-8")
        self.log_path = folder / "node-red.log"
        with self.log_path.open("wb") as log:
            command = ["node", str(npm / "node_modules" / "node-red" / "red.js"), "--userDir", str(folder)]
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(lambda: "Connected to broker" in self.log(), 120, "Node-RED is connected")
        except AssertionError:
            self.stop()
            raise

    def log(self) -> str:
        """Everything that it has said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> str:
        """A page."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - our own loopback address
            text: str = answer.read().decode()
        return text

    def post(self, path: str, **fields: str) -> tuple[int, str | None]:
        """Send a form as a browser does; returns the status and where it leads."""
        body = urllib.parse.urlencode(fields).encode()
        try:
            urllib.request.build_opener(NoRedirect).open(self.url + path, body, timeout=10)
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers["Location"]
        raise AssertionError("neither a redirect nor an error")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def node_red(line: HeldLine, tmp_path: Path) -> Iterator[NodeRed]:
    """Node-RED with the flow that was generated for this very site."""
    runtime = NodeRed(needs_npm(PACKAGE), tmp_path / "node-red", line.file_for("node-red"))
    try:
        yield runtime
    finally:
        runtime.stop()


def test_an_alarm_from_a_frame_is_seen_and_acknowledged_on_the_page(line: HeldLine, node_red: NodeRed) -> None:
    """Shown with what to do; the form acknowledges the occurrence that it showed, an older one is refused, and the answer is shown."""
    wait_for(lambda: "online, NE 107 G" in node_red.get("/line-demo"), 10, "the state is shown")
    assert "Oil leaks from the part" in node_red.get("/line-demo")
    line.leaking = True
    raised = line.alarm("UNACK_ALM")
    wait_for(lambda: "<td>UNACK_ALM</td>" in node_red.get("/line-demo"), 10, "the alarm is shown")
    page = node_red.get("/line-demo")
    assert "Stop the line and close the lubrication valve" in page
    assert f"{FAULT}: <b>fault</b>" in page
    form = dict(re.findall(r'name="(alarm_id|occurrence_id)" value="([^"]*)"', page.partition("UNACK_ALM")[2]))
    assert form["occurrence_id"] == raised["occurrence_id"]
    stale = form | {"occurrence_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
    assert node_red.post("/line-demo/ack", **stale, user="meier") == (303, "/line-demo")
    wait_for(lambda: "stale_occurrence" in node_red.get("/line-demo"), 10, "the refusal is shown")
    assert node_red.post("/line-demo/ack", **form)[0] == 400, "nobody acknowledges without a name"
    assert node_red.post("/line-demo/ack", **form, user="meier", comment="<b>seen</b>") == (303, "/line-demo")
    acked = line.alarm("ACK_ALM")
    assert (acked["occurrence_id"], acked["ack"]) == (
        raised["occurrence_id"],
        {"user": "meier", "comment": "<b>seen</b>"},
    )
    wait_for(lambda: "<td>meier</td>" in node_red.get("/line-demo"), 10, "who acknowledged is shown")
    assert [heard.document()["code"] for heard in line.ear.on("res/ack")] == ["stale_occurrence", "ok"]


def test_a_daemon_that_vanishes_is_shown_as_offline(line: HeldLine, node_red: NodeRed) -> None:
    """By the last will; no error in Node-RED's log in all of it."""
    wait_for(lambda: "online, NE 107 G" in node_red.get("/line-demo"), 10, "the state is shown")
    line.daemon.kill()
    wait_for(lambda: "OFFLINE" in node_red.get("/line-demo"), 20, "the last will is shown")
    assert "[error]" not in node_red.log()
