"""All alarms of the site: verdicts and commands go in, retained alarm messages and journal events come out.

Runs on the inference thread only; time is an argument. The rules of one alarm are in `edge.alarm.machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from edge import messages
from edge.alarm import machine
from edge.alarm.group import FirstOut
from edge.alarm.kpi import AlarmKpi
from edge.alarm.state import AlarmSpec
from edge.alarm.table import Trigger
from edge.command import Request, refuse
from edge.frame import Evidence, Frame
from edge.messages import AlarmCounts, AlarmFigures, AlarmInfo, Reply, timestamp
from edge.publish import Publisher

Ne107 = Literal["G", "M", "S", "C", "F"]
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
        restored: saved states by alarm id, as plain data and as checked by `edge.alarm.state.from_dict`.
    """

    def __init__(
        self,
        entries: Iterable[AlarmEntry],
        publisher: Publisher,
        context: Context,
        *,
        new_id: Callable[[int], str],
        start_ns: int,
        restored: Mapping[str, machine.Alarm] | None = None,
    ) -> None:
        self._entries = {entry.spec.id: entry for entry in entries}
        known = restored or {}
        self._alarms = {
            name: known.get(name) or machine.Alarm(entry.spec, new_id) for name, entry in self._entries.items()
        }
        self._publisher = publisher
        self._context = context
        self._sources: dict[str, Frame | None] = {}
        self._first_out = FirstOut({name: entry.group for name, entry in self._entries.items() if entry.group})
        self._kpi = AlarmKpi(start_ns)

    def __contains__(self, alarm_id: str) -> bool:
        return alarm_id in self._entries

    def sample(
        self, alarm_id: str, evidence: Evidence, now_ns: int, now_wall_ns: int, frame: Frame | None = None
    ) -> None:
        """One look at an alarm's condition; `frame` is what it was seen on."""
        sample = machine.Sample(evidence.verdict, evidence.quality, evidence.score)
        happened = self._alarms[alarm_id].step(sample, now_ns, now_wall_ns)
        if any(item.trigger == Trigger.RAISE for item in happened):
            self._sources[alarm_id] = replace(frame, encoded=b"") if frame else None  # its stamps, not its picture
        self._say(alarm_id, happened, now_wall_ns)

    def tick(self, now_ns: int, now_wall_ns: int) -> None:
        """Let timers run out."""
        for alarm_id, alarm in self._alarms.items():
            self._say(alarm_id, alarm.tick(now_ns, now_wall_ns), now_wall_ns)

    def command(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        """Carry out one request on one alarm; it is journalled whatever comes of it."""
        command = request.command
        alarm = self._alarms.get(command.alarm_id or "")
        if alarm is None:
            reply = refuse(command, "unknown_alarm", f"no alarm {command.alarm_id!r}; meta lists them")
        else:
            asked = machine.AlarmCommand(
                verb=machine.Verb(request.verb.value),
                user=command.user,
                comment=command.comment,
                occurrence_id=command.occurrence_id,
                duration_ns=None if command.duration_s is None else round(command.duration_s * 1e9),
                one_shot=command.one_shot,
            )
            outcome = alarm.command(asked, now_ns, now_wall_ns)
            self._say(alarm.spec.id, outcome.transitions, now_wall_ns)
            reply = Reply(
                request_id=command.request_id,
                ok=outcome.code is machine.Code.OK,
                code=outcome.code.value,
                detail=outcome.detail,
                state=outcome.state,
            )
        detail = f"{command.alarm_id or ''}: {reply.code}. {command.comment}".strip()
        self._publisher.event(
            "command",
            request.verb.value,
            reply.code,
            now_wall_ns,
            occurrence_id=command.occurrence_id,
            user=command.user,
            detail=detail,
        )
        return reply

    def conditions(self, now_wall_ns: int) -> list[messages.Alarm]:
        """Every alarm's condition now, the standing ones first, for a broker that may have forgotten."""
        ordered = sorted(self._alarms, key=lambda name: self._alarms[name].snapshot().acked)
        return [self._message(name, now_wall_ns) for name in ordered]

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

    def saved(self, now_ns: int, now_wall_ns: int) -> dict[str, dict[str, object]]:
        """Every alarm's state as plain data, for whoever keeps it over a restart."""
        return {name: alarm.to_dict(now_ns, now_wall_ns) for name, alarm in self._alarms.items()}

    def _say(self, alarm_id: str, happened: Iterable[machine.Transition], now_wall_ns: int) -> None:
        changed: dict[str, None] = {}
        for item in happened:
            changed[alarm_id] = None
            changed |= dict.fromkeys(self._first_out.observe(item))
            self._kpi.observe(item)
            detail = f"{item.trigger} {item.comment or ''}".strip()
            self._publisher.event(
                "alarm",
                alarm_id,
                item.what,
                item.wall_ns,
                occurrence_id=item.occurrence_id,
                user=item.user,
                detail=detail,
            )
        for name in changed:
            self._publisher.alarm(self._message(name, now_wall_ns))

    def _message(self, alarm_id: str, now_wall_ns: int) -> messages.Alarm:
        entry, shot, frame = self._entries[alarm_id], self._alarms[alarm_id].snapshot(), self._sources.get(alarm_id)
        return messages.Alarm(
            id=alarm_id,
            occurrence_id=shot.occurrence_id,
            seq=self._publisher.next_alarm_seq(),
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
                model=self._context.model,
                model_sha256=self._context.model_sha256,
            ),
            asset=self._context.asset,
            ack=messages.AlarmAck(user=shot.ack_user, comment=shot.ack_comment),
            chattering=shot.chattering,
            first_out=self._first_out.is_first(alarm_id),
        )


def _time(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else timestamp(wall_ns)
