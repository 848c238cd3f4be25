"""Operators' labels of alarms, given when they acknowledge them, the fault was there or it was a false alarm: journalled, kept and exported.

On the inference thread only; time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from edge.alarm.annunciator import Annunciator
from edge.publish.entry import PlainState
from edge.publish.publisher import Publisher
from edge.wire.command import Request
from edge.wire.message import timestamp
from edge.wire.requests import Reply

KEPT_LABEL = "label/"  # name under which each label survives a restart, before its occurrence
MAX_LABELS = 1_000  # the oldest are discarded
LABELLED = {True: "labelled true", False: "labelled false"}


class Listener(Protocol):
    """Takes each label."""

    def __call__(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> object:
        """An operator labelled an occurrence: the fault was there, or not."""


class Labels:
    """Takes the label that an acknowledgement carries.

    Args:
        annunciator: whose alarms are acknowledged.
        publisher: where labels are journalled.
        restored: what an earlier start kept.
    """

    def __init__(self, annunciator: Annunciator, publisher: Publisher, restored: Mapping[str, Any]) -> None:
        self._annunciator = annunciator
        self._publisher = publisher
        self._listeners: tuple[Listener, ...] = ()
        known = [name for name in restored if name.startswith(KEPT_LABEL)]
        self._kept = OrderedDict.fromkeys(sorted(known))  # ids of occurrences begin with their time

    def listen(self, listeners: Iterable[Listener]) -> None:
        """Call these with every label from now on, in place of those before."""
        self._listeners = tuple(listeners)

    def acknowledge(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        """Acknowledge an alarm, and take the label that came with it.

        An occurrence that is acknowledged already takes a label all the same: what it was is often known later.
        """
        reply = self._annunciator.command(request, now_ns, now_wall_ns)
        command = request.command
        alarm_id, occurrence_id = command.alarm_id or "", command.occurrence_id
        if command.valid is None or alarm_id not in self._annunciator or occurrence_id is None:
            return reply
        occurrence = self._annunciator.newest(alarm_id)
        if occurrence is None or occurrence.id != occurrence_id:
            return reply
        what = LABELLED[command.valid]
        label = {
            "alarm_id": alarm_id,
            "occurrence_id": occurrence_id,
            "raised": timestamp(occurrence.active_wall_ns),
            "valid": command.valid,
            "labelled": timestamp(now_wall_ns),
            "user": command.user,
            "comment": command.comment,
        }
        event = self._publisher.event(
            "alarm", alarm_id, what, now_wall_ns, occurrence_id=occurrence_id, user=command.user, detail=command.comment
        )
        self._publisher.record(now_ns, [event], (), self._keep(occurrence_id, label))
        for listener in self._listeners:
            listener(alarm_id, occurrence_id, now_ns, valid=command.valid)
        return reply.model_copy(update={"ok": True, "code": "ok", "detail": what})

    def _keep(self, occurrence_id: str, label: Mapping[str, Any]) -> dict[str, PlainState | None]:
        name = KEPT_LABEL + occurrence_id
        self._kept[name] = None
        self._kept.move_to_end(name)
        kept: dict[str, PlainState | None] = {name: PlainState(label)}
        if len(self._kept) > MAX_LABELS:
            kept[self._kept.popitem(last=False)[0]] = None
        return kept
