"""What a tick of the inference thread costs with many alarms: `python -m benchmarks.alarms.tick`.

Twenty times a second the thread that judges frames looks at readings, alarms and timers between them: what that takes is taken from the frames. One real
daemon, not started: its worker turns on this thread, on a clock that jumps from tick to tick. The wire ends where a message is handed over, and the
journal writes to the disk on its own thread, as ever. Each sensor has a rule and a fault with an alarm, and an alarm about its silence.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report
from edge.daemon import Daemon
from edge.frame import Reading
from edge.plan import site_bundle
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.system.memory import spare_sweeps
from edge.units import NS_PER_S
from edge.wire.envelope import Outgoing
from edge.worker import TICK_NS

SENSORS = (50, 200, 600)
TICKS_PER_S = NS_PER_S // TICK_NS
LIMIT = 50.0
ALARM = {"severity": 500, "message": "Too hot", "operator_action": "Look", "consequence": "Wear"}
#: Before ticks left out what cannot have changed (commit 32be0cfc), by case and sensors, ms: of two runs of this command the lower median, on the machine and
#: on the day of the first result.
BEFORE_MS: dict[str, dict[int, float]] = {
    "no reading comes, and none is due": {50: 8.08, 200: 18.8, 600: 51.3},
    "each repeats its value once a second": {50: 5.77, 200: 17.8, 600: 84.6},
    "the same, but a tenth is dead": {50: 4.65, 200: 19.6, 600: 64.8},
    "the same, but a tenth cross their limit every 2 s": {50: 5.52, 200: 19.2, 600: 67.7},
    "all are dead": {50: 2.73, 200: 14.9, 600: 45.6},
}

#: What a sensor sends in a tick, by its number, the number of sensors and the tick; None: nothing.
Script = Callable[[int, int, int], float | None]


def _same(number: int, sensors: int, tick: int) -> float | None:
    del sensors
    return 20.0 if (number + tick) % TICKS_PER_S == 0 else None


def _at_first(number: int, sensors: int, tick: int) -> float | None:
    return _same(number, sensors, tick) if tick <= TICKS_PER_S else None


def _tenth_crosses(number: int, sensors: int, tick: int) -> float | None:
    value = _same(number, sensors, tick)
    if value is None or number >= sensors // 10:
        return value
    return LIMIT + 1.0 if (number + tick) // TICKS_PER_S % 4 < 2 else value


def _tenth_dead(number: int, sensors: int, tick: int) -> float | None:
    return (_at_first if number < sensors // 10 else _same)(number, sensors, tick)


LONG_S, SHORT_S = 3600, 5  # without a reading, and a sensor is silent
CASES: dict[str, tuple[int, Script]] = {
    "no reading comes, and none is due": (LONG_S, _at_first),
    "each repeats its value once a second": (SHORT_S, _same),
    "the same, but a tenth is dead": (SHORT_S, _tenth_dead),
    "the same, but a tenth cross their limit every 2 s": (SHORT_S, _tenth_crosses),
    "all are dead": (SHORT_S, _at_first),
}


class Plant:
    """A daemon of sensors alone, and its clock."""

    def __init__(self, folder: Path, sensors: int, stale_s: int) -> None:
        self.sensors, self.tick = sensors, 0
        names = [f"t{number}" for number in range(sensors)]
        document: dict[str, Any] = {
            "node": {"id": "n", "state_dir": folder},
            "broker": {"port": 1883, "protocol": "5"},
            "sensors": [{"id": name, "topic": f"gw/{name}", "stale_after_ms": stale_s * 1000} for name in names],
            "rules": [{"id": f"hot-{name}", "sensor": name, "kind": "above", "limit": LIMIT} for name in names],
            "faults": [{"id": f"f-{name}", "rules": [f"hot-{name}"], "alarm": ALARM} for name in names],
        }
        site = Site.model_validate(document)
        clock = Clock(lambda: self.tick * TICK_NS, lambda: 1_800_000_000 * NS_PER_S + self.tick * TICK_NS)
        self._daemon = Daemon(site, site_bundle(site), clock)
        self.sent = 0
        self.journal = self._daemon._journal  # noqa: SLF001 - the wire ends here, and this thread is every thread
        self.journal._send = self._send  # noqa: SLF001 - likewise
        self._daemon._publisher._send = self._send  # noqa: SLF001 - likewise
        self._inbox, self._health = self._daemon._inbox, self._daemon.health  # noqa: SLF001 - likewise
        self.journal.link_up()
        self._worker = self._daemon._prepare().worker  # noqa: SLF001 - likewise

    def _send(self, message: Outgoing) -> int:
        del message
        self.sent += 1
        return self.sent

    def speak(self, script: Script) -> None:
        """The readings of one tick arrive."""
        now_ns = self.tick * TICK_NS
        for number in range(self.sensors):
            value = script(number, self.sensors, self.tick)
            if value is not None:
                self._health.reading_received(f"t{number}", now_ns, value)
                self._inbox.put_reading(Reading(f"t{number}", value, now_ns))

    def turn(self) -> float:
        """One tick of the inference thread; its processor time, ms."""
        began_ns = time.thread_time_ns()
        self._worker.turn(None)
        return (time.thread_time_ns() - began_ns) / 1e6

    def run(self, script: Script, seconds: int) -> float:
        """So many seconds of the plant's time; processor time of each tick in the mean, ms."""
        total_ms = 0.0
        for _ in range(seconds * TICKS_PER_S):
            self.tick += 1
            self.speak(script)
            total_ms += self.turn()
            self.journal.turn()
        return total_ms / (seconds * TICKS_PER_S)

    def close(self) -> None:
        """The end."""
        self._daemon.stop()


def measure(sensors: int, case: str, blocks: int, seconds: int) -> dict[str, object]:
    """Blocks of one plant."""
    with tempfile.TemporaryDirectory() as name:
        stale_s, script = CASES[case]
        plant = Plant(Path(name), sensors, stale_s)
        spare_sweeps()
        plant.run(script, 2 * SHORT_S)
        before = plant.sent
        took_ms = [plant.run(script, seconds) for _ in range(blocks)]
        sent = plant.sent - before
        plant.close()
    was_ms = BEFORE_MS[case].get(sensors)
    middle = report.percentile(took_ms, 50)
    return {
        "sensors": sensors,
        "case": case,
        "messages a second": sent / (blocks * seconds),
        "processor ms per tick, median": middle,
        "lowest": min(took_ms),
        "highest": max(took_ms),
        "share of a core %": 100 * middle * 1e6 / TICK_NS,
        "before": "" if was_ms is None else was_ms,
        "times cheaper": "" if was_ms is None else was_ms / middle,
    }


def main() -> None:
    """All cases, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of each block, of the plant's time")
    parser.add_argument("--blocks", type=int, default=7, help="of each case")
    options = parser.parse_args()
    report.write(
        "tick",
        title="A tick of the inference thread with many alarms",
        rows=[measure(sensors, case, options.blocks, options.seconds) for case in CASES for sensors in SENSORS],
        notes=[
            f"Processor time of the inference thread alone, in the mean over {options.seconds * TICKS_PER_S} ticks, of which {TICKS_PER_S} come in a second; median, lowest and highest of {options.blocks} such blocks.",
            "A sensor has two alarms, of its fault and of its silence, and its topic differs from the others' in one level: all belong to one gateway.",
            "Before: the same before a tick left out what cannot have changed since the last one; the lower of two runs of this command, on the same busy machine on the day of the change.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
