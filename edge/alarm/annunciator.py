"""All alarms of the site: verdicts and commands go in, retained alarm messages and journal events come out.

Runs on the inference thread only; time is an argument. The rules of one alarm are in `edge.alarm.machine`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from edge.alarm import machine
from edge.alarm.entry import NE107_ORDER, AlarmEntry, Context, Ne107
from edge.alarm.first_out import FirstOut
from edge.alarm.kpi import AlarmKpi
from edge.alarm.record import AlarmStateRecord, ConditionRecord, worded
from edge.alarm.state import AlarmState, Occurrence
from edge.alarm.table import Trigger
from edge.errors import RejectedInput
from edge.frame import Evidence, Frame, Quality, worst
from edge.publish.entry import PlainState, StateRecord
from edge.publish.publisher import Publisher
from edge.units import NS_PER_S
from edge.wire.command import Request, refuse_unknown_alarm
from edge.wire.heartbeat import AlarmFigures
from edge.wire.messages import AlarmCounts, AlarmInfo
from edge.wire.requests import Reply
from edge.wire.verbs import Verb

KEPT_ALARM, KEPT_FIRST_OUT, KEPT_IDS = "alarm/", "first-out", "alarm-ids"  # names under which state survives a restart

_log = logging.getLogger(__name__)

#: Takes each new occurrence that an operator is to see: alarm id, occurrence id, monotonic ns.
Listener = Callable[[str, str, int], object]


class Annunciator:
    """Feeds alarms, and publishes what changed.

    Args:
        entries: every alarm of the site.
        publisher: where alarm messages and events go.
        context: what each message carries.
        new_id: occurrence ids, from wall time in ns.
        start_ns: monotonic ns from which the alarm figures count.
        start_wall_ns: wall ns of the same moment.
        restored: what an earlier start kept, by the names under which it was recorded.
    """

    def __init__(
        self,
        entries: Iterable[AlarmEntry],
        publisher: Publisher,
        context: Context,
        *,
        new_id: Callable[[int], str],
        start_ns: int,
        start_wall_ns: int = 0,
        restored: Mapping[str, Any] | None = None,
    ) -> None:
        self._entries = {entry.spec.id: entry for entry in entries}
        self._alarms: dict[str, machine.Alarm] = {}
        self._publisher = publisher
        self._context = context
        self._sources: dict[str, Frame | None] = {}
        self._first_out = FirstOut({name: entry.group for name, entry in self._entries.items() if entry.group})
        self._kpi = AlarmKpi(start_ns)
        self._new_id = new_id
        self._leaving: dict[str, machine.Alarm] = {}  # removed by a reload that may still be reverted
        self._left_marks: Mapping[str, Any] = {}
        self._listeners: tuple[Listener, ...] = ()
        self._reasons: dict[str, tuple[str, str]] = {}  # of an alarm: a code, and its words
        self._timed: set[str] = set()  # alarms with a timer that runs
        #: Rises whenever alarms may have another state by something else than samples and commands.
        self.round = 0
        self._restore(restored or {}, new_id, start_ns, start_wall_ns)
        self._note_timers(self._alarms)

    def reconfigure(self, entries: Iterable[AlarmEntry], context: Context, now_ns: int, now_wall_ns: int) -> None:
        """Another list of alarms from now on: what stays keeps its state; what is removed is journalled, and can be restored as it was until `forget_removed`."""
        before, left = self._alarms, self._leaving
        severities = {name: entry.spec.severity for name, entry in self._entries.items()}
        self._entries, self._context = {entry.spec.id: entry for entry in entries}, context
        back = {name: _unseen(left[name].state) for name in left if name in self._entries and name not in before}
        states = {name: alarm.state for name, alarm in before.items()} | back
        self._alarms = {
            name: machine.Alarm(entry.spec, self._new_id, states.get(name)) for name, entry in self._entries.items()
        }
        self._note_timers({*before, *self._alarms})
        self.round += 1
        marks = self._first_out.to_dict()
        self._first_out = FirstOut({name: entry.group for name, entry in self._entries.items() if entry.group})
        self._first_out.restore(_joined(marks, self._left_marks, back))
        gone = [name for name in before if name not in self._entries]
        self._left_marks = marks if gone else {}
        self._leaving = {name: alarm for name, alarm in (left | before).items() if name not in self._entries}
        moved = [(name, "removed", f"it was {before[name].state.name}") for name in gone]
        moved += [(name, "restored", f"it is {state.name}") for name, state in back.items()]
        if moved:
            events = [self._publisher.event("system", name, what, now_wall_ns, detail=how) for name, what, how in moved]
            self._publisher.record(now_ns, events)
        self._keep_ids(now_ns)
        self._apply_severities(severities, now_ns, now_wall_ns)

    def forget_removed(self, now_ns: int) -> bool:
        """The list of alarms stays as it is: what was removed is deleted here and cleared from the broker; returns whether anything was."""
        gone, self._leaving, self._left_marks = list(self._leaving), {}, {}
        if gone:
            self._publisher.record(now_ns, (), (), {KEPT_ALARM + name: None for name in gone})
            self._publisher.retire(gone, self._entries)
            self._keep_ids(now_ns)
        return bool(gone)

    def _apply_severities(self, severities: Mapping[str, int], now_ns: int, now_wall_ns: int) -> None:
        """Give each alarm its configured severity, if that changed: a rise annunciates an active one again."""
        for name, severity in severities.items():
            alarm = self._alarms.get(name)
            if alarm is None or alarm.state.severity_override is not None or severity == alarm.spec.severity:
                continue
            alarm.state = replace(alarm.state, severity_override=severity)  # what it was until now
            self._record(name, alarm.step(machine.SetSeverity(None), now_ns, now_wall_ns), now_ns, now_wall_ns)

    def listen(self, listeners: Iterable[Listener]) -> None:
        """Call these with every new occurrence from now on, in place of those before."""
        self._listeners = tuple(listeners)

    def is_active(self, alarm_id: str) -> bool:
        """Whether an alarm is active, seen or hidden; of one that is not there: no."""
        return alarm_id in self._alarms and self._alarms[alarm_id].snapshot().active

    def is_shown(self, alarm_id: str) -> bool:
        """Whether an alarm is neither shelved nor suppressed nor out of service; of one that is not there: no."""
        return alarm_id in self._alarms and not self._alarms[alarm_id].snapshot().hidden

    def __contains__(self, alarm_id: str) -> bool:
        return alarm_id in self._entries

    def is_settled(self, alarm_id: str, evidence: Evidence, *, fresh: bool = True) -> bool:
        """Whether such samples can be left out until another one comes or the `round` changes; so they can of an alarm that is not there."""
        alarm = self._alarms.get(alarm_id)
        return alarm is None or alarm.is_settled(_sample(evidence, fresh=fresh))

    def sample(
        self,
        alarm_id: str,
        evidence: Evidence,
        now_ns: int,
        now_wall_ns: int,
        frame: Frame | None = None,
        *,
        fresh: bool = True,
    ) -> None:
        """Take one sample of an alarm's condition; `frame` is what it was seen on, `fresh` whether new data confirm it."""
        alarm, sample = self._alarms[alarm_id], _sample(evidence, fresh=fresh)
        if alarm.is_settled(sample) and not alarm.has_timer:
            return
        happened = alarm.step(sample, now_ns, now_wall_ns)
        if not happened:
            return
        if any(item.trigger == Trigger.RAISE for item in happened):
            self._sources[alarm_id] = replace(frame, encoded=b"") if frame else None  # its stamps, not its picture
        self._record(alarm_id, happened, now_ns, now_wall_ns)

    def tick(self, now_ns: int, now_wall_ns: int) -> None:
        """Advance the timers that run, whatever one of them does.

        Raises:
            Exception: the last that one of them raised.
        """
        failure: Exception | None = None
        for alarm_id in [name for name in self._alarms if name in self._timed] if self._timed else ():
            try:
                happened = self._alarms[alarm_id].tick(now_ns, now_wall_ns)
                self._record(alarm_id, happened, now_ns, now_wall_ns)
            except Exception as error:  # noqa: BLE001 - the others' timers run out all the same; it is raised below
                failure = error
        if failure is not None:
            raise failure

    def command(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        """Carry out one request on one alarm."""
        command = request.command
        alarm = self._alarms.get(command.alarm_id or "")
        if alarm is None:
            return refuse_unknown_alarm(command)
        asked = machine.AlarmCommand(
            verb=request.verb,
            user=command.user,
            comment=command.comment,
            occurrence_id=command.occurrence_id,
            duration_ns=None if command.duration_s is None else round(command.duration_s * NS_PER_S),
            one_shot=command.one_shot,
        )
        outcome = alarm.command(asked, now_ns, now_wall_ns)
        self._record(alarm.spec.id, outcome.transitions, now_ns, now_wall_ns)
        return Reply(
            request_id=command.request_id,
            ok=outcome.code is machine.Code.OK,
            code=outcome.code.value,
            detail=outcome.detail,
            state=outcome.state,
        )

    def suppress(self, alarm_id: str, cause: str | None, now_ns: int, now_wall_ns: int) -> None:
        """Suppress an alarm by design because of something else, or end that (None); what an operator suppressed is not changed."""
        alarm = self._alarms[alarm_id]
        hiding = alarm.state.availability
        if hiding.suppressed if cause is not None else hiding.cause is None:
            return
        verb = Verb.UNSUPPRESS if cause is None else Verb.SUPPRESS
        asked = machine.AlarmCommand(verb=verb, user=machine.SYSTEM_USER, comment=cause or "", cause=cause)
        self._record(alarm_id, alarm.command(asked, now_ns, now_wall_ns).transitions, now_ns, now_wall_ns)

    def reason(self, alarm_id: str, reason: tuple[str, str] | None, now_ns: int, now_wall_ns: int) -> None:
        """Why an alarm's condition holds, as a code and in words; None: not known. An active alarm publishes it at once."""
        if self._reasons.get(alarm_id) == reason:
            return
        if reason is None:
            del self._reasons[alarm_id]
        else:
            self._reasons[alarm_id] = reason
        if self.is_active(alarm_id):
            self._publisher.record(now_ns, (), [self._message(alarm_id, now_wall_ns)])

    def suppressed_because(self, alarm_id: str) -> str | None:
        """Why the daemon itself suppressed an alarm; None: it did not."""
        return self._alarms[alarm_id].state.availability.cause

    def subject(self, alarm_id: str) -> tuple[str | None, str | None] | None:
        """The camera that an alarm is about, if one is, and its newest occurrence; None: there is no such alarm."""
        if alarm_id not in self._entries:
            return None
        return self._entries[alarm_id].camera, self._alarms[alarm_id].snapshot().occurrence_id

    def conditions(self, now_wall_ns: int) -> list[ConditionRecord]:
        """Every alarm's condition now, the active ones first, for a broker that may have lost them."""
        ordered = sorted(self._alarms, key=lambda name: self._alarms[name].snapshot().acked)
        return [self._message(name, now_wall_ns) for name in ordered]

    def occurrence(self, alarm_id: str) -> tuple[str | None, bool]:
        """The newest occurrence of an alarm, and whether it is active."""
        shot = self._alarms[alarm_id].snapshot()
        return shot.occurrence_id, shot.active

    def newest(self, alarm_id: str) -> Occurrence | None:
        """The newest occurrence of an alarm with its times; None: it never came."""
        return self._alarms[alarm_id].state.occurrence

    def counts(self) -> AlarmCounts:
        """How many alarms are active now; hidden ones count as shelved only, and those suppressed because of another alarm not at all."""
        shots = [alarm.snapshot() for alarm in self._alarms.values()]
        return AlarmCounts(
            active=sum(shot.active and not shot.hidden for shot in shots),
            unacknowledged=sum(not shot.acked and not shot.hidden for shot in shots),
            shelved=sum(shot.hidden and shot.cause is None for shot in shots),
        )

    def figures(self, now_ns: int, now_wall_ns: int) -> AlarmFigures:
        """How well the alarm system does, for the heartbeat."""
        report = self._kpi.report(now_ns, now_wall_ns, [alarm.snapshot() for alarm in self._alarms.values()])
        return AlarmFigures.model_validate(asdict(report))

    def ne107(self) -> tuple[Ne107, tuple[str, ...]]:
        """The node's NAMUR NE 107 letter with its reasons: the worst one of the active system alarms."""
        active = [
            entry
            for name, entry in self._entries.items()
            if entry.ne107 != "G" and self._alarms[name].snapshot().active
        ]
        if not active:
            return "G", ()
        worst = max(active, key=lambda entry: NE107_ORDER.index(entry.ne107)).ne107
        return worst, tuple(worded(entry.message, self._reasons.get(entry.spec.id)) for entry in active)

    def infos(self) -> tuple[AlarmInfo, ...]:
        """What `meta` announces."""
        return tuple(
            AlarmInfo(
                id=name,
                kind=entry.kind,
                severity=entry.spec.severity,
                message=entry.message,
                operator_action=entry.operator_action,
                consequence=entry.consequence,
            )
            for name, entry in self._entries.items()
        )

    def _restore(
        self, kept: Mapping[str, Any], new_id: Callable[[int], str], start_ns: int, start_wall_ns: int
    ) -> None:
        """Restore what an earlier start kept; what is not usable is journalled and starts from its default."""
        events = []
        for name, entry in self._entries.items():
            data = kept.get(KEPT_ALARM + name)
            self._alarms[name] = machine.Alarm(entry.spec, new_id)
            if data is not None:
                try:
                    self._alarms[name] = machine.Alarm.from_dict(entry.spec, new_id, data, start_ns, start_wall_ns)
                except RejectedInput as error:
                    events.append(
                        self._publisher.event("system", name, error.reason, start_wall_ns, detail=str(error)[:300])
                    )
        try:
            self._first_out.restore(kept.get(KEPT_FIRST_OUT, {}))
        except RejectedInput as error:
            events.append(
                self._publisher.event("system", "first-out", error.reason, start_wall_ns, detail=str(error)[:300])
            )
        gone = [name for name in kept if name.startswith(KEPT_ALARM) and name[len(KEPT_ALARM) :] not in self._entries]
        if events or gone:
            self._publisher.record(start_ns, events, (), dict.fromkeys(gone))
        published = _ids(kept.get(KEPT_IDS))  # also those that never changed, and so have no state
        self._publisher.retire((*(name[len(KEPT_ALARM) :] for name in gone), *published), self._entries)
        if published != sorted(self._entries):
            self._keep_ids(start_ns)

    def _note_timers(self, names: Iterable[str]) -> None:
        """Note which of these alarms have a timer that runs, and which do not or are gone; timers change with transitions only."""
        for name in names:
            if name in self._alarms and self._alarms[name].has_timer:
                self._timed.add(name)
            else:
                self._timed.discard(name)

    def _keep_ids(self, now_ns: int) -> None:
        """Remember which alarms the broker keeps a condition of."""
        ids = sorted({*self._entries, *self._leaving})
        self._publisher.record(now_ns, (), (), {KEPT_IDS: PlainState({"ids": ids})})

    def _record(self, alarm_id: str, happened: Sequence[machine.Transition], now_ns: int, now_wall_ns: int) -> None:
        """Journal what happened, publish the conditions that it changed and keep the alarm's state: all of it or nothing of it."""
        if not happened:
            return
        self._note_timers([alarm_id])
        changed = {alarm_id: None}
        events = []
        for item in happened:
            # quality and the like change more often
            level = logging.INFO if item.before != item.after else logging.DEBUG
            _log.log(level, "alarm %s: %s, %s%s", alarm_id, item.what, item.trigger, _whose(item))
            changed |= dict.fromkeys(self._first_out.observe(item))
            self._kpi.observe(item)
            event = self._publisher.event(
                "alarm",
                alarm_id,
                item.what,
                item.wall_ns,
                occurrence_id=item.occurrence_id,
                user=item.user,
                detail=f"{item.trigger} {item.comment or ''}".strip(),
            )
            events.append(event)
        kept: dict[str, StateRecord | None] = {
            KEPT_ALARM + alarm_id: AlarmStateRecord(self._alarms[alarm_id].state, now_ns, now_wall_ns)
        }
        if self._entries[alarm_id].group is not None:
            kept[KEPT_FIRST_OUT] = PlainState(self._first_out.to_dict())  # a copy: the marks go on changing
        self._publisher.record(now_ns, events, [self._message(name, now_wall_ns) for name in changed], kept)
        newest = happened[-1]
        new = any(item.trigger == Trigger.RAISE and item.annunciate for item in happened)
        if new and newest.occurrence_id is not None:
            for listener in self._listeners:
                listener(alarm_id, newest.occurrence_id, now_ns)

    def _message(self, alarm_id: str, now_wall_ns: int) -> ConditionRecord:
        """An alarm's condition now, numbered now and encoded later."""
        return ConditionRecord(
            self._entries[alarm_id],
            self._alarms[alarm_id].snapshot(),
            self._sources.get(alarm_id),
            self._context,
            self._publisher.epoch,
            self._publisher.next_alarm_seq(),
            now_wall_ns,
            self._first_out.is_first(alarm_id),
            self._reasons.get(alarm_id),
        )


def _sample(evidence: Evidence, *, fresh: bool) -> machine.Sample:
    return machine.Sample(evidence.verdict, evidence.quality, evidence.score, fresh)


def _whose(item: machine.Transition) -> str:
    """Which occurrence it was, and who did it and why, for the log."""
    parts = [
        "" if item.occurrence_id is None else f", occurrence {item.occurrence_id}",
        "" if item.user is None else f", by {item.user}",
        f": {item.comment}" if item.comment else "",
    ]
    return "".join(parts)


def _ids(data: object) -> list[str]:
    ids = data.get("ids") if isinstance(data, Mapping) else None
    return [name for name in ids if isinstance(name, str)] if isinstance(ids, list) else []


def _unseen(state: AlarmState) -> AlarmState:
    """The state of an alarm that got no samples for a while: missing data, as at a restart."""
    quality = worst(state.quality, Quality.STALE)
    return replace(state, quality=quality, filter=replace(state.filter, known_ns=None))


def _joined(now: Mapping[str, Any], left: Mapping[str, Any], back: Collection[str]) -> dict[str, Any]:
    """First-out marks, with those of restored alarms."""
    joined = dict(now)
    for group, marks in left.items():
        mine = joined.get(group, {"first": None, "standing": ()})
        standing = {*mine["standing"], *(name for name in marks["standing"] if name in back)}
        joined[group] = {"first": mine["first"] or marks["first"], "standing": sorted(standing)}
    return joined
