"""FUXA, a real SCADA in a real browser: an alarm raised by a camera frame is in its list, and acknowledging it there acknowledges it here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.conftest import needs_npm
from tests.integrations.line import FAULT, HeldLine
from tests.stand.brokers import wait_for
from tests.stand.daemon import Ear
from tests.stand.ports import free_port

PACKAGE = "@frangoteam/fuxa"  # see the fixture `line`
pytestmark = [pytest.mark.broker, pytest.mark.slow]

DRIVER = Path(__file__).with_name("drive_fuxa.mjs")
WORDS = "Oil leaks from the part"


class Fuxa:
    """FUXA's server on a loopback port, with a folder of its own."""

    def __init__(self, npm: Path, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        package = npm / "node_modules" / "@frangoteam" / "fuxa"
        (folder / "_appdata").mkdir(parents=True)
        port = self.url.rpartition(":")[2]
        own = f'uiHost: "127.0.0.1", uiPort: {port}, logApiLevel: "none"'
        settings = f'module.exports = {{ ...require("{package}/settings.default.js"), {own} }};'
        (folder / "_appdata" / "settings.js").write_text(settings, encoding="utf-8")
        with (folder / "fuxa.log").open("wb") as log:
            command = ["node", str(package / "main.js"), "--userDir", str(folder)]
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(self._answers, 120, "FUXA answers")
        except AssertionError:
            self.stop()
            raise

    def ask(self, path: str, body: str | None = None) -> Any:
        """GET, or POST of a JSON document; returns the answer's JSON. FUXA bounds how often it may be asked: then a moment later."""
        request = urllib.request.Request(self.url + path, None if body is None else body.encode())  # noqa: S310 - our own loopback address
        request.add_header("Content-Type", "application/json")
        while True:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - likewise
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                time.sleep(1.0)

    def alarm(self, name: str) -> Any:
        """An alarm of FUXA's list, or None."""
        return next((item for item in self.ask("/api/alarms") if item["name"].startswith(f"{name}^")), None)

    def listed(self, name: str) -> Any:
        """The same, once it is there to be acknowledged."""
        wait_for(lambda: (shown := self.alarm(name)) and not shown["acktime"], 30, "FUXA lists it as unacknowledged")
        time.sleep(0.5)  # FUXA does not bear to be asked while it writes the alarm to its own database
        return self.alarm(name)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return self.ask("/api/project") is not None
        except urllib.error.URLError:
            return False


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed: `apt-get install chromium`")
    return found


@pytest.fixture
def fuxa(line: HeldLine, tmp_path: Path) -> Iterator[Fuxa]:
    """FUXA with the project that was generated for this very site."""
    server = Fuxa(needs_npm(PACKAGE), tmp_path / "fuxa")
    try:
        server.ask("/api/project", line.file_for("fuxa"))
        yield server
    finally:
        server.stop()


def test_an_alarm_from_a_frame_is_seen_and_acknowledged_in_a_browser(
    line: HeldLine, fuxa: Fuxa, chromium: str, tmp_path: Path
) -> None:
    """Seen in FUXA's list; its button acknowledges this occurrence at the daemon, with who and from where; the pictures are kept on demand."""
    npm = needs_npm("playwright-core")
    assert fuxa.alarm(f"line-demo/{FAULT}") is None
    line.leaking = True
    raised = line.alarm("UNACK_ALM")
    assert raised["source"]["frame_seq"]
    pictures = Path(os.environ.get("EDGE_PICTURES", tmp_path))
    shots = [str(pictures / f"fuxa-{name}.png") for name in ("alarm", "acknowledged")]
    command = ["node", str(DRIVER), str(npm), chromium, f"{fuxa.url}/home", WORDS, *shots]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "High" in seen["shown"]
    acked = line.alarm("ACK_ALM")
    assert acked["occurrence_id"] == raised["occurrence_id"]
    assert acked["ack"] == {"user": "fuxa", "comment": "acknowledged in FUXA"}
    replies = [heard.document() for heard in line.ear.on("res/ack")]
    assert [reply["code"] for reply in replies] == ["ok"]
    line.leaking = False
    line.alarm("NORM")
    wait_for(lambda: fuxa.alarm(f"line-demo/{FAULT}") is None, 30, "it leaves FUXA's list")
    wait_for(lambda: (commands := _retained(line, "cmd/ack")) and commands[-1]["occurrence_id"] == raised["occurrence_id"], 10)  # fmt: skip
    mark = line.ear.count()
    line.daemon.stop()
    line.daemon.start()
    line.ear.wait("heartbeat", lambda _: True, since=mark)
    assert line.ear.on("res/ack", mark) == [], "FUXA's copy that the broker keeps is no command of now"


def _retained(line: HeldLine, topic: str) -> list[Any]:
    """What the broker keeps on a topic."""
    ear = Ear(line.site.broker.port, (topic,), prefix=line.site.prefix())
    time.sleep(0.5)
    ear.close()
    return [heard.document() for heard in ear.on(topic) if heard.retained]


def test_a_new_occurrence_is_announced_anew(line: HeldLine, fuxa: Fuxa) -> None:
    """An alarm that was acknowledged in FUXA, went and came again at once is unacknowledged there too, and no old click acknowledges it."""
    name = f"line-demo/{FAULT}"
    line.leaking = True
    first = line.alarm("UNACK_ALM")
    fuxa.ask("/api/alarmack", json.dumps({"params": fuxa.listed(name)["name"]}))
    line.alarm("ACK_ALM")
    line.leaking = False
    line.alarm("NORM")
    line.leaking = True
    second = line.alarm("UNACK_ALM")
    assert second["occurrence_id"] != first["occurrence_id"]
    assert fuxa.listed(name)["toack"] == 1
    assert line.alarm("UNACK_ALM")["occurrence_id"] == second["occurrence_id"]


def test_what_is_acknowledged_elsewhere_is_acknowledged_in_fuxa(line: HeldLine, fuxa: Fuxa) -> None:
    """An acknowledgement from a terminal shows in FUXA's list."""
    name = f"line-demo/{FAULT}"
    line.leaking = True
    line.alarm("UNACK_ALM")
    fuxa.listed(name)
    subprocess.run(
        [sys.executable, "-m", "edge", "ack", FAULT, "--config", str(line.config), "--user", "meier"],
        check=True,
        timeout=30,
        capture_output=True,
    )
    wait_for(lambda: (shown := fuxa.alarm(name)) and shown["toack"] == 0, 10, "FUXA shows it as acknowledged")
    assert line.alarm("ACK_ALM")["ack"]["user"] == "meier"
