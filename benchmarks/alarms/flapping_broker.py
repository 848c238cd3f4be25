"""What still gets in through a broker that dies again and again: `python -m benchmarks.alarms.flapping_broker`.

Ten sensors flip 20 times a second through a Mosquitto configured as Debian does; the daemon reconnects as it is shipped. First the broker stays, then
it is killed every 1.5-3 s. A witness counts the transitions.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks import report
from edge.publish.store import rescue
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import NODE, PREFIX, Daemon
from tests.stand.witness import Name, Witness

SENSORS, HZ = 10, 20.0
ALARMS = frozenset(f"f{number}" for number in range(SENSORS))
DRAIN_S = 60.0
ALARM = {"severity": 500, "message": "High", "operator_action": "Look", "consequence": "Scrap"}
AT_ONCE = {"off_delay_ms": 0.0, "auto_ack": True}  # each flip is one transition
CONNECTED = re.compile(r"^(\S+) .*mqtt \S+-in: connected to ", re.MULTILINE)
Row = dict[str, object]


def site(port: int, state: Path) -> dict[str, Any]:
    """Sensors alone, an alarm for each; reconnection is left as it is shipped."""
    return {
        "node": {"id": NODE, "state_dir": str(state)},
        "broker": {"port": port},
        "sensors": [{"id": f"s{number}", "stale_after_ms": 60_000.0} for number in range(SENSORS)],
        "rules": [
            {"id": f"r{number}", "sensor": f"s{number}", "kind": "above", "limit": 50.0} for number in range(SENSORS)
        ],
        "faults": [
            {"id": f"f{number}", "rules": [f"r{number}"], "alarm": ALARM | AT_ONCE} for number in range(SENSORS)
        ],
    }


class FlippingSensors:
    """Publishes readings that cross the limit with each message, at QoS 1, and connects again as soon as it can; `stop` ends it."""

    def __init__(self, port: int) -> None:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.max_queued_messages_set(1)  # a sensor has no memory: what was measured while the broker was away is gone
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        self._stopping = threading.Event()
        self._published = 0
        self._thread = threading.Thread(target=self._flip, daemon=True)
        self._thread.start()

    def _flip(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(max(0.0, began + self._published / HZ - time.monotonic())):
            sensor, high = self._published % SENSORS, self._published // SENSORS % 2 == 0
            self._client.publish(f"{PREFIX}/in/sensor/s{sensor}", b"99" if high else b"10", qos=1)
            self._published += 1

    def stop(self) -> int:
        """Ends it; returns how many readings it measured."""
        self._stopping.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()
        return self._published


def measure(folder: Path, minutes: float, *, killing: bool) -> Row:
    """One run: the broker stays, or dies every 1.5-3 s and forgets what it confirmed."""
    options = f"allow_anonymous true\npersistence true\npersistence_location {folder}/"
    broker, chance = Mosquitto(folder, options).start(), random.Random(1)
    witness, state = Witness(broker.port), folder / "state"
    daemon = Daemon(site(broker.port, state), folder).start()
    starts: list[float] = []

    def written() -> set[Name]:
        found = rescue(state)
        return {(epoch, seq) for epoch, seq, _, _ in found[1]} if found else set()

    try:
        time.sleep(3)
        sensors, began = FlippingSensors(broker.port), time.monotonic()
        while time.monotonic() - began < minutes * 60:
            time.sleep(chance.uniform(1.5, 3.0))
            if killing:
                broker.kill()
                time.sleep(chance.uniform(0.0, 0.5))
                broker.start()
                starts.append(time.time())
        lasted_min, flips = (time.monotonic() - began) / 60, sensors.stop()
        catch_up_s = witness.wait_complete(written, DRAIN_S)
        said, flipped = witness.testify(written()), sum(map(is_flip, witness.events()))
    finally:
        daemon.stop()
        witness.close()
        broker.kill()
    back_s = away(starts, daemon.log())
    return {
        "run": "broker killed every 1.5-3 s" if killing else "broker stays",
        "kills": len(starts),
        "minutes": lasted_min,
        "readings/min": flips / lasted_min,
        "transitions/min": flipped / lasted_min,
        "share of the readings": flipped / flips,
        "lost": said.lost,
        "catch-up s": catch_up_s,
        "connected again after s, median": report.percentile(back_s, 50) if back_s else "-",
        "connected again after s, most": max(back_s) if back_s else "-",
    }


def is_flip(event: Mapping[str, Any]) -> bool:
    """Whether an event is the alarm of a sensor that came or went."""
    return event["kind"] == "alarm" and event["detail"] in {"RAISE", "CLEAR_AUTO_ACK"} and event["subject"] in ALARMS


def away(starts: list[float], log: str) -> list[float]:
    """From each start of the broker to our next connection, s; a start whose broker died before that counts with the next one."""
    connected = [datetime.fromisoformat(found[1]).timestamp() for found in CONNECTED.finditer(log)]
    waited: list[float] = []
    since: float | None = None
    moments = sorted([(at, "start") for at in starts] + [(at, "connected") for at in connected])
    for at, what in moments:
        if what == "start" and since is None:
            since = at
        elif what == "connected" and since is not None:
            waited.append(at - since)
            since = None
    return waited


def main() -> None:
    """Run both and write results/flapping_broker.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=4.0, help="of killing the broker; it stays for a quarter of that"
    )
    options = parser.parse_args()
    rows = []
    for killing in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), options.minutes * (1.0 if killing else 0.25), killing=killing))
    report.write(
        "flapping_broker",
        title="A broker that dies again and again: what still gets in",
        rows=rows,
        notes=[
            "A reading that reaches the daemon is one transition of its alarm. Readings measured while the broker is away are not kept by the sensors.",
            (
                "connected again after: from the moment when the broker listens again to our connection for sensors; a broker that dies before that goes "
                "on being waited for."
            ),
        ],
    )


if __name__ == "__main__":
    report.run(main)
