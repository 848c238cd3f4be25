"""Another list of alarms: what stays goes on, what goes comes back as it was until the list is settled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from edge.alarm.annunciator import Annunciator
from edge.alarm.entry import AlarmEntry, Context
from edge.alarm.machine import Alarm, Transition
from edge.alarm.record import AlarmStateRecord, ConditionRecord
from edge.alarm.state import AlarmSpec
from edge.frame import Evidence, Quality, Verdict
from edge.publish.entry import Entry, PlainState, StateRecord
from edge.publish.publisher import Policy, Publisher
from edge.wire.command import Request
from edge.wire.message import timestamp
from edge.wire.messages import Asset
from edge.wire.requests import Command
from edge.wire.verbs import Verb

S = 1_000_000_000
WALL_NS = 1_800_000_000 * S
CONTEXT = Context("m", "0" * 64, Asset(path="", rds_pp=""))
FAULT, OK = Evidence(Verdict.FAULT, 1.0, Quality.GOOD), Evidence(Verdict.OK, 0.0, Quality.GOOD)


def entry(name: str, group: str | None = None, **spec: Any) -> AlarmEntry:
    """A plain alarm."""
    return AlarmEntry(
        AlarmSpec(name, severity=500, off_delay_ns=0, **spec), "process", name, "Look", "Scrap", None, None, group=group
    )


class Desk:
    """Alarms, their time, and what was recorded and sent of them."""

    def __init__(self, entries: Sequence[AlarmEntry], restored: dict[str, Any] | None = None) -> None:
        self.now_ns = 0
        self.kept: dict[str, Any] = dict(restored or {})
        self.entries: list[Entry] = []
        self.events: list[tuple[str, str]] = []
        self.cleared: list[str] = []
        ids = iter(range(1000))
        self.publisher = Publisher(
            prefix="p",
            session="s",
            epoch=1,
            policy=Policy(every_frame=False, flag_repeat_ns=0, value_min_interval_ns=0, value_deadband=0.0),
            send=lambda message: self.cleared.append(message.topic) if not message.payload else None,
            record=self._record,
            on_acknowledged=lambda _camera, _age_ns: None,
        )
        self.alarms = Annunciator(
            entries, self.publisher, CONTEXT, new_id=lambda _wall: f"id{next(ids)}", start_ns=0, restored=restored
        )

    def _record(self, recorded: Entry) -> None:
        self.entries.append(recorded)
        self.events += [(event.subject, event.what) for event in recorded.events]
        for name, state in recorded.kept.items():
            if state is None:
                self.kept.pop(name, None)
            else:
                self.kept[name] = json.loads(json.dumps(state.to_dict()))

    def see(self, name: str, *evidence: Evidence) -> None:
        """Samples, a second apart."""
        for item in evidence:
            self.now_ns += S
            self.alarms.sample(name, item, self.now_ns, WALL_NS + self.now_ns)

    def reconfigure(self, *entries: AlarmEntry) -> None:
        """A reload."""
        self.alarms.reconfigure(entries, CONTEXT, self.now_ns, WALL_NS + self.now_ns)

    def do(self, verb: Verb, name: str, **fields: Any) -> str:
        """A command; its code."""
        command = Command(request_id="r", issued_at=timestamp(WALL_NS), user="op", alarm_id=name, **fields)
        return self.alarms.command(Request(verb, command), self.now_ns, WALL_NS + self.now_ns).code

    def shown(self, name: str) -> tuple[str, str | None, str, bool]:
        """State, occurrence, quality and first-out mark of an alarm."""
        for record in self.alarms.conditions(WALL_NS + self.now_ns):
            if (said := record.message()).id == name:
                return said.state, said.occurrence_id, said.quality.value, said.first_out
        raise AssertionError(f"no alarm {name}")


@pytest.fixture
def desk() -> Desk:
    """Two alarms of one group, of which the first came first, went and waits for an operator."""
    desk = Desk([entry("a", "pump"), entry("b", "pump")])
    desk.see("a", FAULT)
    desk.see("b", FAULT)
    desk.see("a", OK)
    assert desk.shown("a") == ("RTN_UNACK", "id0", "good", True)
    return desk


def test_what_went_comes_back_as_it_was(desk: Desk) -> None:
    """State, occurrence, kept row and first-out mark; its data are stale, because nobody looked meanwhile."""
    desk.reconfigure(entry("b", "pump"))
    assert "a" not in desk.alarms
    assert "alarm/a" in desk.kept
    desk.reconfigure(entry("a", "pump"), entry("b", "pump"))
    assert desk.shown("a") == ("RTN_UNACK", "id0", "stale", True)
    assert not desk.alarms.forget_removed(desk.now_ns)
    assert {"alarm/a", "alarm/b"} <= desk.kept.keys()
    assert desk.events[-2:] == [("a", "removed"), ("a", "restored")]
    desk.publisher.resume((), desk.now_ns)
    assert desk.cleared == []


def test_a_whole_group_comes_back_with_its_mark(desk: Desk) -> None:
    """Also when nobody of it was left; a reload with nothing of it in between changes nothing."""
    desk.reconfigure(entry("c"))
    desk.reconfigure(entry("a", "pump"), entry("b", "pump"))
    assert (desk.shown("a")[3], desk.shown("b")[3]) == (True, False)
    assert desk.shown("b")[:2] == ("UNACK_ALM", "id1")


def test_what_went_is_forgotten_once_the_list_is_settled(desk: Desk) -> None:
    """Its row goes and the broker's copy is cleared; should it come again, it begins anew."""
    desk.reconfigure(entry("b", "pump"))
    assert desk.alarms.forget_removed(desk.now_ns)
    assert "alarm/a" not in desk.kept
    desk.publisher.resume((), desk.now_ns)
    assert "p/alarm/a" in desk.cleared
    desk.reconfigure(entry("a", "pump"), entry("b", "pump"))
    assert desk.shown("a")[:2] == ("NORM", None)


def test_what_only_the_trial_had_goes_when_it_is_taken_back(desk: Desk) -> None:
    """It was never anybody else's."""
    desk.reconfigure(entry("b", "pump"), entry("new"))
    desk.see("new", FAULT)
    desk.reconfigure(entry("a", "pump"), entry("b", "pump"))
    assert desk.alarms.forget_removed(desk.now_ns)
    assert desk.kept.keys() & {"alarm/a", "alarm/b", "alarm/new"} == {"alarm/a", "alarm/b"}
    desk.publisher.resume((), desk.now_ns)
    assert [topic for topic in desk.cleared if topic.startswith("p/alarm/")] == ["p/alarm/new"]


def test_a_restart_during_the_trial_still_has_the_state(desk: Desk) -> None:
    """The row is there until the trial is over, for a start with the former site file."""
    desk.reconfigure(entry("b", "pump"))
    again = Desk([entry("a", "pump"), entry("b", "pump")], desk.kept)
    assert again.shown("a")[:2] == ("RTN_UNACK", "id0")


def test_shelving_and_delays_of_what_went(desk: Desk) -> None:
    """A shelf runs out by its own time meanwhile; a delay does not count time that nobody saw."""
    desk.reconfigure(entry("a", "pump"), entry("slow", on_delay_ns=5 * S))
    assert desk.do(Verb.SHELVE, "a", duration_s=10.0, comment="x") == "ok"
    desk.see("slow", FAULT, FAULT, FAULT)
    desk.reconfigure(entry("c"))
    assert desk.do(Verb.UNSHELVE, "a") == "unknown_alarm"
    desk.now_ns += 60 * S
    desk.reconfigure(entry("a", "pump"), entry("slow", on_delay_ns=5 * S))
    desk.see("slow", FAULT, FAULT, FAULT)
    assert desk.shown("slow")[0] == "NORM"
    desk.see("slow", FAULT)
    assert desk.shown("slow")[0] == "UNACK_ALM"
    assert desk.shown("a")[0] == "SHELVED"
    desk.alarms.tick(desk.now_ns, WALL_NS + desk.now_ns)
    assert desk.shown("a")[0] == "RTN_UNACK"


def test_what_stands_is_told(desk: Desk) -> None:
    """Also when it is hidden; of an unknown one nothing stands."""
    assert [desk.alarms.is_active(name) for name in ("a", "b", "nobody")] == [False, True, False]
    assert desk.do(Verb.SHELVE, "b", duration_s=10.0, comment="x") == "ok"
    assert desk.alarms.is_active("b")


def test_what_waits_for_the_journal_can_be_looked_at_without_encoding_it() -> None:
    """One transition leaves its event, its condition and its state as records: a debugger shows their fields, and later moves change nothing."""
    desk = Desk([entry("a", "pump")])
    desk.see("a", FAULT)
    waiting, state = desk.entries[-1], desk.alarms._alarms["a"].state
    desk.do(Verb.ACK, "a", occurrence_id="id0")
    [_, event], [condition] = waiting.events, waiting.alarms
    assert (event.kind, event.subject, event.what, event.wall_ns) == ("alarm", "a", "NORM->UNACK_ALM", WALL_NS + S)
    assert isinstance(condition, ConditionRecord)
    assert (condition.entry.message, condition.shot.state, condition.shot.active) == ("a", "UNACK_ALM", True)
    expected: dict[str, StateRecord | None] = {
        "alarm/a": AlarmStateRecord(state, S, WALL_NS + S),
        "first-out": PlainState({"pump": {"first": "a", "standing": ["a"]}}),
    }
    assert waiting.kept == expected


def test_another_severity_is_said_at_once(desk: Desk) -> None:
    """A standing alarm that a reload makes graver calls for an operator again; one that an operator set keeps it."""
    assert desk.do(Verb.ACK, "b", occurrence_id="id1") == "ok"
    assert desk.shown("b")[0] == "ACK_ALM"
    desk.reconfigure(
        entry("a", "pump"),
        AlarmEntry(
            AlarmSpec("b", severity=900, off_delay_ns=0), "process", "b", "Look", "Scrap", None, None, group="pump"
        ),
    )
    assert desk.shown("b")[0] == "UNACK_ALM"
    assert desk.events[-1][0] == "b"
    said = len(desk.events)
    desk.reconfigure(
        entry("a", "pump"),
        AlarmEntry(
            AlarmSpec("b", severity=900, off_delay_ns=0), "process", "b", "Look", "Scrap", None, None, group="pump"
        ),
    )
    assert len(desk.events) == said


@pytest.mark.parametrize(
    ("name", "damaged", "subject"),
    [("alarm/a", {"condition": "ON FIRE"}, "a"), ("first-out", {"pump": {"marks": 7}}, "first-out")],
)
def test_a_kept_state_that_cannot_be_read_is_journalled_and_the_alarm_begins_anew(
    name: str, damaged: dict[str, Any], subject: str, desk: Desk
) -> None:
    """The disk said something else than was written: nobody is told that all is well because of it."""
    again = Desk([entry("a", "pump"), entry("b", "pump")], desk.kept | {name: damaged})
    assert (subject, "alarm_state") in again.events
    assert again.shown("b")[0] == "UNACK_ALM"
    assert again.shown("a")[0] == ("NORM" if subject == "a" else "RTN_UNACK")


def test_what_is_no_longer_an_alarm_at_a_start_is_forgotten(desk: Desk) -> None:
    """Its row goes, and the broker's copy with it."""
    again = Desk([entry("b", "pump")], desk.kept)
    assert "alarm/a" not in again.kept
    again.publisher.resume((), again.now_ns)
    assert "p/alarm/a" in again.cleared


def test_one_alarm_that_fails_holds_up_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timers of the others run out all the same; the failure is told, so that it becomes an alarm of its own."""
    for name in ("a", "b"):
        assert desk.do(Verb.SHELVE, name, duration_s=10.0, comment="x") == "ok"

    sound, spoiled = Alarm.tick, desk.alarms._alarms["a"]

    def tick(alarm: Alarm, now_ns: int, wall_ns: int) -> tuple[Transition, ...]:
        if alarm is spoiled:
            raise ZeroDivisionError("nobody thought of it")
        return sound(alarm, now_ns, wall_ns)

    monkeypatch.setattr(Alarm, "tick", tick)
    desk.now_ns += 60 * S
    with pytest.raises(ZeroDivisionError):
        desk.alarms.tick(desk.now_ns, WALL_NS + desk.now_ns)
    assert desk.shown("b")[0] == "UNACK_ALM"


def test_what_the_daemon_suppresses_has_a_cause_and_comes_back_with_its_end(desk: Desk) -> None:
    """Sensors behind a dead gateway: each is hidden with the reason, once, and shown again when the gateway is back."""
    assert desk.alarms.suppressed_because("a") is None
    desk.alarms.suppress("a", None, desk.now_ns, WALL_NS)
    assert desk.alarms.suppressed_because("a") is None
    desk.alarms.suppress("a", "the gateway is silent", desk.now_ns, WALL_NS)
    assert desk.alarms.suppressed_because("a") == "the gateway is silent"
    before = len(desk.entries)
    desk.alarms.suppress("a", "the gateway is silent", desk.now_ns, WALL_NS)
    assert len(desk.entries) == before, "once"
    desk.alarms.suppress("a", None, desk.now_ns, WALL_NS)
    assert desk.alarms.suppressed_because("a") is None


def test_what_an_operator_suppressed_stays_so_whatever_the_daemon_finds(desk: Desk) -> None:
    """People overrule the daemon."""
    assert desk.do(Verb.SUPPRESS, "a", comment="maintenance") == "ok"
    desk.alarms.suppress("a", "the gateway is silent", desk.now_ns, WALL_NS)
    assert desk.alarms.suppressed_because("a") is None
    desk.alarms.suppress("a", None, desk.now_ns, WALL_NS)
    assert desk.shown("a")[0] == "SUPPRESSED"


def test_an_alarm_that_is_not_there_has_no_subject(desk: Desk) -> None:
    """Neither camera nor occurrence."""
    assert desk.alarms.subject("nobody") is None
    assert desk.alarms.subject("a") is not None
