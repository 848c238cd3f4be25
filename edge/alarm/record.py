"""Facts of an alarm as frozen records, taken when it changes: its condition for subscribers, its state for a restart."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge.alarm import store
from edge.alarm.entry import AlarmEntry, Context
from edge.alarm.state import AlarmState, Snapshot
from edge.frame import Frame
from edge.wire import messages
from edge.wire.message import timestamp


class ConditionRecord(NamedTuple):
    """An alarm's condition at one moment; ``frame`` is what its newest occurrence was seen on, without the picture."""

    entry: AlarmEntry
    shot: Snapshot
    frame: Frame | None
    context: Context
    epoch: int
    seq: int
    wall_ns: int
    first_out: bool
    reason: tuple[str, str] | None = None  # why the condition holds: a code, and its words

    def message(self) -> messages.Alarm:
        """The condition as it is published."""
        entry, shot, frame = self.entry, self.shot, self.frame
        return messages.Alarm(
            id=shot.id,
            occurrence_id=shot.occurrence_id,
            epoch=self.epoch,
            seq=self.seq,
            state=shot.state,
            active=shot.active,
            acked=shot.acked,
            latched=shot.latched,
            shelving=shot.shelving.value,
            suppressed=shot.suppressed,
            suppressed_because=shot.cause,
            out_of_service=shot.out_of_service,
            severity=shot.severity,
            priority=shot.priority,
            kind=entry.kind,
            message=worded(entry.message, self.reason if shot.active else None),
            reason=None if self.reason is None or not shot.active else self.reason[0],
            operator_action=entry.operator_action,
            consequence=entry.consequence,
            quality=shot.quality,
            value=None if shot.value is None else round(shot.value, 4),
            threshold=entry.threshold,
            time=messages.AlarmTimes(
                active=_time(shot.active_wall_ns),
                acked=_time(shot.acked_wall_ns),
                cleared=_time(shot.cleared_wall_ns),
                shelved_until=_time(shot.shelved_until_wall_ns),
                published=timestamp(self.wall_ns),
            ),
            source=messages.AlarmSource(
                camera=entry.camera,
                frame_seq=frame.seq if frame else None,
                frame_ts=_time(frame.captured_wall_ns) if frame else None,
                part=frame.part if frame else None,
                model=self.context.model,
                model_sha256=self.context.model_sha256,
            ),
            asset=self.context.asset,
            ack=messages.AlarmAck(user=shot.ack_user, comment=shot.ack_comment),
            chattering=shot.chattering,
            first_out=self.first_out,
        )


class AlarmStateRecord(NamedTuple):
    """An alarm's state with the two times of the same moment."""

    state: AlarmState
    now_ns: int
    wall_ns: int

    def to_dict(self) -> dict[str, Any]:
        """The state as it is kept; see `edge.alarm.store`."""
        return store.to_dict(self.state, self.now_ns, self.wall_ns)


def worded(message: str, reason: tuple[str, str] | None) -> str:
    """An alarm's message with the reason behind it, where one is known."""
    return message if reason is None else f"{message}: {reason[1]}"


def _time(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else timestamp(wall_ns)
