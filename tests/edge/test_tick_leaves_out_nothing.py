"""A tick leaves out what cannot have changed: whatever happens, exactly the same is published as when every channel and alarm is looked at each time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.alarm.machine import Alarm
from edge.frame import Frame, Quality, Reading
from edge.path import FramePath
from edge.wire.envelope import Incoming, Outgoing
from edge.wire.message import timestamp
from edge.worker import TICK_NS
from tests.edge.bench import ALARM, DARK, MS, RED, WALL_NS, Bench

TICKS = 160
SENSORS: tuple[dict[str, Any], ...] = tuple(
    {"id": name, "topic": topic, "stale_after_ms": stale_ms} | more
    for name, topic, stale_ms, more in (
        ("a", "gw/a", 600, {}),
        ("b", "gw/b", 1500, {"frozen_after_ms": 900}),
        ("c", "gw/c", 1500, {"frozen_after_ms": 900, "max_age_ms": 1000}),
        ("d", "alone", 1100, {}),
        ("bits", "other/deep/one", 60_000, {}),
        ("never", "quite/another", 2000, {}),
    )
)
RULES: tuple[dict[str, Any], ...] = (
    {"id": "high", "sensor": "a", "kind": "above", "limit": 5.0, "deadband": 2.0},
    {"id": "out", "sensor": "b", "kind": "outside", "limits": (2.0, 6.0)},
    {"id": "rises", "sensor": "a", "kind": "rise", "limit": 4.0, "window_s": 0.3},
    {"id": "mean", "sensor": "d", "kind": "above", "limit": 5.0, "of": "mean", "over_s": 2.0, "min_known": 0.2},
    {"id": "few", "sensor": "b", "kind": "below", "limit": 4.0, "of": "count", "over_s": 1.0, "min_known": 0.1},
    {"id": "apart", "sensor": "a", "minus": "b", "kind": "above", "limit": 3.0},
    {"id": "set", "sensor": "bits", "kind": "bit_set", "limit": 1},
    {"id": "gated", "sensor": "c", "kind": "above", "limit": 5.0, "when": ("set",), "settle_s": 0.4},
    {"id": "twice", "sensor": "d", "kind": "above", "limit": 5.0, "when": ("high", "few")},
    {"id": "mute", "sensor": "never", "kind": "above", "limit": 5.0},
)
ALARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "slow": {"on_delay_ms": 700.0, "off_delay_ms": 900.0},
    "counted": {"n_of_m": (2, 4)},
    "latched": {"latching": True, "re_alarm_s": 1.5},
    "brief": {"auto_ack": True, "off_delay_ms": 0.0, "chatter_shelve_s": 2.0},
}
FAULTS: tuple[dict[str, Any], ...] = (
    *({"id": f"{rule['id']}-{name}", "rules": (rule["id"],), "alarm": ALARM | alarm}
      for rule, (name, alarm) in zip(RULES, [*ALARMS.items(), *ALARMS.items()], strict=True)),
    {"id": "red", "camera": "cam", "alarm": ALARM},
    {"id": "both", "camera": "cam", "vision": "red", "rules": ("high", "gated"), "combine": "all", "alarm": ALARM},
    {
        "id": "sum", "camera": "cam", "vision": "red", "rules": ("high", "twice"), "combine": "weighted",
        "weights": {"vision": 0.2, "high": 1.0, "twice": 0.5}, "alarm": ALARM | ALARMS["slow"],
    },
    {"id": "quiet", "rules": ("out",)},
)  # fmt: skip


@contextmanager
def looking_at_everything() -> Iterator[None]:
    """No alarm ever settles, each may have a timer, and no channel rests: the inference thread as it is described, without what it leaves out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alarm, "is_settled", lambda _alarm, _sample: False)
        patch.setattr(Alarm, "has_timer", property(lambda _alarm: True))
        patch.setattr(FramePath, "_rest", lambda *_: None)
        yield


class Story(Bench):
    """A worker to which a seed happens; whatever it publishes is written down tick by tick."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.broken = False
        super().__init__(
            folder, sensors=SENSORS, rules=RULES, faults=FAULTS,
            publish={"flags": "frame", "heartbeat_s": 1.0, "flag_repeat_s": seed % 2 * 0.9, "value_min_interval_ms": 300.0},
            node={"id": "n", "require_synchronised_clock": True},
            cameras=({"id": "cam", "stale_after_ms": 800, "picture": {"frozen_after_ms": 0.0}},),
        )  # fmt: skip
        self.time.step_ns = 0  # a tick is one moment: what is left out takes no time
        self.random = random.Random(seed)
        self.values = {str(sensor["id"]): 4.0 for sensor in SENSORS}
        self.silent: set[str] = set()

    def _send(self, message: Outgoing) -> int:
        sent = super()._send(message)
        return None if self.broken and not message.retain else sent  # type: ignore[return-value] # as the connection does

    def happen(self) -> None:
        """What may happen in one tick."""
        draw = self.random
        if draw.random() < 0.03:
            self.silent ^= {draw.choice([*self.values, "cam"])}
        for sensor in self.values:
            if sensor == "never" or sensor in self.silent or draw.random() < 0.6:
                continue
            if draw.random() < 0.3:
                self.values[sensor] = float(draw.choice((1, 2, 3, 4, 5, 6, 7, 9)))
            self.read(sensor, self.values[sensor])
        if "cam" not in self.silent and draw.random() < 0.5:
            self.show(draw.choice((DARK, DARK, RED, b"damaged")))
        if draw.random() < 0.08:
            self.ask()
        self.broken = draw.random() < 0.1 if draw.random() < 0.2 else self.broken
        if draw.random() < 0.02:
            self.inbox.reconnect()
        if draw.random() < 0.02:
            self.inbox.put_lost("cam", self.time.now_ns)
        if draw.random() < 0.03:
            self.synchronised = not self.synchronised

    def read(self, sensor: str, value: float) -> None:
        """A reading, perhaps one after another in one tick, old, or bad."""
        draw, now_ns = self.random, self.time.now_ns
        for _ in range(draw.choice((1, 1, 1, 2))):
            age_ns = draw.choice((0, 0, 0, 300 * MS))
            quality = draw.choice((*[Quality.GOOD] * 8, Quality.UNCERTAIN))
            bad = draw.random() < 0.04
            if not bad:
                self.health.reading_received(sensor, now_ns, value)
            worth = float("nan") if bad else value
            self.inbox.put_reading(Reading(sensor, worth, now_ns, None, age_ns, Quality.BAD if bad else quality))
            value = float(draw.choice((value, 1, 9)))
            self.values[sensor] = value

    def show(self, encoded: bytes) -> None:
        """A frame between two ticks."""
        self.seq += 1
        now_ns = self.time.now_ns
        self.health.frame_received("cam", now_ns)
        self.turn(Frame("cam", self.seq, encoded, now_ns, WALL_NS + now_ns, now_ns + 40 * MS))

    def ask(self) -> None:
        """A command, sensible or not."""
        alarm = self.random.choice([*self.annunciator._alarms])
        verb = self.random.choice(
            ("ack", "ack", "reset", "shelve", "unshelve", "suppress", "unsuppress", "out_of_service", "in_service")
        )
        body: dict[str, Any] = {"user": "op", "alarm_id": alarm, "comment": "because", "request_id": f"r{self.seq}"}
        body |= {"issued_at": timestamp(self.time.wall_ns())}
        occurrence, _ = self.annunciator.occurrence(alarm)
        if verb in {"ack", "reset"} and occurrence is not None:
            body["occurrence_id"] = occurrence
        if verb == "shelve":
            body |= self.random.choice(({"duration_s": 0.7}, {"one_shot": True}))
        self.inbox.put_command(Incoming(f"p/cmd/{verb}", json.dumps(body).encode(), False, 0, self.time.now_ns))  # noqa: FBT003 - a record's field

    def told(self) -> list[list[str]]:
        """Everything that was published, by tick; what is said of different subjects in one tick has no order."""
        found = []
        for _ in range(TICKS):
            self.time.now_ns += TICK_NS
            before = len(self.sent)
            self.happen()
            self.turn()
            found.append(sorted(_spoken(message) for message in self.sent[before:]))
        return found


def _spoken(message: Outgoing) -> str:
    """A message without the numbers that only order it; ids of occurrences are given in order, too."""
    body = json.loads(message.payload) if message.payload else {}
    return f"{message.topic} {json.dumps({key: value for key, value in body.items() if key not in {'seq', 'occurrence_id', 'rss_mib'}})}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_same_is_published_as_when_everything_is_looked_at(tmp_path: Path, seed: int) -> None:
    """Rules of every kind, delays, latches, shelving, dead sensors and gateways, a broken connection, a camera that comes and goes."""
    with looking_at_everything():
        expected = Story(tmp_path / "everything", seed).told()
    story = Story(tmp_path / "changed", seed)
    found = story.told()
    for tick, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert other == one, f"tick {tick}"
    assert story.errors.counts() == {}
    assert story.worker._path._rests
