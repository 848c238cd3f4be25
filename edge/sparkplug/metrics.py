"""Maps the daemon's messages to Sparkplug metrics, and a host's writes to the daemon's commands.

Pure. The table is in docs/sparkplug.md. What depends on one camera alone is on that camera's device; everything else, and every alarm about a
source itself, is on the node, because a silent camera's device is dead and publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from edge.alarm.catalogue import Concern, alarm_id
from edge.alarm.entry import AlarmEntry
from edge.frame import Quality
from edge.site.settings import Site
from edge.sparkplug.codec import DataType, Order, Property, Value, Written, signed
from edge.sparkplug.node import BAD, GOOD, STALE, Change, Presence, Tag
from edge.units import NS_PER_MS
from edge.verdict.channel import ChannelSpec
from edge.wire.command import Request
from edge.wire.heartbeat import Heartbeat
from edge.wire.message import Message, timestamp
from edge.wire.messages import Alarm, Flag, State
from edge.wire.messages import Value as Score
from edge.wire.requests import Command, Inspection, Reply
from edge.wire.verbs import VERBS, Verb

CODES = {Quality.GOOD: GOOD, Quality.UNCERTAIN: GOOD, Quality.STALE: STALE, Quality.BAD: BAD}
USER, COMMENT, RESULT = "Command/User", "Command/Comment", "Command/Result"
UNNAMED = "sparkplug host"  # the user, when the host named none
MINUTE_S = 60.0


_ALARM_TAGS = {
    "State": DataType.STRING,
    "Active": DataType.BOOLEAN,
    "Acked": DataType.BOOLEAN,
    "Severity": DataType.INT32,
    "Occurrence": DataType.STRING,
    "Message": DataType.STRING,
    "Active Time": DataType.DATETIME,
    "Ack Time": DataType.DATETIME,
    "Shelved Until": DataType.DATETIME,
    "Ack": DataType.STRING,
    "Reset": DataType.BOOLEAN,
    "Shelve Minutes": DataType.INT32,
    "In Service": DataType.BOOLEAN,
}
_WRITABLE = {info.metric for info in VERBS.values() if info.metric is not None}
_COMMAND_TAGS = (
    Tag(USER, DataType.STRING, "", writable=True),
    Tag(COMMENT, DataType.STRING, "", writable=True),
    Tag(RESULT, DataType.STRING, ""),
)
_NODE_TAGS = (
    Tag("Health/NE107", DataType.STRING),
    Tag("Health/Reasons", DataType.STRING),
    Tag("Health/Active Alarms", DataType.INT32),
    Tag("Health/Unacknowledged Alarms", DataType.INT32),
    Tag("Health/Shelved Alarms", DataType.INT32),
    *_COMMAND_TAGS,
)


def _unit(text: str) -> Mapping[str, Property]:
    return {"engUnit": Property(DataType.STRING, text)}


_CAMERA_TAGS = (
    Tag("Health/Latency p99", DataType.FLOAT, properties=_unit("ms")),
    Tag("Health/Budget Misses", DataType.INT64),
    Tag("Health/Verdict Rate", DataType.FLOAT, properties=_unit("1/s")),
    *_COMMAND_TAGS,
)


_INSPECTION_TAGS = tuple(
    Tag(f"Inspection/{name}", datatype)
    for name, datatype in (
        ("Part", DataType.STRING),
        ("Outcome", DataType.STRING),
        ("Verdict", DataType.STRING),
        ("Reason", DataType.STRING),
        ("Frame", DataType.INT64),
    )
)


class Catalogue:
    """Every metric of a site, what changes them, and what writing them means.

    Args:
        site: its cameras are the devices.
        channels: the fault flags.
        alarms: every alarm.
        facts: what never changes in this run, by metric name, e.g. ``Model/Name``.
    """

    def __init__(
        self, site: Site, channels: Sequence[ChannelSpec], alarms: Iterable[AlarmEntry], facts: Mapping[str, str]
    ) -> None:
        alone = {channel.id: channel.camera if not channel.rules else None for channel in channels}
        self._home: dict[str, str | None] = dict(alone)
        self._alarm_home: dict[str, str | None] = {}
        self._silent = {alarm_id(camera.id, Concern.SILENT): camera.id for camera in site.cameras}
        node = [Tag(name, DataType.STRING, value) for name, value in facts.items()] + list(_NODE_TAGS)
        self._profiled = bool(site.profiles)
        node += [Tag("Profile", DataType.STRING)] if self._profiled else []
        tags: dict[str | None, list[Tag]] = {None: node, **{camera.id: list(_CAMERA_TAGS) for camera in site.cameras}}
        self._triggered = {camera.id for camera in site.cameras if camera.trigger is not None}
        for camera in self._triggered:
            tags[camera] += _INSPECTION_TAGS
        for channel in channels:
            tags[alone[channel.id]] += _flag_tags(channel)
        for entry in alarms:
            home = alone.get(entry.spec.id) if entry.kind == "process" else None
            self._alarm_home[entry.spec.id] = home
            tags[home] += _alarm_tags(entry)
        self.node = tuple(tags.pop(None))
        self.devices = {device: tuple(found) for device, found in tags.items() if device is not None}

    def changes(self, message: Message) -> list[Change | Presence]:
        """What a message of the daemon makes of the metrics."""
        match message:
            case Flag():
                return self._flag(message)
            case Score():
                name, at_ms = f"Flags/{message.ch}/Score", _ms(message.ts)
                return [Change(self._home.get(message.ch), name, message.score, at_ms, CODES[message.q])]
            case Alarm():
                return self._alarm(message)
            case Inspection() if message.cam in self._triggered:
                return _inspection(message)
            case State():
                return _state(message, profiled=self._profiled)
            case Heartbeat():
                return _heartbeat(message)
        return []

    def requests(self, device: str | None, order: Order, request_id: str, now_ms: int) -> list[Request]:
        """The commands that a host's writing means; each gets its own request id. Metrics that mean nothing are passed over."""
        text = {metric.name: str(metric.value) for metric in order.metrics if metric.value is not None}
        issued_ms = now_ms if order.timestamp_ms is None else order.timestamp_ms
        found: list[Request] = []
        for metric in order.metrics:
            asked = _asked(metric)
            name = metric.name.split("/")
            if asked is None or self._alarm_home.get(name[1], "nowhere") != device:
                continue
            verb, occurrence_id, duration_s = asked
            command = Command(
                request_id=f"{request_id}-{len(found)}",
                issued_at=timestamp(min(issued_ms, 2**42) * NS_PER_MS),
                user=text.get(USER, "")[:128] or UNNAMED,
                comment=text.get(COMMENT, "")[:1000],
                alarm_id=name[1],
                occurrence_id=occurrence_id,
                duration_s=duration_s,
            )
            found.append(Request(verb, command))
        return found

    def answered(self, device: str | None, request: Request, reply: Reply, now_ms: int) -> list[Change | Presence]:
        """What a host sees of the answer: the result in words, and who was named; the alarm's own metrics have the rest."""
        result = f"{request.verb.value} {request.command.alarm_id}: {reply.code}{f', {reply.detail}' if reply.detail else ''}"
        values = {RESULT: result, USER: request.command.user, COMMENT: request.command.comment}
        return [Change(device, name, value, now_ms) for name, value in values.items()]

    def _flag(self, flag: Flag) -> list[Change | Presence]:
        home, name = self._home.get(flag.ch), f"Flags/{flag.ch}/Active"
        code = BAD if flag.q is Quality.BAD else STALE if flag.on is None else CODES[flag.q]
        return [Change(home, name, flag.on, _ms(flag.ts), code)]

    def _alarm(self, alarm: Alarm) -> list[Change | Presence]:
        home, at_ms, code = self._alarm_home.get(alarm.id), _ms(alarm.time.published), CODES[alarm.quality]
        stem = f"Alarms/{alarm.id}"
        judged: dict[str, Value] = {"State": alarm.state, "Active": alarm.active}
        plain: dict[str, Value] = {
            "Acked": alarm.acked,
            "Severity": alarm.severity,
            "Occurrence": alarm.occurrence_id,
            "Message": alarm.message,
            "Active Time": _maybe_ms(alarm.time.active),
            "Ack Time": _maybe_ms(alarm.time.acked),
            "Shelved Until": _maybe_ms(alarm.time.shelved_until),
            "Ack": alarm.occurrence_id if alarm.acked and alarm.time.acked is not None else "",
            "Shelve Minutes": _minutes(alarm),
            "In Service": not alarm.out_of_service,
        }
        changes: list[Change | Presence] = [
            Change(home, f"{stem}/{name}", value, at_ms, code) for name, value in judged.items()
        ]
        changes += [Change(home, f"{stem}/{name}", value, at_ms) for name, value in plain.items()]
        if alarm.id in self._silent:
            changes.append(Presence(self._silent[alarm.id], alive=not alarm.active))
        return changes


def _flag_tags(channel: ChannelSpec) -> list[Tag]:
    title = {"documentation": Property(DataType.STRING, channel.title)}
    score = {"engLow": Property(DataType.DOUBLE, 0.0), "engHigh": Property(DataType.DOUBLE, 1.0)}
    return [
        Tag(f"Flags/{channel.id}/Active", DataType.BOOLEAN, properties=title),
        Tag(f"Flags/{channel.id}/Score", DataType.FLOAT, properties=score),
    ]


def _alarm_tags(entry: AlarmEntry) -> list[Tag]:
    known: dict[str, Value] = {"Message": entry.message, "Severity": entry.spec.severity, "Reset": False, "Ack": ""}
    about = {"State": {"documentation": Property(DataType.STRING, entry.operator_action)}}
    return [
        Tag(f"Alarms/{entry.spec.id}/{name}", datatype, known.get(name), about.get(name, {}), name in _WRITABLE)
        for name, datatype in _ALARM_TAGS.items()
    ]


def _state(state: State, *, profiled: bool) -> list[Change | Presence]:
    if state.ts is None or state.alarms is None:
        return []
    values: dict[str, Value] = {
        "NE107": state.ne107,
        "Reasons": "; ".join(state.reasons),
        "Active Alarms": state.alarms.active,
        "Unacknowledged Alarms": state.alarms.unacknowledged,
        "Shelved Alarms": state.alarms.shelved,
    }
    profile: list[Change | Presence] = [Change(None, "Profile", state.profile, _ms(state.ts))] if profiled else []
    return [*profile, *(Change(None, f"Health/{name}", value, _ms(state.ts)) for name, value in values.items())]


def _heartbeat(heartbeat: Heartbeat) -> list[Change | Presence]:
    at_ms = _ms(heartbeat.ts)
    changes: list[Change | Presence] = []
    for camera, health in heartbeat.cameras.items():
        values = {
            "Latency p99": health.latency.p99_ms,
            "Budget Misses": health.misses,
            "Verdict Rate": health.fps_out,
        }
        changes += [Change(camera, f"Health/{name}", value, at_ms) for name, value in values.items()]
    return changes


def _inspection(found: Inspection) -> list[Change | Presence]:
    """The newest answer to a trigger; a host that needs each of many a second reads the topic."""
    values: dict[str, Value] = {
        "Part": found.part,
        "Outcome": found.outcome,
        "Verdict": found.verdict.value,
        "Reason": found.reason,
        "Frame": found.frame_seq,
    }
    return [Change(found.cam, f"Inspection/{name}", value, _ms(found.ts)) for name, value in values.items()]


Asked = tuple[Verb, str | None, float | None]  # the verb, the occurrence that it means, and for how long, s


def _asked(metric: Written) -> Asked | None:
    """What writing one metric asks for; None: nothing."""
    parts = metric.name.split("/")
    read = _READERS.get(parts[2]) if len(parts) == 3 and parts[0] == "Alarms" else None
    return None if read is None else read(metric.value)


def _ack(value: Value) -> Asked | None:
    return (Verb.ACK, value[:64], None) if isinstance(value, str) and value else None


def _reset(value: Value) -> Asked | None:
    return (Verb.RESET, None, None) if value is True else None


def _shelve(value: Value) -> Asked | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    minutes = signed(value, 32)
    return (Verb.SHELVE, None, minutes * MINUTE_S) if minutes > 0 else (Verb.UNSHELVE, None, None)


def _service(value: Value) -> Asked | None:
    return (Verb.IN_SERVICE if value else Verb.OUT_OF_SERVICE, None, None) if isinstance(value, bool) else None


_READERS: Mapping[str | None, Callable[[Value], Asked | None]] = {
    VERBS[Verb.ACK].metric: _ack,
    VERBS[Verb.RESET].metric: _reset,
    VERBS[Verb.SHELVE].metric: _shelve,
    VERBS[Verb.IN_SERVICE].metric: _service,
}


def _minutes(alarm: Alarm) -> int:
    """For how long it was shelved from this message on, rounded up to minutes; 0 when it is not."""
    if alarm.time.shelved_until is None or alarm.shelving == "Unshelved":
        return 0
    return max(1, -(-(_ms(alarm.time.shelved_until) - _ms(alarm.time.published)) // 60_000))


def _ms(text: str) -> int:
    """Milliseconds since the epoch, from one of our own timestamps."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _maybe_ms(text: str | None) -> int | None:
    return None if text is None else _ms(text)
