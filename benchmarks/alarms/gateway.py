"""A gateway of 401 sensors dies and comes back: `python -m benchmarks.alarms.gateway`.

The real daemon behind a real Mosquitto, no camera. Each sensor has a rule and a fault with an alarm. How many alarms are raised, and how long does an
operator's acknowledgement take that comes at the very moment when the first of them is heard, while the daemon tells everything that changed?
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from tests.stand.daemon import PREFIX, Broker, Daemon, Ear, site_document

SENSORS = 401
STALE_MS = 5000
ALARM = {"severity": 500, "message": "Too hot", "operator_action": "Look", "consequence": "Wear"}
CASES: dict[str, Callable[[int], str]] = {
    "one topic": lambda _: "gw/all",
    "a topic each": lambda number: f"gw/t{number}",
}


class Plant:
    """The daemon, and the gateway that publishes once a second until it is stopped."""

    def __init__(self, folder: Path, port: int, topic: Callable[[int], str]) -> None:
        numbers = range(SENSORS)
        shared = topic(0) == topic(1)
        site: dict[str, Any] = site_document(folder, port) | {
            "cameras": [],
            "sensors": [
                {"id": f"t{number}", "topic": topic(number), "stale_after_ms": STALE_MS}
                | ({"pointer": f"/t{number}"} if shared else {})
                for number in numbers
            ],
            "rules": [
                {"id": f"hot{number}", "sensor": f"t{number}", "kind": "above", "limit": 50.0} for number in numbers
            ],
            "faults": [{"id": f"f{number}", "rules": [f"hot{number}"], "alarm": ALARM} for number in numbers],
            "publish": {"heartbeat_s": 1.0},
        }
        del site["bundle"]
        self.ear = Ear(port)
        self.daemon = Daemon(site, folder).start()
        document = json.dumps({f"t{number}": 20.0 for number in numbers}).encode()
        self.messages = [(topic(0), document)] if shared else [(topic(number), b"20") for number in numbers]
        self.speaking = threading.Event()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._speak, daemon=True)
        self.thread.start()

    def _speak(self) -> None:
        while not self.over.is_set():
            if self.speaking.wait(0.1):
                for topic, payload in self.messages:
                    self.ear.publish(topic, payload, qos=0)
                self.over.wait(1.0)

    def raised(self, since: int) -> set[str]:
        """Alarms that were shown to an operator since a mark."""
        heard = (item for item in self.ear.everything()[since:] if "/alarm/" in item.topic)
        return {item.document()["id"] for item in heard if item.document()["state"] == "UNACK_ALM"}

    def acknowledge(self, alarm: dict[str, Any]) -> float:
        """Acknowledge one alarm; from the command to its answer, ms."""
        asked = {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), "user": "op"}
        body = asked | {"alarm_id": alarm["id"], "occurrence_id": alarm["occurrence_id"]}
        began = time.perf_counter()
        self.ear.publish(f"{PREFIX}/cmd/ack", json.dumps(body).encode())
        self.ear.wait("res/ack", lambda reply: reply["request_id"] == asked["request_id"], timeout_s=60.0)
        return (time.perf_counter() - began) * 1e3

    def close(self) -> None:
        """The end."""
        self.over.set()
        self.thread.join()
        self.daemon.stop()
        self.ear.close()


def measure(case: str, rounds: int) -> dict[str, object]:
    """So many deaths and returns of one gateway."""
    raised_by_death: list[int] = []
    raised_by_return: list[int] = []
    took_ms: list[float] = []
    told_s: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder, "max_queued_messages 100000")  # as deploy/mosquitto has it
        plant = Plant(folder, broker.port, CASES[case])
        try:
            for _ in range(rounds):
                mark = plant.ear.count()
                plant.speaking.set()
                plant.ear.wait(f"flag/f{SENSORS - 1}", lambda flag: flag["verdict"] == "ok", since=mark, timeout_s=60.0)
                time.sleep(2 * STALE_MS / 1e3)
                raised_by_return.append(len(plant.raised(mark)))
                mark, began = plant.ear.count(), time.perf_counter()
                plant.speaking.clear()
                first = _first_alarm(plant, mark)
                told_s.append(time.perf_counter() - began)
                took_ms.append(plant.acknowledge(first))
                time.sleep(2 * STALE_MS / 1e3)
                raised_by_death.append(len(plant.raised(mark)))
        finally:  # a daemon that is left behind would take a core from whoever measures next
            plant.close()
            broker.stop()
    return {
        "topics": case,
        "sensors": SENSORS,
        "alarms raised by its death": max(raised_by_death),
        "by its return": max(raised_by_return),
        "ack ms, median": report.percentile(took_ms, 50),
        "ack ms, highest": max(took_ms),
        "told after s, highest": max(told_s),
    }


def _first_alarm(plant: Plant, mark: int) -> dict[str, Any]:
    """The first alarm that an operator is shown after a mark."""
    end_s = time.monotonic() + 60.0
    while time.monotonic() < end_s:
        for item in plant.ear.everything()[mark:]:
            if "/alarm/" in item.topic and (alarm := item.document())["state"] == "UNACK_ALM":
                found: dict[str, Any] = alarm
                return found
        time.sleep(0.005)
    raise TimeoutError("no alarm was raised")


def main() -> None:
    """All cases, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="deaths and returns of each gateway")
    options = parser.parse_args()
    report.write(
        "gateway",
        title=f"A gateway of {SENSORS} sensors dies",
        rows=[measure(case, options.rounds) for case in CASES],
        notes=[
            f"One round: every sensor speaks once a second, then none does; each counts as silent after {STALE_MS / 1e3:g} s. {options.rounds} rounds.",
            "Raised: alarms that came to UNACK_ALM, those of the sensors and the gateway's. The others are suppressed by design, with the reason.",
            "Ack: from the command to its answer, sent when the first alarm is heard: at that moment every flag and alarm that hangs on the sensors changes too.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
