"""Turns a verdict or a transition into a message on a topic; what is already known is not resent.

Pure but for its memory of what was published last: time is an argument, and messages leave through the `send` and `record` that it was given.
The worker calls it; only `acknowledged` may be called from the network thread.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from edge.frame import Evidence, Frame, Quality, Stamps, Verdict
from edge.publish.entry import AlarmRecord, Entry, EventRecord, StateRecord
from edge.units import FOREVER_NS, NS_PER_MS
from edge.wire.envelope import Outgoing
from edge.wire.heartbeat import Heartbeat
from edge.wire.message import Message, timestamp
from edge.wire.messages import Explanation, Flag, Meta, State, Value
from edge.wire.requests import Inspection, Reply
from edge.wire.topics import (
    ALARM,
    EXPLAIN,
    EXPLAIN_IMAGE,
    FLAG,
    HEARTBEAT,
    INSPECTION,
    META,
    REPLY,
    STATE,
    VALUE,
    Topic,
)

MAX_AWAITED = 1_000  # flags whose PUBACK is being timed

ON = {Verdict.FAULT: True, Verdict.OK: False, Verdict.UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is published; from `PublishSettings`."""

    every_frame: bool
    flag_repeat_ns: int
    value_min_interval_ns: int
    value_deadband: float


#: A flag that the connection would not take is built again after so long: hundreds at each tick would fill what is full already.
RETRY_NS = 200 * NS_PER_MS


@dataclass(slots=True)
class _Published:
    """What was last published of one channel."""

    flag: Flag | None = None
    flag_ns: int = 0
    delivered: bool = True
    value: float | None = None
    value_quality: Quality | None = None
    value_ns: int | None = None


class Publisher:
    """Builds messages and hands them to the broker connection.

    Args:
        prefix: ``{root}/{node}``.
        session: id of this run of the daemon.
        epoch: number of this start of the daemon.
        policy: how much is published.
        send: hands a message to the connection; None means that it could not.
        record: takes what must not be lost: events and alarms.
        on_acknowledged: called with (camera, ns from receipt to PUBACK) for flags that came from a frame.
        tap: receives every message, or the record of it, whatever becomes of it on the wire; for a second encoding.
    """

    def __init__(
        self,
        *,
        prefix: str,
        session: str,
        epoch: int,
        policy: Policy,
        send: Callable[[Outgoing], int | None],
        record: Callable[[Entry], None],
        on_acknowledged: Callable[[str, int], None],
        tap: Callable[[Message | AlarmRecord], None] | None = None,
    ) -> None:
        self._prefix = prefix
        self._session = session
        self._policy = policy
        self._send = send
        self._record = record
        self._on_acknowledged = on_acknowledged
        self._tap = tap or (lambda _message: None)
        self._published: dict[str, _Published] = {}
        self._retired: set[str] = set()
        self._shown: dict[str, bool] = {}  # whether the broker keeps a picture of an alarm, as far as is known
        self._flag_seq = 0
        self._event_seq = itertools.count(1)  # one step even where the main thread notes the end of a thread that hangs
        self._heartbeat_seq = 0
        self._alarm_seq = 0
        self._lock = threading.Lock()  # between a publish and the PUBACK that may overtake its return
        self._awaited: OrderedDict[int, tuple[str, int]] = OrderedDict()
        #: Rises whenever all that was published may have been lost, or is to be published by other rules.
        self.round = 0
        #: Number of this start; with a message's own number it identifies an event, or an alarm's message, permanently.
        self.epoch = epoch

    def renumber(self, epoch: int) -> None:
        """Continue in a higher epoch: an earlier start, by a clock that was set back since, published in this one or in a later one."""
        self.epoch = epoch
        self._event_seq = itertools.count(1)
        self._alarm_seq = 0

    # --- the fast path -------------------------------------------------------------------------------------------------------------

    def flag(
        self,
        channel: str,
        evidence: Evidence,
        now_ns: int,
        now_wall_ns: int,
        *,
        frame: Frame | None = None,
        stamps: Stamps | None = None,
        judged: bool = False,
    ) -> bool:
        """Publish a channel's verdict if it is news, or if every frame and every `judged` window is wanted; returns whether it was published."""
        published = self._published.setdefault(channel, _Published())
        last = published.flag
        changed = last is None or (last.verdict, last.q) != (evidence.verdict, evidence.quality)
        since_ns = now_ns - published.flag_ns
        repeat = self._policy.flag_repeat_ns > 0 and since_ns >= self._policy.flag_repeat_ns
        again = not published.delivered and since_ns >= RETRY_NS
        if not (changed or repeat or again or (self._policy.every_frame and (judged or frame is not None))):
            return False
        self._flag_seq += 1
        message = Flag(
            ch=channel,
            on=ON[evidence.verdict],
            verdict=evidence.verdict,
            q=evidence.quality,
            score=_rounded(evidence),
            ts=timestamp(now_wall_ns),
            seq=self._flag_seq,
            cam=frame.camera if frame else None,
            frame_seq=frame.seq if frame else None,
            frame_ts=timestamp(frame.captured_wall_ns) if frame and frame.captured_wall_ns is not None else None,
            lat_ms=round((now_ns - frame.received_ns) / NS_PER_MS, 3) if frame else None,
            stage_ms=_stage_ms(stamps) if stamps else (),
            met=now_ns <= frame.deadline_ns if frame else None,
            part=frame.part if frame else None,
        )
        published.flag, published.flag_ns = message, now_ns
        published.delivered = self._publish_flag(channel, message, frame)
        return True

    def value(self, channel: str, evidence: Evidence, now_ns: int, now_wall_ns: int) -> None:
        """Publish a channel's score for trends, if it moved by the deadband and the last one is old enough."""
        published = self._published.setdefault(channel, _Published())
        if published.value_ns is not None:
            too_soon = now_ns - published.value_ns < self._policy.value_min_interval_ns
            if too_soon or not self._is_other_value(published, evidence):
                return
        score = _rounded(evidence)
        published.value, published.value_quality, published.value_ns = score, evidence.quality, now_ns
        self._publish(VALUE, Value(ch=channel, score=score, q=evidence.quality, ts=timestamp(now_wall_ns)), channel)

    def rests_until_ns(self, channel: str, evidence: Evidence) -> int:
        """Until when neither `flag` nor `value` has anything to publish, in this `round`, of a channel whose evidence they got and that stays as it is."""
        published = self._published[channel]
        if published.value_ns is None:
            return 0
        repeat_ns = self._policy.flag_repeat_ns
        until_ns = published.flag_ns + repeat_ns if repeat_ns > 0 else FOREVER_NS
        if not published.delivered:
            until_ns = min(until_ns, published.flag_ns + RETRY_NS)
        if self._is_other_value(published, evidence):
            until_ns = min(until_ns, published.value_ns + self._policy.value_min_interval_ns)
        return until_ns

    # --- alarms and the journal ----------------------------------------------------------------------------------------------------

    def next_alarm_seq(self) -> int:
        """The next number for an alarm message; rises over all alarms of this start."""
        self._alarm_seq += 1
        return self._alarm_seq

    def event(
        self,
        kind: Literal["alarm", "command", "system"],
        subject: str,
        what: str,
        now_wall_ns: int,
        *,
        occurrence_id: str | None = None,
        user: str | None = None,
        detail: str = "",
    ) -> EventRecord:
        """Number one transition, command or system event. Give it to `record`, in order."""
        seq = next(self._event_seq)
        return EventRecord(
            self._session, self.epoch, seq, kind, subject, what, now_wall_ns, occurrence_id, user, detail
        )

    def record(
        self,
        now_ns: int,
        events: Iterable[EventRecord],
        alarms: Iterable[AlarmRecord] = (),
        kept: Mapping[str, StateRecord | None] | None = None,
    ) -> None:
        """Hand over, as one, what must not be lost: events, the alarms to publish after them, and what must survive a restart."""
        entry = Entry(now_ns, tuple(events), tuple(alarms), kept or {})
        self._record(entry)
        for alarm in entry.alarms:
            self._tap(alarm)

    def explanation(self, message: Explanation) -> None:
        """Publish a sentence about an alarm, retained; one that a broker does not get is not resent.

        Before it, the picture that was retained with an older one is cleared, so that it is never shown beside this sentence. An earlier start of the daemon may
        have left one.
        """
        if self._shown.get(message.id, True):
            self._clear_picture(message.id)
        self._publish(EXPLAIN, message, message.id)

    def heat_map(self, message: Explanation, jpeg: bytes) -> None:
        """Publish the picture of the sentence that was just published, retained like it."""
        about = {
            "alarm_id": message.id,
            "occurrence_id": message.occurrence_id,
            "ts": message.ts,
            "machine_made": "true",
        }
        seen = {"camera": message.source.camera, "frame_seq": message.source.frame_seq}
        properties = about | {key: f"{value}" for key, value in seen.items() if value is not None}
        self._shown[message.id] = True
        self._send(EXPLAIN_IMAGE.outgoing(self._prefix, jpeg, message.id, properties))

    def inspection(self, message: Inspection) -> None:
        """Publish the answer to a trigger; one that a broker does not get is not resent."""
        self._publish(INSPECTION, message, message.cam)

    def show_only(self, alarms: Collection[str]) -> None:
        """Clear the pictures of all other alarms: the site no longer allows them."""
        for name, shown in self._shown.items():
            if shown and name not in alarms:
                self._clear_picture(name)

    # --- the node ------------------------------------------------------------------------------------------------------------------

    def state(self, message: State) -> None:
        """Publish whether the daemon is online and its condition, retained."""
        self._send(state_message(self._prefix, message))
        self._tap(message)

    def meta(self, message: Meta) -> None:
        """Publish what this node publishes and accepts, retained."""
        self._publish(META, message)

    def heartbeat(self, message: Heartbeat) -> None:
        """Publish the figures of the health ledger."""
        self._publish(HEARTBEAT, message)

    def next_heartbeat_seq(self) -> int:
        """The next heartbeat's number."""
        self._heartbeat_seq += 1
        return self._heartbeat_seq

    def reply(self, verb: str, message: Reply, *, topic: str | None = None, correlation: bytes | None = None) -> None:
        """Answer a command, on its response topic or on the node's own."""
        outgoing = REPLY.outgoing(self._prefix, message, verb)
        self._send(replace(outgoing, topic=topic or outgoing.topic, correlation=correlation, urgent=True))
        self._tap(message)

    def resume(self, alarms: Iterable[AlarmRecord], now_ns: int) -> None:
        """After a (re)connect: publish the newest of everything retained or pending, alarms first; clear what is gone."""
        self.round += 1
        self.record(now_ns, (), alarms)
        for name in sorted(self._retired):
            for topic in (ALARM, EXPLAIN):
                self._send(topic.wrap(self._prefix, b"", name))
            self._clear_picture(name)
        for channel, published in self._published.items():
            if published.flag is not None:
                published.delivered = self._publish_flag(channel, published.flag, None)

    def reconfigure(self, policy: Policy, channels: Iterable[str]) -> None:
        """Use this policy from now on, and forget what was published of channels that are gone."""
        self._policy = policy
        self.round += 1
        self._published = {channel: self._published[channel] for channel in channels if channel in self._published}

    def retire(self, alarms: Iterable[str], present: Collection[str]) -> None:
        """Alarms that are gone: `resume` clears what the broker keeps of them; not those that are present."""
        self._retired = {name for name in (*self._retired, *alarms) if name not in present}

    def acknowledged(self, message_id: int, now_ns: int) -> None:
        """The broker confirmed a message."""
        with self._lock:
            entry = self._awaited.pop(message_id, None)
        if entry is not None:
            camera, received_ns = entry
            self._on_acknowledged(camera, now_ns - received_ns)

    def _is_other_value(self, published: _Published, evidence: Evidence) -> bool:
        """Whether a score differs by the deadband from the one that was published, or its quality does."""
        before, now = published.value, _rounded(evidence)
        if published.value_quality is not evidence.quality:
            return True
        if before is None or now is None:
            return before is not now
        return abs(now - before) >= self._policy.value_deadband

    def _clear_picture(self, name: str) -> None:
        self._shown[name] = self._send(EXPLAIN_IMAGE.cleared(self._prefix, name)) is None

    def _publish_flag(self, channel: str, message: Flag, frame: Frame | None) -> bool:
        outgoing = FLAG.outgoing(self._prefix, message, channel)
        with self._lock:
            message_id = self._send(outgoing)
            if message_id is not None and frame is not None:
                self._awaited[message_id] = (frame.camera, frame.received_ns)
                if len(self._awaited) > MAX_AWAITED:
                    self._awaited.popitem(last=False)
        self._tap(message)
        return message_id is not None

    def _publish(self, topic: Topic, message: Message, name: str = "") -> bool:
        sent = self._send(topic.outgoing(self._prefix, message, name)) is not None
        self._tap(message)
        return sent


def state_message(prefix: str, message: State) -> Outgoing:
    """The state topic's message; also the last will."""
    return STATE.outgoing(prefix, message)


def _rounded(evidence: Evidence) -> float | None:
    return None if evidence.score is None else round(evidence.score, 4)


def _stage_ms(stamps: Stamps) -> tuple[float, ...]:
    marks = (stamps.received_ns, stamps.taken_ns, stamps.decoded_ns, stamps.inferred_ns, stamps.decided_ns)
    return tuple(round((end - begin) / NS_PER_MS, 3) for begin, end in itertools.pairwise(marks))
