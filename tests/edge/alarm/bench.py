"""An alarm on a bench: a fake clock, counted ids, and one line for each thing that can happen to it."""

from __future__ import annotations

from typing import Any

from edge.alarm.machine import Alarm, AlarmCommand, AlarmSpec, Code, Outcome, Sample, SetSeverity, Transition
from edge.frame import Quality, Verdict
from edge.wire.verbs import Verb

S = 1_000_000_000
WALL_NS = 1_790_000_000 * S  # so that monotonic and wall times cannot be mixed up unseen


class Bench:
    """One alarm and its clock; every transition is kept in ``log``."""

    def __init__(self, **spec: Any) -> None:
        self.alarm = Alarm(AlarmSpec("a", **({"off_delay_ns": 0} | spec)), self.new_id)
        self.now_ns = 0
        self.wall_offset_ns = WALL_NS
        self.ids = 0
        self.log: list[Transition] = []

    def new_id(self, wall_ns: int) -> str:
        """Ids that count up."""
        assert wall_ns > WALL_NS // 2
        self.ids += 1
        return f"id-{self.ids}"

    @property
    def wall_ns(self) -> int:
        """The wall time."""
        return self.wall_offset_ns + self.now_ns

    @property
    def state(self) -> str:
        """The derived state."""
        return self.alarm.state.name

    @property
    def occurrence(self) -> str:
        """The id of the newest occurrence."""
        assert self.alarm.state.occurrence is not None
        return self.alarm.state.occurrence.id

    def wait(self, seconds: float) -> tuple[Transition, ...]:
        """Let time pass and tick once."""
        self.now_ns += round(seconds * S)
        return self._keep(self.alarm.tick(self.now_ns, self.wall_ns))

    def see(self, verdicts: str, every_s: float = 1.0, quality: Quality = Quality.GOOD) -> str:
        """Samples, one a letter (F fault, o ok, ? unknown), the first now; returns the state."""
        for index, letter in enumerate(verdicts):
            self.now_ns += round(every_s * S) if index else 0
            verdict = {"F": Verdict.FAULT, "o": Verdict.OK, "?": Verdict.UNKNOWN}[letter]
            known = quality if verdict is not Verdict.UNKNOWN else Quality.STALE
            self._keep(self.alarm.step(Sample(verdict, known, 0.5), self.now_ns, self.wall_ns))
        return self.state

    def severity(self, severity: int | None) -> tuple[Transition, ...]:
        """Another severity."""
        return self._keep(self.alarm.step(SetSeverity(severity), self.now_ns, self.wall_ns))

    def do(self, verb: str, **changes: Any) -> Outcome:
        """A command that has everything it needs, unless changed."""
        needs: dict[str, Any] = {"user": "op", "comment": "because"}
        if verb == "ack":
            seen = self.alarm.state.occurrence
            needs["occurrence_id"] = seen.id if seen else "none"
        if verb == "shelve":
            needs["duration_ns"] = 60 * S
        outcome = self.alarm.command(AlarmCommand(Verb(verb), **(needs | changes)), self.now_ns, self.wall_ns)
        self._keep(outcome.transitions)
        return outcome

    def ok(self, verb: str, **changes: Any) -> str:
        """A command that must succeed; returns the state."""
        outcome = self.do(verb, **changes)
        assert outcome.code is Code.OK, outcome.detail
        return outcome.state

    def restart(self, away_s: float = 0.0, **spec: Any) -> None:
        """Save, be away, and start anew on another monotonic clock."""
        saved = self.alarm.to_dict(self.now_ns, self.wall_ns)
        wall_ns = self.wall_ns + round(away_s * S)
        self.now_ns = 7 * S
        self.wall_offset_ns = wall_ns - self.now_ns
        known = AlarmSpec("a", **spec) if spec else self.alarm.spec
        self.alarm = Alarm.from_dict(known, self.new_id, saved, self.now_ns, wall_ns)

    def triggers(self) -> list[str]:
        """What happened so far, quality aside."""
        return [item.trigger for item in self.log if item.trigger != "QUALITY"]

    def _keep(self, transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
        self.log += transitions
        return transitions
