"""What holds over every sequence of samples, commands, timers and restarts of an alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.alarm.machine import Alarm, Code, Condition, Transition
from edge.alarm.table import ACTIVE
from edge.frame import Quality, worst
from edge.wire.verbs import STATE_VERBS, Verb
from tests.edge.alarm.bench import Bench, S

SPECS = st.fixed_dictionaries(
    {
        "on_delay_ns": st.sampled_from([0, S, 3 * S]),
        "off_delay_ns": st.sampled_from([0, S, 3 * S]),
        "re_alarm_ns": st.sampled_from([0, 5 * S]),
        "chatter_shelve_ns": st.sampled_from([0, 20 * S]),
        "max_shelve_ns": st.just(60 * S),
    }
)
CLASSES = st.sampled_from([{}, {"latching": True}, {"auto_ack": True}])
VOTES = st.sampled_from([(1, 1), (2, 3), (3, 5)])
PAUSES = st.sampled_from([0.0, 0.04, 1.0, 4.0, 30.0])

# How a condition may end; everything else that moves one is a fault of the machine.
WAYS_TO_NORM = {"CLEAR", "CLEAR_AUTO_ACK", "ACK", "RESET", "SHOW"}
WAYS_FROM_UNACK = {"ACK", "CLEAR", "CLEAR_LATCHING", "CLEAR_AUTO_ACK"}


class AlarmMachine(RuleBasedStateMachine):
    """An alarm that gets everything, and a twin that gets the same data and restarts, and nobody ever hides or touches it."""

    @initialize(spec=SPECS, kind=CLASSES, votes=VOTES)
    def start(self, spec: dict[str, int], kind: dict[str, bool], votes: tuple[int, int]) -> None:
        """A new alarm of any class."""
        known: dict[str, Any] = spec | kind | {"n": votes[0], "m": votes[1]}
        self.bench, self.twin = Bench(**known), Bench(**known)
        self.checked = 0
        self.condition = Condition.NORM

    @rule(
        letters=st.text("Fo", min_size=1, max_size=6),
        every_s=PAUSES,
        quality=st.sampled_from([Quality.GOOD, Quality.UNCERTAIN]),
    )
    def known(self, letters: str, every_s: float, quality: Quality) -> None:
        """Samples that know."""
        for bench in (self.bench, self.twin):
            bench.see(letters, every_s, quality)
        self.check_log()

    @rule(
        letters=st.text("Fo?", min_size=1, max_size=6),
        every_s=PAUSES,
        quality=st.sampled_from([Quality.STALE, Quality.BAD]),
    )
    def missing(self, letters: str, every_s: float, quality: Quality) -> None:
        """Samples that do not: whatever they say, the condition stands as it stood."""
        active, blind = self.bench.alarm.state.condition in ACTIVE, self.blind()
        before = self.bench.alarm.state.condition
        for bench in (self.bench, self.twin):
            bench.see(letters, every_s, quality)
        assert (self.bench.alarm.state.condition in ACTIVE) is active
        if blind and before is not Condition.NORM:
            assert self.bench.alarm.state.condition is not Condition.NORM
        self.check_log()

    @rule(seconds=PAUSES)
    def wait(self, seconds: float) -> None:
        """Time passes: timers hide, show and annunciate, and never raise or clear."""
        active = self.bench.alarm.state.condition in ACTIVE
        for bench in (self.bench, self.twin):
            bench.wait(seconds)
        assert (self.bench.alarm.state.condition in ACTIVE) is active
        self.check_log()

    @rule(
        verb=st.sampled_from(STATE_VERBS),
        changes=st.sampled_from([{}, {"user": ""}, {"occurrence_id": "id-1"}, {"one_shot": True}]),
    )
    def command(self, verb: Verb, changes: dict[str, Any]) -> None:
        """A person or a PLC asks; what is refused changes nothing, and nobody but data makes a condition active or not."""
        self.bench.wait(0.0)
        before = self.bench.alarm.state
        outcome = self.bench.do(verb.value, **changes)
        if outcome.code is not Code.OK:
            assert (self.bench.alarm.state, outcome.transitions) == (before, ())
        assert (self.bench.alarm.state.condition in ACTIVE) is (before.condition in ACTIVE)
        self.check_log()

    @rule(severity=st.one_of(st.none(), st.integers(1, 1000)))
    def severity(self, severity: int | None) -> None:
        """The severity changes."""
        self.bench.severity(severity)
        self.check_log()

    @rule(away_s=st.sampled_from([0.0, 1.0, 30.0, -5.0]))
    def restart(self, away_s: float) -> None:
        """The daemon restarts; the condition is what it was."""
        before = self.bench.alarm.state.condition
        for bench in (self.bench, self.twin):
            bench.restart(away_s)
        assert self.bench.alarm.state.condition is before

    @invariant()
    def the_hidden_alarm_runs_like_the_visible_one(self) -> None:
        """Hiding, acknowledging and restarting leave the condition's course alone."""
        assert (self.bench.alarm.state.condition in ACTIVE) is (self.twin.alarm.state.condition in ACTIVE)
        assert self.bench.triggers().count("RAISE") == self.twin.triggers().count("RAISE")

    @invariant()
    def saved_and_restored_it_is_the_same(self) -> None:
        """At any point: restored at once it is what it was, but that its data are stale."""
        bench = self.bench
        saved = bench.alarm.to_dict(bench.now_ns, bench.wall_ns)
        restored = Alarm.from_dict(bench.alarm.spec, bench.new_id, saved, bench.now_ns, bench.wall_ns)
        state = bench.alarm.state
        expected = replace(
            state,
            quality=worst(state.quality, Quality.STALE),
            better_since_ns=None,
            filter=replace(state.filter, known_ns=None),
        )
        assert restored.state == expected

    @invariant()
    def the_snapshot_agrees_with_itself(self) -> None:
        """Active, acknowledged and latched follow from the state; nothing hidden is annunciated; shelving always ends some time."""
        shown = self.bench.alarm.snapshot()
        hidden = shown.hidden
        assert not (shown.active and shown.latched)
        assert shown.annunciated is (not hidden and not shown.acked)
        assert hidden is (shown.state in {"OOS", "SUPPRESSED", "SHELVED"})
        assert (shown.shelved_until_wall_ns is None) is (shown.shelving.value == "Unshelved")
        assert (shown.occurrence_id is not None) or shown.condition is Condition.NORM

    def blind(self) -> bool:
        """Whether the newest sample knew nothing."""
        return self.bench.alarm.state.filter.known_ns is None

    def check_log(self) -> None:
        """Go through what happened since the last time."""
        for item in self.bench.log[self.checked :]:
            self.check_transition(item)
            self.condition = item.condition
        self.checked = len(self.bench.log)
        assert self.condition is self.bench.alarm.state.condition, "a condition moved without a transition"
        raised = [item.occurrence_id for item in self.bench.log if item.trigger == "RAISE"]
        assert len(set(raised)) == len(raised), "every occurrence has its own id"

    def check_transition(self, item: Transition) -> None:
        """No way to normal but the known ones; an unacknowledged alarm leaves only by a person or by its return."""
        if item.condition is Condition.NORM and self.condition is not Condition.NORM:
            assert item.trigger in WAYS_TO_NORM
        if item.condition is not Condition.UNACK_ALM and self.condition is Condition.UNACK_ALM:
            assert item.trigger in WAYS_FROM_UNACK
        if item.annunciate:
            assert item.after not in {"OOS", "SUPPRESSED", "SHELVED"}
        if item.trigger == "RAISE" and item.after == "UNACK_ALM":
            assert item.annunciate


AlarmMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAlarm = AlarmMachine.TestCase
