"""Watches the demo: what the plant reports and what the daemon publishes, gathered into one picture of the run.

It sees only what any SCADA client sees, and the plant's account of the truth. No clock is read here: messages carry their times.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.frame import Verdict
from edge.wire.envelope import Incoming
from edge.wire.heartbeat import CameraHealth, Heartbeat
from edge.wire.messages import Alarm, Flag, Meta, State
from edge.wire.requests import Reply
from examples.demo.match import Sample
from examples.demo.story import CAMERA, ChannelPlan
from examples.line.line import Injection, Line, Visit

NS_PER_S = 1_000_000_000
RECENT = 120  # sensor values and latencies that the view draws
STANDING = ("UNACK_ALM", "ACK_ALM", "RTN_UNACK")


@dataclass(frozen=True, slots=True)
class SentFrame:
    """One frame handed to the broker by the plant; `ns` is monotonic, the same clock for all processes of a machine."""

    index: int
    ns: int
    size: int


@dataclass(slots=True)
class Judged:
    """What came back for one frame that had flags to publish: the daemon's own latency, and when the last of its flags arrived here."""

    lat_ms: float
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the story; `kind` chooses its colour."""

    t_s: float
    kind: str
    text: str


@dataclass(slots=True)
class Watch:
    """Everything seen so far."""

    line: Line
    channels: Sequence[ChannelPlan]
    prefix: str
    page: str = ""  # where a browser shows the same; empty: there is none
    sent: list[SentFrame] = field(default_factory=list)
    plant_ready: bool = False
    plant_done: bool = False
    readings: dict[str, deque[float]] = field(default_factory=dict)
    flags: dict[str, Flag] = field(default_factory=dict)
    flag_numbers: set[int] = field(default_factory=set)
    flags_before: int = 0  # the newest flag's number when the line started
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    judged: dict[int, Judged] = field(default_factory=dict)
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    heartbeat: Heartbeat | None = None
    worst_ms: float = 0.0  # of all frames, from the heartbeats
    meta: Meta | None = None
    state: State | None = None
    alarms: dict[str, Alarm] = field(default_factory=dict)
    raised: list[tuple[float, str]] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    # --- what the view asks ----------------------------------------------------------------------------------------------------------

    @property
    def t_s(self) -> float:
        """Time of the line: of the newest frame that left the camera."""
        return self.sent[-1].index / self.line.settings.fps if self.sent else 0.0

    @property
    def index(self) -> int:
        """The newest frame that left the camera; -1 before the first."""
        return self.sent[-1].index if self.sent else -1

    @property
    def camera(self) -> CameraHealth | None:
        """The daemon's ledger of the camera, as of its newest heartbeat."""
        return self.heartbeat.cameras.get(CAMERA) if self.heartbeat else None

    def visit(self) -> Visit | None:
        """The part that is under the camera."""
        return next((v for v in self.line.visits if v.start_frame <= self.index < v.end_frame), None)

    def active(self) -> tuple[Injection, ...]:
        """What is truly wrong on the line now."""
        return tuple(i for i in self.line.injections if i.start_frame <= self.index < i.end_frame)

    def end_to_end_ms(self) -> list[float]:
        """Camera hands a frame over -> the last of its flags is here, for every judged frame, ms."""
        return [
            (judged.arrived_ns - self.sent[number - 1].ns) / 1e6
            for number, judged in self.judged.items()
            if number <= len(self.sent)
        ]

    def flags_lost(self) -> int:
        """Flags published since the line started that never came here: their numbers rise by one.

        Before, the daemon numbers flags without publishing them until it is connected, and afterwards it repeats only what still holds.
        """
        since = {number for number in self.flag_numbers if number > self.flags_before}
        return max(since, default=self.flags_before) - self.flags_before - len(since)

    def sensors_received(self) -> bool:
        """Whether the daemon has received a value of every sensor: then its subscriptions are active, and frames can come."""
        return self.heartbeat is not None and all(item.received > 0 for item in self.heartbeat.sensors.values())

    # --- what happens ------------------------------------------------------------------------------------------------------------------

    def on_plant_line(self, line: str) -> None:
        """One line of the plant's standard output."""
        event = json.loads(line)
        match event["event"]:
            case "ready":
                self.plant_ready = True
            case "done":
                self.plant_done = True
            case "frame":
                self._frame_sent(SentFrame(event["index"], event["ns"], event["bytes"]), event["readings"])

    def arrived(self, incoming: Incoming) -> None:
        """One message of the daemon."""
        kind, _, name = incoming.topic.removeprefix(f"{self.prefix}/").partition("/")
        if not incoming.payload:
            return  # a retained message was cleared
        match kind:
            case "flag":
                self._flag(Flag.model_validate_json(incoming.payload), incoming.received_ns)
            case "alarm":
                self._alarm(Alarm.model_validate_json(incoming.payload))
            case "heartbeat":
                self._heartbeat(Heartbeat.model_validate_json(incoming.payload))
            case "state":
                self.state = State.model_validate_json(incoming.payload)
            case "meta":
                self.meta = Meta.model_validate_json(incoming.payload)
            case "res":
                reply = Reply.model_validate_json(incoming.payload)
                self.replies[reply.request_id or ""] = reply
                self.note("operator", f"{name}: {reply.code}, alarm is now {reply.state}")

    def note(self, kind: str, text: str) -> None:
        """Add a line to the story, at the present time of the line."""
        self.notes.append(Note(self.t_s, kind, text))

    def _frame_sent(self, frame: SentFrame, readings: Mapping[str, float]) -> None:
        before = set(self.active())
        if not self.sent:
            self.flags_before = max(self.flag_numbers, default=0)
        self.sent.append(frame)
        for name, value in readings.items():
            self.readings.setdefault(name, deque(maxlen=RECENT)).append(value)
        for injection in set(self.active()) - before:
            visit = self.visit()
            what = f"{visit.spec.material.replace('_', ' ')} {visit.spec.part}" if visit else "part"
            self.note("line", f"{injection.fault.replace('_', ' ')} comes onto the line ({what})")

    def _heartbeat(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        latency = heartbeat.cameras[CAMERA].latency
        self.worst_ms = max(self.worst_ms, latency.max_ms or 0.0)

    def _flag(self, flag: Flag, arrived_ns: int) -> None:
        samples = self.samples.setdefault(flag.ch, [])
        last = next((sample.verdict for sample in reversed(samples) if sample.verdict is not Verdict.UNKNOWN), None)
        self.flags[flag.ch] = flag
        self.flag_numbers.add(flag.seq)
        t_s = self.t_s if flag.frame_seq is None else self._frame_time_s(flag.frame_seq)
        if self.sent:
            samples.append(Sample(t_s, flag.verdict, flag.score))
        if flag.verdict is Verdict.FAULT and last is not Verdict.FAULT and self.sent:
            self.notes.append(Note(t_s, *self._story_of(flag, t_s)))
        if flag.frame_seq is not None and flag.lat_ms is not None:
            self._count(flag.frame_seq, flag.lat_ms, arrived_ns)

    def _count(self, number: int, lat_ms: float, arrived_ns: int) -> None:
        judged = self.judged.get(number)
        if judged is None:
            self.judged[number] = Judged(lat_ms, arrived_ns)
            self.recent_ms.append(lat_ms)
            return
        judged.lat_ms, judged.arrived_ns = max(judged.lat_ms, lat_ms), max(judged.arrived_ns, arrived_ns)
        if number == next(reversed(self.judged)):
            self.recent_ms[-1] = judged.lat_ms

    def _frame_time_s(self, number: int) -> float:
        """Time on the line of the daemon's frame number, which counts from 1 in the order in which frames were handed over."""
        if number > len(self.sent):
            # A flag may overtake the plant's own account on its pipe; the plant drops nothing unless the broker is away.
            return (number - 1) / self.line.settings.fps
        return self.sent[number - 1].index / self.line.settings.fps

    def _story_of(self, flag: Flag, t_s: float) -> tuple[str, str]:
        plan = next(channel for channel in self.channels if channel.id == flag.ch)
        score = "" if flag.score is None else f", score {flag.score:.2f}"
        active = [i for i in self.line.injections if i.start_s <= t_s < i.end_s + 1.0]
        own = next((i for i in active if i.fault in plan.truth), None)
        if own is not None:
            return (
                "flag" if plan.vision else "sensor",
                f"{plan.title}{score}, {(t_s - own.start_s) * 1e3:.0f} ms after it came",
            )
        on_line = f"on a part with {active[0].fault.replace('_', ' ')}" if active else "on a good part"
        return "false", f"{plan.title}{score} {on_line}: not injected"

    def _alarm(self, alarm: Alarm) -> None:
        before = self.alarms.get(alarm.id)
        self.alarms[alarm.id] = alarm
        fresh = alarm.state == "UNACK_ALM" and (before is None or before.occurrence_id != alarm.occurrence_id)
        if fresh:
            self.raised.append((self.t_s, alarm.id))
            self.note("alarm", f"{alarm.id}: {alarm.message}. {alarm.operator_action}")
