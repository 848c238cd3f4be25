"""All alarms of the site: verdicts and commands go in, retained alarm messages and journal events come out.

Runs on the inference thread only; time is an argument. The rules of one alarm are in `edge.alarm.machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from edge import messages
from edge.alarm import machine, store
from edge.alarm.group import FirstOut
from edge.alarm.kpi import AlarmKpi
from edge.alarm.state import AlarmSpec, AlarmState, Snapshot
from edge.alarm.table import Trigger
from edge.command import Request, refuse
from edge.errors import RejectedInput
from edge.frame import Evidence, Frame, Quality, worst
from edge.messages import AlarmCounts, AlarmFigures, AlarmInfo, Reply, timestamp
from edge.publish import Publisher

Ne107 = Literal["G", "M", "S", "C", "F"]
KEPT_ALARM, KEPT_FIRST_OUT, KEPT_IDS = "alarm/", "first-out", "alarm-ids"  # names under which state survives a restart
NE107_ORDER = ("G", "M", "S", "C", "F")  # good, maintenance, out of specification, function check, failure: worst last


@dataclass(frozen=True, slots=True)
class AlarmEntry:
    """One alarm as the site configured it (process) or as the daemon brings it along (system)."""

    spec: AlarmSpec
    kind: Literal["process", "system"]
    message: str
    operator_action: str
    consequence: str
    camera: str | None
    threshold: float | None
    ne107: Ne107 = "G"  # what a standing system alarm says of the node
    group: str | None = None  # alarms of one group mark which came first


@dataclass(frozen=True, slots=True)
class Context:
    """What every alarm message carries of the node."""

    model: str
    model_sha256: str
    asset: messages.Asset


class Annunciator:
    """Feeds alarms, and says what changed.

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
        self._leaving: dict[str, machine.Alarm] = {}  # gone with a reload that may still be taken back
        self._left_marks: Mapping[str, Any] = {}
        #: Told of every new occurrence that an operator is to see: alarm id, occurrence id, monotonic ns.
        self.on_raised: Callable[[str, str, int], object] | None = None
        self._restore(restored or {}, new_id, start_ns, start_wall_ns)

    def adopt(self, entries: Iterable[AlarmEntry], context: Context, now_ns: int, now_wall_ns: int) -> None:
        """Another list of alarms from now on: what stays keeps its state; what goes is journalled, and comes back as it was until `settle`."""
        before, left = self._alarms, self._leaving
        severities = {name: entry.spec.severity for name, entry in self._entries.items()}
        self._entries, self._context = {entry.spec.id: entry for entry in entries}, context
        back = {name: _unseen(left[name].state) for name in left if name in self._entries and name not in before}
        states = {name: alarm.state for name, alarm in before.items()} | back
        self._alarms = {
            name: machine.Alarm(entry.spec, self._new_id, states.get(name)) for name, entry in self._entries.items()
        }
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
        self._weigh_anew(severities, now_ns, now_wall_ns)

    def settle(self, now_ns: int) -> bool:
        """The list of alarms stays as it is: what went is forgotten and cleared from the broker; returns whether anything was."""
        gone, self._leaving, self._left_marks = list(self._leaving), {}, {}
        if gone:
            self._publisher.record(now_ns, (), (), {KEPT_ALARM + name: None for name in gone})
            self._publisher.retire(gone, self._entries)
            self._keep_ids(now_ns)
        return bool(gone)

    def _weigh_anew(self, severities: Mapping[str, int], now_ns: int, now_wall_ns: int) -> None:
        """Have each alarm whose configured severity is another now say so itself: a rise annunciates a standing one again."""
        for name, severity in severities.items():
            alarm = self._alarms.get(name)
            if alarm is None or alarm.state.severity_override is not None or severity == alarm.spec.severity:
                continue
            alarm.state = replace(alarm.state, severity_override=severity)  # what it was until now
            self._say(name, alarm.step(machine.SetSeverity(None), now_ns, now_wall_ns), now_ns, now_wall_ns)

    def stands(self, alarm_id: str) -> bool:
        """Whether an alarm is active, seen or hidden; of one that is not there: no."""
        return alarm_id in self._alarms and self._alarms[alarm_id].snapshot().active

    def __contains__(self, alarm_id: str) -> bool:
        return alarm_id in self._entries

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
        """One look at an alarm's condition; `frame` is what it was seen on, `fresh` whether new data bear it out."""
        sample = machine.Sample(evidence.verdict, evidence.quality, evidence.score, fresh)
        happened = self._alarms[alarm_id].step(sample, now_ns, now_wall_ns)
        if not happened:
            return
        if any(item.trigger == Trigger.RAISE for item in happened):
            self._sources[alarm_id] = replace(frame, encoded=b"") if frame else None  # its stamps, not its picture
        self._say(alarm_id, happened, now_ns, now_wall_ns)

    def tick(self, now_ns: int, now_wall_ns: int) -> None:
        """Let timers run out."""
        for alarm_id, alarm in self._alarms.items():
            self._say(alarm_id, alarm.tick(now_ns, now_wall_ns), now_ns, now_wall_ns)

    def command(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        """Carry out one request on one alarm."""
        command = request.command
        alarm = self._alarms.get(command.alarm_id or "")
        if alarm is None:
            return refuse(command, "unknown_alarm", f"no alarm {command.alarm_id!r}; meta lists them")
        asked = machine.AlarmCommand(
            verb=machine.Verb(request.verb.value),
            user=command.user,
            comment=command.comment,
            occurrence_id=command.occurrence_id,
            duration_ns=None if command.duration_s is None else round(command.duration_s * 1e9),
            one_shot=command.one_shot,
        )
        outcome = alarm.command(asked, now_ns, now_wall_ns)
        self._say(alarm.spec.id, outcome.transitions, now_ns, now_wall_ns)
        return Reply(
            request_id=command.request_id,
            ok=outcome.code is machine.Code.OK,
            code=outcome.code.value,
            detail=outcome.detail,
            state=outcome.state,
        )

    def subject(self, alarm_id: str) -> tuple[str | None, str | None]:
        """The camera that an alarm is about, if one is, and its newest occurrence; for an alarm that is there."""
        return self._entries[alarm_id].camera, self._alarms[alarm_id].snapshot().occurrence_id

    def conditions(self, now_wall_ns: int) -> list[Callable[[], messages.Alarm]]:
        """Every alarm's condition now, the standing ones first, for a broker that may have forgotten."""
        ordered = sorted(self._alarms, key=lambda name: self._alarms[name].snapshot().acked)
        return [self._message(name, now_wall_ns) for name in ordered]

    def occurrence(self, alarm_id: str) -> tuple[str | None, bool]:
        """The newest occurrence of an alarm, and whether it is active."""
        shot = self._alarms[alarm_id].snapshot()
        return shot.occurrence_id, shot.active

    def counts(self) -> AlarmCounts:
        """How many alarms stand now; hidden ones count as shelved only."""
        shots = [alarm.snapshot() for alarm in self._alarms.values()]
        return AlarmCounts(
            active=sum(shot.active and not shot.hidden for shot in shots),
            unacknowledged=sum(not shot.acked and not shot.hidden for shot in shots),
            shelved=sum(shot.hidden for shot in shots),
        )

    def figures(self, now_ns: int, now_wall_ns: int) -> AlarmFigures:
        """How well the alarm system does, for the heartbeat."""
        report = self._kpi.report(now_ns, now_wall_ns, [alarm.snapshot() for alarm in self._alarms.values()])
        return AlarmFigures.model_validate(asdict(report))

    def ne107(self) -> tuple[Ne107, tuple[str, ...]]:
        """The node's NAMUR NE 107 letter with its reasons: the worst that a standing system alarm says."""
        standing = [
            entry
            for name, entry in self._entries.items()
            if entry.ne107 != "G" and self._alarms[name].snapshot().active
        ]
        if not standing:
            return "G", ()
        worst = max(standing, key=lambda entry: NE107_ORDER.index(entry.ne107)).ne107
        return worst, tuple(entry.message for entry in standing)

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
        """Go on where an earlier start stopped; what is not usable is said and begins anew."""
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
        said = _ids(kept.get(KEPT_IDS))  # also those that never moved, and so have no state
        self._publisher.retire((*(name[len(KEPT_ALARM) :] for name in gone), *said), self._entries)
        if said != sorted(self._entries):
            self._keep_ids(start_ns)

    def _keep_ids(self, now_ns: int) -> None:
        """Remember which alarms the broker keeps a condition of."""
        ids = sorted({*self._entries, *self._leaving})
        self._publisher.record(now_ns, (), (), {KEPT_IDS: lambda: {"ids": ids}})

    def _say(self, alarm_id: str, happened: Sequence[machine.Transition], now_ns: int, now_wall_ns: int) -> None:
        """Journal what happened, say the conditions that it changed and keep the alarm's state: all of it or nothing of it."""
        if not happened:
            return
        changed = {alarm_id: None}
        events = []
        for item in happened:
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
        kept: dict[str, Callable[[], Mapping[str, Any]] | None] = {
            KEPT_ALARM + alarm_id: partial(store.to_dict, self._alarms[alarm_id].state, now_ns, now_wall_ns)
        }
        if self._entries[alarm_id].group is not None:
            marks = self._first_out.to_dict()  # built now: it goes on changing
            kept[KEPT_FIRST_OUT] = lambda: marks
        self._publisher.record(now_ns, events, [self._message(name, now_wall_ns) for name in changed], kept)
        newest = happened[-1]
        new = any(item.trigger == Trigger.RAISE and item.annunciate for item in happened)
        if self.on_raised is not None and new and newest.occurrence_id is not None:
            self.on_raised(alarm_id, newest.occurrence_id, now_ns)

    def _message(self, alarm_id: str, now_wall_ns: int) -> Callable[[], messages.Alarm]:
        """An alarm's condition now, numbered now and built later."""
        return partial(
            _build,
            self._entries[alarm_id],
            self._alarms[alarm_id].snapshot(),
            self._sources.get(alarm_id),
            self._context,
            number=(self._publisher.epoch, self._publisher.next_alarm_seq()),
            now_wall_ns=now_wall_ns,
            first_out=self._first_out.is_first(alarm_id),
        )


def _ids(data: object) -> list[str]:
    ids = data.get("ids") if isinstance(data, Mapping) else None
    return [name for name in ids if isinstance(name, str)] if isinstance(ids, list) else []


def _unseen(state: AlarmState) -> AlarmState:
    """The state of an alarm that nobody fed for a while: missing data, as at a restart."""
    quality = worst(state.quality, Quality.STALE)
    return replace(state, quality=quality, filter=replace(state.filter, known_ns=None))


def _joined(now: Mapping[str, Any], left: Mapping[str, Any], back: Collection[str]) -> dict[str, Any]:
    """First-out marks, with those of alarms that come back."""
    joined = dict(now)
    for group, marks in left.items():
        mine = joined.get(group, {"first": None, "standing": ()})
        standing = {*mine["standing"], *(name for name in marks["standing"] if name in back)}
        joined[group] = {"first": mine["first"] or marks["first"], "standing": sorted(standing)}
    return joined


def _build(
    entry: AlarmEntry,
    shot: Snapshot,
    frame: Frame | None,
    context: Context,
    *,
    number: tuple[int, int],
    now_wall_ns: int,
    first_out: bool,
) -> messages.Alarm:
    epoch, seq = number
    return messages.Alarm(
        id=shot.id,
        occurrence_id=shot.occurrence_id,
        epoch=epoch,
        seq=seq,
        state=shot.state,
        active=shot.active,
        acked=shot.acked,
        latched=shot.latched,
        shelving=shot.shelving.value,
        suppressed=shot.suppressed,
        out_of_service=shot.out_of_service,
        severity=shot.severity,
        priority=shot.priority,
        kind=entry.kind,
        message=entry.message,
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
            published=timestamp(now_wall_ns),
        ),
        source=messages.AlarmSource(
            camera=entry.camera,
            frame_seq=frame.seq if frame else None,
            frame_ts=_time(frame.captured_wall_ns) if frame else None,
            model=context.model,
            model_sha256=context.model_sha256,
        ),
        asset=context.asset,
        ack=messages.AlarmAck(user=shot.ack_user, comment=shot.ack_comment),
        chattering=shot.chattering,
        first_out=first_out,
    )


def _time(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else timestamp(wall_ns)
