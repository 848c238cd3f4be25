"""The records of one change of an alarm or the node, to be written and published; frozen.

Encoding costs more than keeping facts, so it is the journal's thread that calls `message` and `to_dict`. The records are tuples because
the inference thread makes them: a frozen dataclass costs several times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from edge.wire.message import timestamp
from edge.wire.messages import Alarm, Event


class EventRecord(NamedTuple):
    """One transition, command or system event with its number."""

    session: str
    epoch: int
    seq: int
    kind: Literal["alarm", "command", "system"]
    subject: str
    what: str
    wall_ns: int
    occurrence_id: str | None = None
    user: str | None = None
    detail: str = ""

    def message(self) -> Event:
        """The event as it is published.

        Raises:
            ValueError: a field is not what an event may hold.
        """
        return Event(
            ts=timestamp(self.wall_ns),
            session=self.session,
            epoch=self.epoch,
            seq=self.seq,
            kind=self.kind,
            subject=self.subject,
            what=self.what,
            occurrence_id=self.occurrence_id,
            user=self.user,
            detail=self.detail,
        )


class AlarmRecord(Protocol):
    """Facts of one alarm's condition, defined by the alarm's own module."""

    def message(self) -> Alarm:
        """The condition as it is published."""


class StateRecord(Protocol):
    """Facts of one state that must survive a restart."""

    def to_dict(self) -> Mapping[str, Any]:
        """The state as plain data for JSON."""


class PlainState(NamedTuple):
    """A state that is plain data already; ``body`` is not changed any more."""

    body: Mapping[str, Any]

    def to_dict(self) -> Mapping[str, Any]:
        """The data."""
        return self.body


class Entry(NamedTuple):
    """The records of one change.

    Args:
        at_ns: monotonic ns of the happening.
        events: for the journal.
        alarms: retained conditions to be published after the events.
        kept: what must survive a restart, by name; None deletes it.
    """

    at_ns: int
    events: tuple[EventRecord, ...] = ()
    alarms: tuple[AlarmRecord, ...] = ()
    kept: Mapping[str, StateRecord | None] = MappingProxyType({})
