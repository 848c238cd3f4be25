"""One alarm's state machine: verdicts and commands move one condition through the tables of ISA-18.2; missing data never do.

Pure: time is an argument, ids come from outside, and what happened is returned as transitions. A delay counts only known time between two
samples that agree, so a tick can never raise or clear an alarm. `docs/alarm.md` has the tables and the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self

from edge.alarm import state as alarm_state
from edge.alarm import store as alarm_store
from edge.alarm.state import (
    AlarmCommand,
    AlarmSpec,
    AlarmState,
    Availability,
    Code,
    Filter,
    Occurrence,
    Outcome,
    Sample,
    SetSeverity,
    Snapshot,
    Transition,
)
from edge.alarm.table import (
    ACTIVE,
    OUT_OF_SERVICE,
    SHELVING,
    SUPPRESSION,
    TRANSITIONS,
    Condition,
    Effect,
    Shelve,
    Shelving,
    Switch,
    Trigger,
)
from edge.frame import Quality, Verdict, worst
from edge.units import NS_PER_S
from edge.wire.verbs import Verb

__all__ = [
    "Alarm",
    "AlarmCommand",
    "AlarmSpec",
    "AlarmState",
    "Code",
    "Condition",
    "Outcome",
    "Sample",
    "SetSeverity",
    "Shelving",
    "Snapshot",
    "Transition",
]

SYSTEM_USER = "system"


class _At(NamedTuple):
    now_ns: int
    wall_ns: int


class _Refusal(Exception):  # noqa: N818 - not an error: the answer no
    """Ends a command early; never leaves this module."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Alarm:
    """One alarm. ``new_id`` makes an occurrence id from the wall time in ns; every call must give another one."""

    __slots__ = ("_new_id", "_out", "_shown", "spec", "state")

    def __init__(self, spec: AlarmSpec, new_id: Callable[[int], str], state: AlarmState | None = None) -> None:
        self.spec = spec
        self.state = state or AlarmState()
        self._new_id = new_id
        self._out: list[Transition] = []
        self._shown: tuple[AlarmState, Snapshot] | None = None  # the newest snapshot, and what it is of

    def step(self, event: Sample | SetSeverity, now_ns: int, wall_ns: int) -> tuple[Transition, ...]:
        """Take one sample or a new severity; returns what happened, oldest first."""
        at = _At(now_ns, wall_ns)
        self._timers(at)
        if isinstance(event, Sample):
            self._sample(event, at)
        else:
            self._severity(event.severity, at)
        return self._collect()

    def tick(self, now_ns: int, wall_ns: int) -> tuple[Transition, ...]:
        """Let shelving expire, annunciate again, end chattering. Never raises and never clears."""
        self._timers(_At(now_ns, wall_ns))
        return self._collect()

    def command(self, command: AlarmCommand, now_ns: int, wall_ns: int) -> Outcome:
        """Carry out one request, or refuse it with a reason and change nothing."""
        at = _At(now_ns, wall_ns)
        self._timers(at)
        try:
            _COMMANDS[command.verb](self, _named(command), at)
        except _Refusal as refusal:
            return Outcome(refusal.code, str(refusal), self.state.name, self._collect())
        return Outcome(Code.OK, "", self.state.name, self._collect())

    def snapshot(self) -> Snapshot:
        """What the alarm shows now; the same record until its state is another one."""
        if self._shown is None or self._shown[0] is not self.state:
            self._shown = self.state, alarm_state.snapshot(self.spec, self.state)
        return self._shown[1]

    @property
    def has_timer(self) -> bool:
        """Whether time alone can change something."""
        state = self.state
        return state.chattering or state.re_alarm_ns is not None or state.availability.shelved_until_ns is not None

    def is_settled(self, sample: Sample) -> bool:
        """Whether this sample, whenever and however often it came, would change nothing but when the newest sample came.

        So it may be left out until another one comes: while no delay is under way, it does not matter when the newest one came, and neither commands
        nor timers begin one.
        """
        state, filtered = self.state, self.state.filter
        if state.better_since_ns is not None:
            return False
        if _is_missing(sample):
            return state.quality is worst(sample.quality, Quality.UNCERTAIN) and filtered.known_ns is None
        fault = sample.verdict is Verdict.FAULT
        window = filtered.window[-self.spec.m :]
        steady = window == (fault,) * self.spec.m if sample.fresh else window[-1:] == (fault,)
        return (
            state.quality is sample.quality
            and state.value == sample.value
            and filtered.known_ns is not None
            and filtered.pending_ns is None
            and steady
            and (sum(window) >= self.spec.n) is (state.condition in ACTIVE)
        )

    def to_dict(self, now_ns: int, wall_ns: int) -> dict[str, Any]:
        """The state as plain data, see `edge.alarm.store.to_dict`."""
        return alarm_store.to_dict(self.state, now_ns, wall_ns)

    @classmethod
    def from_dict(
        cls, spec: AlarmSpec, new_id: Callable[[int], str], data: Mapping[str, Any], now_ns: int, wall_ns: int
    ) -> Self:
        """An alarm restored from `to_dict`, see `edge.alarm.store.from_dict` (and its errors)."""
        return cls(spec, new_id, alarm_store.from_dict(spec, data, now_ns, wall_ns))

    # -- data ----------------------------------------------------------------------------------------------------------------

    def _sample(self, sample: Sample, at: _At) -> None:
        if _is_missing(sample):
            self._set_quality(worst(sample.quality, Quality.UNCERTAIN), at)
            if self.state.filter.known_ns is not None:
                self.state = replace(self.state, filter=replace(self.state.filter, known_ns=None))
            self._fire(Trigger.MISSING, at)
            return
        self._set_quality(sample.quality, at)
        active = self.state.condition in ACTIVE
        moved = _advance(self.state.filter, self.spec, at, sample, active=active)
        self.state = replace(self.state, filter=moved, value=sample.value)
        if moved.pending_ns is None or moved.pending_ns < (self.spec.off_delay_ns if active else self.spec.on_delay_ns):
            return
        self._fire(self.spec.clear if active else Trigger.RAISE, at)
        self.state = replace(self.state, filter=replace(moved, pending_ns=None, pending_wall_ns=None))
        if active:
            self._shelf(Shelve.RETURNED, at)
        else:
            self._count_raise(at)

    def _set_quality(self, quality: Quality, at: _At) -> None:
        """Worse counts at once; from uncertain to good only after it has held, so that flicker does not flood the topic."""
        state = self.state
        if quality is state.quality:
            if state.better_since_ns is not None:
                self.state = replace(state, better_since_ns=None)
            return
        if state.quality is Quality.UNCERTAIN and quality is Quality.GOOD:
            since_ns = at.now_ns if state.better_since_ns is None else state.better_since_ns
            if at.now_ns - since_ns < self.spec.quality_hold_ns:
                self.state = replace(state, better_since_ns=since_ns)
                return
        self.state = replace(state, quality=quality, better_since_ns=None)
        self._record("QUALITY", state, at)

    def _severity(self, severity: int | None, at: _At) -> None:
        if severity is not None and not 1 <= severity <= 1000:
            raise ValueError(f"severity {severity} is not in 1..1000")
        before = self.state
        old, new = before.severity_override or self.spec.severity, severity or self.spec.severity
        self.state = replace(before, severity_override=severity)
        if new != old:
            self._record("SEVERITY", before, at)
        if new > old:
            self._fire(Trigger.ESCALATE, at)

    def _count_raise(self, at: _At) -> None:
        """The chatter guard: so many raises in so short a time mean that the alarm, not the plant, needs attention."""
        spec, before = self.spec, self.state
        raises_ns = (*before.raises_ns, at.now_ns)[-spec.chatter_count :]
        chattering = len(raises_ns) == spec.chatter_count and at.now_ns - raises_ns[0] <= spec.chatter_window_ns
        self.state = replace(before, raises_ns=raises_ns, chattering=chattering)
        if chattering and not before.chattering:
            self._record("CHATTERING", before, at)
        if chattering and spec.chatter_shelve_ns and not self.state.availability.hidden:
            self._shelf(Shelve.SHELVE, at, spec.chatter_shelve_ns, SYSTEM_USER, "chattering")

    def _timers(self, at: _At) -> None:
        state = self.state
        if state.chattering and at.now_ns - state.raises_ns[0] > self.spec.chatter_window_ns:
            self.state = replace(state, chattering=False)
            self._record("CHATTER_END", state, at)
        until_ns = state.availability.shelved_until_ns
        if until_ns is not None and at.now_ns >= until_ns:
            self._shelf(Shelve.EXPIRE, at)
        re_alarm_ns = self.state.re_alarm_ns
        if re_alarm_ns is not None and at.now_ns >= re_alarm_ns:
            self._fire(Trigger.RE_ALARM, at)

    # -- commands ------------------------------------------------------------------------------------------------------------

    def _ack(self, command: AlarmCommand, at: _At) -> None:
        if not command.occurrence_id:
            raise _Refusal(Code.BAD_REQUEST, "name the occurrence: acknowledging needs its occurrence_id")
        self._is_current(command.occurrence_id)
        self._fire(Trigger.ACK, at, command.user, command.comment)

    def _reset(self, command: AlarmCommand, at: _At) -> None:
        if command.occurrence_id:
            self._is_current(command.occurrence_id)
        filtered = self.state.filter
        if filtered.known_ns is None or filtered.window[-1]:
            raise _Refusal(Code.NOT_ALLOWED, "the condition is not known to be false; reset it when it is")
        self._fire(Trigger.RESET, at, command.user, command.comment)

    def _is_current(self, occurrence_id: str) -> None:
        current = self.state.occurrence.id if self.state.occurrence else None
        if occurrence_id != current:
            raise _Refusal(
                Code.STALE_OCCURRENCE, f"occurrence {occurrence_id} is not the newest; that is {current or 'none'}"
            )

    def _shelve(self, command: AlarmCommand, at: _At) -> None:
        longest_ns, duration_ns = self.spec.max_shelve_ns, command.duration_ns
        if not command.comment.strip():
            raise _Refusal(Code.BAD_REQUEST, "give a reason: shelving needs one in comment")
        if longest_ns == 0:
            raise _Refusal(Code.NOT_ALLOWED, "this alarm may not be shelved")
        if duration_ns is None and not command.one_shot:
            raise _Refusal(Code.BAD_REQUEST, "give duration_s, or one_shot")
        if duration_ns is not None and not 0 < duration_ns <= longest_ns:
            raise _Refusal(Code.BAD_REQUEST, f"shelve for more than 0 and at most {longest_ns / NS_PER_S:g} s")
        event = Shelve.SHELVE_ONE_SHOT if command.one_shot else Shelve.SHELVE
        self._shelf(event, at, duration_ns or longest_ns, command.user, command.comment)

    def _unshelve(self, command: AlarmCommand, at: _At) -> None:
        self._shelf(Shelve.UNSHELVE, at, None, command.user, command.comment)

    def _suppress(self, command: AlarmCommand, at: _At) -> None:
        switch = Switch[command.verb.name]
        step, hiding = SUPPRESSION[self.state.availability.suppressed][switch], self.state.availability
        if step.to is not hiding.suppressed:
            changed = replace(hiding, suppressed=step.to, cause=command.cause)
            self._hide(switch.value, changed, at, command.user, command.comment)

    def _service(self, command: AlarmCommand, at: _At) -> None:
        if command.verb is Verb.OUT_OF_SERVICE and not command.comment.strip():
            raise _Refusal(Code.BAD_REQUEST, "give a reason: taking an alarm out of service needs one in comment")
        switch = Switch[command.verb.name]
        step, hiding = OUT_OF_SERVICE[self.state.availability.out_of_service][switch], self.state.availability
        if step.refused:
            raise _Refusal(Code.NOT_ALLOWED, f"the alarm is already {'out of' if step.to else 'in'} service")
        self._hide(switch.value, replace(hiding, out_of_service=step.to), at, command.user, command.comment)

    # -- moving through the tables -------------------------------------------------------------------------------------------

    def _fire(self, trigger: Trigger, at: _At, user: str | None = None, comment: str | None = None) -> None:
        """Move the condition by one cell of the table."""
        before = self.state
        step = TRANSITIONS[before.condition][trigger]
        if step.refused:
            raise _Refusal(Code.NOT_ALLOWED, f"{trigger.value} does nothing in {before.condition.value}")
        if step.to is before.condition and not step.effects:
            return
        occurrence = before.occurrence
        if Effect.NEW_OCCURRENCE in step.effects:
            occurrence = Occurrence(self._new_id(at.wall_ns), before.filter.pending_wall_ns or at.wall_ns, at.wall_ns)
        if occurrence and Effect.STAMP_CLEAR in step.effects:
            occurrence = replace(occurrence, cleared_wall_ns=at.wall_ns)
        if occurrence and Effect.STAMP_ACK in step.effects:
            occurrence = replace(occurrence, acked_wall_ns=at.wall_ns, ack_user=user, ack_comment=comment)
        again = step.to is Condition.ACK_ALM and self.spec.re_alarm_ns
        re_alarm_ns = at.now_ns + self.spec.re_alarm_ns if again else None
        self.state = replace(before, condition=step.to, occurrence=occurrence, re_alarm_ns=re_alarm_ns)
        self._record(trigger.value, before, at, user, comment, annunciate=Effect.ANNUNCIATE in step.effects)

    def _shelf(
        self, event: Shelve, at: _At, duration_ns: int | None = None, user: str | None = None, reason: str | None = None
    ) -> None:
        """Move the shelving by one cell of its table."""
        hiding = self.state.availability
        step = SHELVING[hiding.shelving][event]
        if step.refused:
            raise _Refusal(Code.NOT_ALLOWED, "the alarm is not shelved")
        if step.to is hiding.shelving and duration_ns is None:
            return
        until_ns = None if duration_ns is None else at.now_ns + duration_ns
        until_wall_ns = None if duration_ns is None else at.wall_ns + duration_ns
        changed = replace(hiding, shelving=step.to, shelved_until_ns=until_ns, shelved_until_wall_ns=until_wall_ns)
        self._hide(event.value, changed, at, user, reason)

    def _hide(self, trigger: str, availability: Availability, at: _At, user: str | None, reason: str | None) -> None:
        """Change what hides the alarm; if nothing does any more, it is evaluated again."""
        before = self.state
        self.state = replace(before, availability=replace(availability, user=user, reason=reason))
        self._record(trigger, before, at, user, reason)
        if not availability.hidden:
            self._fire(Trigger.SHOW_BLIND if before.filter.known_ns is None else Trigger.SHOW, at)

    def _record(
        self,
        trigger: str,
        before: AlarmState,
        at: _At,
        user: str | None = None,
        comment: str | None = None,
        *,
        annunciate: bool = False,
    ) -> None:
        state = self.state
        self._out.append(
            Transition(
                alarm_id=self.spec.id,
                trigger=trigger,
                before=before.name,
                after=state.name,
                condition=state.condition,
                occurrence_id=state.occurrence.id if state.occurrence else None,
                severity=state.severity_override or self.spec.severity,
                quality=state.quality,
                annunciate=annunciate and not state.availability.hidden,
                now_ns=at.now_ns,
                wall_ns=at.wall_ns,
                user=user,
                comment=comment,
            )
        )

    def _collect(self) -> tuple[Transition, ...]:
        happened = tuple(self._out)
        self._out.clear()
        return happened


_COMMANDS: dict[Verb, Callable[[Alarm, AlarmCommand, _At], None]] = {
    Verb.ACK: Alarm._ack,  # noqa: SLF001 - the class's own dispatch table
    Verb.RESET: Alarm._reset,  # noqa: SLF001 - likewise
    Verb.SHELVE: Alarm._shelve,  # noqa: SLF001 - likewise
    Verb.UNSHELVE: Alarm._unshelve,  # noqa: SLF001 - likewise
    Verb.SUPPRESS: Alarm._suppress,  # noqa: SLF001 - likewise
    Verb.UNSUPPRESS: Alarm._suppress,  # noqa: SLF001 - likewise
    Verb.OUT_OF_SERVICE: Alarm._service,  # noqa: SLF001 - likewise
    Verb.IN_SERVICE: Alarm._service,  # noqa: SLF001 - likewise
}


def _named(command: AlarmCommand) -> AlarmCommand:
    if not command.user.strip():
        raise _Refusal(Code.BAD_REQUEST, "name the user: the user is empty")
    return command


def _is_missing(sample: Sample) -> bool:
    """Whether it knows nothing of the condition."""
    return sample.verdict is Verdict.UNKNOWN or sample.quality.rank >= Quality.STALE.rank


def _advance(old: Filter, spec: AlarmSpec, at: _At, sample: Sample, *, active: bool) -> Filter:
    """One known sample later: the window slides if the sample is news, and known time counts towards a change that the samples ask for."""
    fault = sample.verdict is Verdict.FAULT
    news = sample.fresh or old.window[-1:] != (fault,)  # another verdict is news, whatever confirms it
    window = (*old.window, fault)[-spec.m :] if news else old.window[-spec.m :]
    if (sum(window) >= spec.n) is active:
        return Filter(window, None, None, at.now_ns)
    if old.pending_ns is None:
        return Filter(window, 0, at.wall_ns, at.now_ns)
    gone_ns = 0 if old.known_ns is None else max(0, at.now_ns - old.known_ns)
    return Filter(window, old.pending_ns + gone_ns, old.pending_wall_ns, at.now_ns)
