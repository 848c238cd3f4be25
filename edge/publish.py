"""6. A verdict or a transition becomes a message on a topic; what is already known is not said again.

Pure but for its memory of what was said last: time is an argument, and messages leave through the `send` and `record` that it was given.
The worker calls it; only `acknowledged` may be called from the network thread.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from edge.envelope import Outgoing
from edge.frame import Evidence, Frame, Quality, Stamps, Verdict
from edge.messages import Alarm, Event, Explanation, Flag, Heartbeat, Message, Meta, Reply, State, Value, timestamp
from edge.outbox import Entry
from edge.topics import ALARM, EXPLAIN, EXPLAIN_IMAGE, FLAG, HEARTBEAT, META, REPLY, STATE, VALUE, Topic

MAX_AWAITED = 1_000  # flags whose PUBACK is being timed

ON = {Verdict.FAULT: True, Verdict.OK: False, Verdict.UNKNOWN: None}


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is said; from `PublishSettings`."""

    every_frame: bool
    flag_repeat_ns: int
    value_min_interval_ns: int
    value_deadband: float


@dataclass(slots=True)
class _Said:
    """What was last said of one channel."""

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
        policy: how much is said.
        send: hands a message to the connection; None means that it could not.
        record: takes what must not be lost: events and alarms.
        on_acknowledged: called with (camera, ns from receipt to PUBACK) for flags that came from a frame.
        tap: hears every message, or what builds it, whatever becomes of it on the wire; for a second encoding.
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
        tap: Callable[[Message | Callable[[], Message]], None] | None = None,
    ) -> None:
        self._prefix = prefix
        self._session = session
        self._policy = policy
        self._send = send
        self._record = record
        self._on_acknowledged = on_acknowledged
        self._tap = tap or (lambda _said: None)
        self._said: dict[str, _Said] = {}
        self._retired: set[str] = set()
        self._shown: dict[str, bool] = {}  # whether the broker keeps a picture of an alarm, as far as is known
        self._flag_seq = 0
        self._event_seq = 0
        self._heartbeat_seq = 0
        self._alarm_seq = 0
        self._lock = threading.Lock()  # between a publish and the PUBACK that may overtake its return
        self._awaited: OrderedDict[int, tuple[str, int]] = OrderedDict()
        #: Number of this start; with a message's own number it names an event, or an alarm's message, for ever.
        self.epoch = epoch

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
    ) -> bool:
        """Say a channel's verdict if it is news (or if every frame is wanted); returns whether it was said."""
        said = self._said.setdefault(channel, _Said())
        last = said.flag
        changed = last is None or (last.verdict, last.q) != (evidence.verdict, evidence.quality)
        repeat = self._policy.flag_repeat_ns > 0 and now_ns - said.flag_ns >= self._policy.flag_repeat_ns
        if not (changed or repeat or not said.delivered or (self._policy.every_frame and frame is not None)):
            return False
        self._flag_seq += 1
        message = Flag(
            ch=channel,
            on=ON[evidence.verdict],
            verdict=evidence.verdict,
            q=evidence.quality,
            score=None if evidence.score is None else round(evidence.score, 4),
            ts=timestamp(now_wall_ns),
            seq=self._flag_seq,
            cam=frame.camera if frame else None,
            frame_seq=frame.seq if frame else None,
            frame_ts=timestamp(frame.captured_wall_ns) if frame and frame.captured_wall_ns is not None else None,
            lat_ms=round((now_ns - frame.received_ns) / 1e6, 3) if frame else None,
            stage_ms=_stage_ms(stamps) if stamps else (),
            met=now_ns <= frame.deadline_ns if frame else None,
        )
        said.flag, said.flag_ns = message, now_ns
        said.delivered = self._say_flag(channel, message, frame)
        return True

    def value(self, channel: str, evidence: Evidence, now_ns: int, now_wall_ns: int) -> None:
        """Say a channel's score for trends, if it moved by the deadband and the last one is old enough."""
        said = self._said.setdefault(channel, _Said())
        score = None if evidence.score is None else round(evidence.score, 4)
        if said.value_ns is not None:
            moved = (said.value is None) != (score is None) or (
                score is not None and said.value is not None and abs(score - said.value) >= self._policy.value_deadband
            )
            if (
                not (moved or said.value_quality is not evidence.quality)
                or now_ns - said.value_ns < self._policy.value_min_interval_ns
            ):
                return
        said.value, said.value_quality, said.value_ns = score, evidence.quality, now_ns
        self._say(VALUE, Value(ch=channel, score=score, q=evidence.quality, ts=timestamp(now_wall_ns)), channel)

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
    ) -> Callable[[], Event]:
        """Number one transition, command or system event; it is built later, off this thread. Give it to `record`, in order."""
        self._event_seq += 1
        return partial(
            _event,
            session=self._session,
            epoch=self.epoch,
            seq=self._event_seq,
            kind=kind,
            subject=subject,
            what=what,
            now_wall_ns=now_wall_ns,
            occurrence_id=occurrence_id,
            user=user,
            detail=detail,
        )

    def record(
        self,
        now_ns: int,
        events: Iterable[Callable[[], Event]],
        alarms: Iterable[Callable[[], Alarm]] = (),
        kept: Mapping[str, Callable[[], Mapping[str, Any]] | None] | None = None,
    ) -> None:
        """Hand over, as one, what must not be lost: events, the alarms to say after them, and what must survive a restart."""
        entry = Entry(now_ns, tuple(events), tuple(alarms), kept or {})
        self._record(entry)
        for alarm in entry.alarms:
            self._tap(alarm)

    def explanation(self, message: Explanation) -> None:
        """Say a sentence about an alarm, retained; one that a broker does not get is not said again.

        Before it, the picture that was retained with an older one goes: nobody shall see it beside this sentence. An earlier start of the daemon may
        have left one.
        """
        if self._shown.get(message.id, True):
            self._take_back(message.id)
        self._say(EXPLAIN, message, message.id)

    def heat_map(self, message: Explanation, jpeg: bytes) -> None:
        """Show the picture that goes with the sentence that was just said, retained like it."""
        about = {
            "alarm_id": message.id,
            "occurrence_id": message.occurrence_id,
            "ts": message.ts,
            "machine_made": "true",
        }
        seen = {"camera": message.source.camera, "frame_seq": message.source.frame_seq}
        told = about | {key: f"{value}" for key, value in seen.items() if value is not None}
        self._shown[message.id] = True
        self._send(EXPLAIN_IMAGE.outgoing(self._prefix, jpeg, message.id, told))

    def show_only(self, alarms: Collection[str]) -> None:
        """Take back the pictures of all other alarms: the site no longer wants them shown."""
        for name, shown in self._shown.items():
            if shown and name not in alarms:
                self._take_back(name)

    # --- the node ------------------------------------------------------------------------------------------------------------------

    def state(self, message: State) -> None:
        """Say whether the daemon is there and how it is, retained."""
        self._send(state_message(self._prefix, message))
        self._tap(message)

    def meta(self, message: Meta) -> None:
        """Say what this node can say, retained."""
        self._say(META, message)

    def heartbeat(self, message: Heartbeat) -> None:
        """Say the ledger."""
        self._say(HEARTBEAT, message)

    def next_heartbeat_seq(self) -> int:
        """The next heartbeat's number."""
        self._heartbeat_seq += 1
        return self._heartbeat_seq

    def reply(self, verb: str, message: Reply, *, topic: str | None = None, correlation: bytes | None = None) -> None:
        """Answer a command, on its response topic or on ours."""
        outgoing = REPLY.outgoing(self._prefix, message, verb)
        self._send(replace(outgoing, topic=topic or outgoing.topic, correlation=correlation))
        self._tap(message)

    def resume(self, alarms: Iterable[Callable[[], Alarm]], now_ns: int) -> None:
        """After a (re)connect: say the newest of everything retained or pending, alarms first; clear what is gone."""
        self.record(now_ns, (), alarms)
        for name in sorted(self._retired):
            for topic in (ALARM, EXPLAIN):
                self._send(topic.wrap(self._prefix, b"", name))
            self._take_back(name)
        for channel, said in self._said.items():
            if said.flag is not None:
                said.delivered = self._say_flag(channel, said.flag, None)

    def change(self, policy: Policy, channels: Iterable[str]) -> None:
        """Say as much as this from now on, and forget what was said of channels that are gone."""
        self._policy = policy
        self._said = {channel: self._said[channel] for channel in channels if channel in self._said}

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

    def _take_back(self, name: str) -> None:
        self._shown[name] = self._send(EXPLAIN_IMAGE.cleared(self._prefix, name)) is None

    def _say_flag(self, channel: str, message: Flag, frame: Frame | None) -> bool:
        outgoing = FLAG.outgoing(self._prefix, message, channel)
        with self._lock:
            message_id = self._send(outgoing)
            if message_id is not None and frame is not None:
                self._awaited[message_id] = (frame.camera, frame.received_ns)
                if len(self._awaited) > MAX_AWAITED:
                    self._awaited.popitem(last=False)
        self._tap(message)
        return message_id is not None

    def _say(self, topic: Topic, message: Message, name: str = "") -> bool:
        sent = self._send(topic.outgoing(self._prefix, message, name)) is not None
        self._tap(message)
        return sent


def state_message(prefix: str, message: State) -> Outgoing:
    """The state topic's message; also the last will."""
    return STATE.outgoing(prefix, message)


def _event(*, now_wall_ns: int, **fields: Any) -> Event:  # noqa: ANN401 - the fields of Event, which checks them
    return Event(ts=timestamp(now_wall_ns), **fields)


def _stage_ms(stamps: Stamps) -> tuple[float, ...]:
    marks = (stamps.received_ns, stamps.taken_ns, stamps.decoded_ns, stamps.inferred_ns, stamps.decided_ns)
    known = [mark for mark in marks if mark is not None]
    return tuple(round((end - begin) / 1e6, 3) for begin, end in itertools.pairwise(known))
