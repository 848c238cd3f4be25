"""The operators' page under a flood: `python -m benchmarks.alarms.page`.

The real daemon behind a real Mosquitto raises and clears so many alarms a second; the page's process feeds browsers that read the live stream as a
browser does. How old is an alarm when a browser is told, how much memory does the page take, and how soon is it there?
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from tests.stand.daemon import PREFIX, Broker, Daemon, Ear, pace, site_document
from tests.stand.page import PageProcess, Visitor

SENSORS = 100
BROWSERS = 3
ALARM = {"severity": 500, "message": "Too hot", "operator_action": "Look", "consequence": "Wear", "off_delay_ms": 0.0, "auto_ack": True}  # fmt: skip
FILES = ("/", "/page.css", "/page.js", "/dom.js", "/store.js", "/alarms.js", "/evidence.js", "/chart.js", "/screens.js")


def site(folder: Path, port: int) -> dict[str, Any]:
    """So many sensors, a rule and an alarm each."""
    numbers = range(SENSORS)
    document = site_document(folder, port) | {
        "cameras": [],
        "sensors": [{"id": f"t{number}", "stale_after_ms": 600_000} for number in numbers],
        "rules": [{"id": f"hot{number}", "sensor": f"t{number}", "kind": "above", "limit": 50.0} for number in numbers],
        "faults": [{"id": f"f{number}", "rules": [f"hot{number}"], "alarm": ALARM} for number in numbers],
        "publish": {"heartbeat_s": 1.0},
    }
    del document["bundle"]
    return document


class Browser(threading.Thread):
    """Reads the live stream; remembers how old each alarm's newest change was when it came, ms."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__(daemon=True)
        self.visitor = visitor
        self.ages_ms: list[float] = []
        self.told: dict[str, tuple[int, str]] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Until it is over."""
        with self.visitor.live() as stream:
            while not self.over.is_set():
                stream.entries.clear()
                stream.read()
                now_ms = time.time() * 1e3
                for (_, kind, name), (_, document) in stream.entries.items():
                    if kind == "alarm":
                        published = datetime.fromisoformat(document["time"]["published"]).timestamp() * 1e3
                        self.ages_ms.append(now_ms - published)
                        self.told[name] = (document["seq"], document["state"])


def paint_ms(port: int) -> float:
    """Everything that a browser loads before it shows the sign-in, over one connection, ms."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for path in (*FILES, "/api/me"):
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.client.OK or not answer.read():
            raise RuntimeError(f"{path} is not there: {answer.status}")
    connection.close()
    return (time.perf_counter() - began) * 1e3


def measure(hz: float, seconds: float) -> dict[str, object]:
    """One flood."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder, "max_queued_messages 100000")
        daemon = Daemon(site(folder, broker.port), folder).start()
        page = PageProcess(folder, broker.port).start()
        ear = Ear(broker.port, ("alarm/+", "state"))
        ear.wait("state", lambda state: state["online"])
        painted = [paint_ms(page.port) for _ in range(5)]
        visitors = [Visitor(page.port) for _ in range(BROWSERS)]
        assert all(visitor.login("guest") == http.client.OK for visitor in visitors)
        browsers = [Browser(visitor) for visitor in visitors]
        for browser in browsers:
            browser.start()
        time.sleep(3.0)
        for browser in browsers:
            browser.ages_ms.clear()
        mark, cpu_s = ear.count(), cpu_of(page)
        pace(
            round(hz * seconds), hz, lambda index: ear.publish(f"{PREFIX}/in/sensor/t{index % SENSORS}", _value(index))
        )
        time.sleep(3.0)
        changes = len(ear.on("alarm/", mark))
        newest = {name.rpartition("/")[2]: alarm["seq"] for name, alarm in ear.newest("alarm/").items()}
        cpu_s, rss_mb = cpu_of(page) - cpu_s, rss_of(page)
        for browser in browsers:
            browser.over.set()
        behind = sum(browser.told[name][0] < seq for browser in browsers for name, seq in newest.items() if name in browser.told)  # fmt: skip
        ages = [age for browser in browsers for age in browser.ages_ms]
        ear.close()
        page.stop()
        daemon.stop()
        broker.stop()
    return {
        "changes a second": changes / seconds,
        "browsers": BROWSERS,
        "told after ms, p50": report.percentile(ages, 50),
        "told after ms, p99": report.percentile(ages, 99),
        "behind at the end": behind,
        "page CPU, % of a core": 100 * cpu_s / (seconds + 3.0),
        "page RSS MB": rss_mb,
        "page loaded ms, highest": max(painted),
    }


def _value(index: int) -> bytes:
    """Each sensor in turn, hot in one round and cold in the next."""
    return json.dumps(90 if index // SENSORS % 2 == 0 else 10).encode()


def rss_of(page: PageProcess) -> float:
    """Resident memory of the page's process, MB."""
    assert page.process is not None
    status = Path(f"/proc/{page.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def cpu_of(page: PageProcess) -> float:
    """Processor time that it used so far, s."""
    assert page.process is not None
    fields = Path(f"/proc/{page.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    """One flood, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the flood")
    parser.add_argument("--hz", type=float, default=50.0, help="alarms that change a second")
    options = parser.parse_args()
    report.write(
        "page",
        title="The operators' page in a flood of alarms",
        rows=[measure(options.hz, options.seconds)],
        notes=[
            f"{SENSORS} sensors with an alarm each; every {1e3 / options.hz:g} ms one of them is raised or cleared, for {options.seconds:g} s.",
            "Told after: from the daemon's stamp of an alarm's message to the moment when a browser has read it; the page sends at most every 150 ms.",
            "Behind at the end: alarms of which a browser did not have the newest message three seconds after the flood.",
            "Loaded: all files of the page and the first question, one after the other over one connection; without the drawing in a browser.",
            "RSS is the highest that the process ever had, sign-ins included.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
