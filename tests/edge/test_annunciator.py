"""Another list of alarms: what stays goes on, what goes comes back as it was until the list is settled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from edge.alarm.state import AlarmSpec
from edge.annunciator import AlarmEntry, Annunciator, Context
from edge.command import Request, Verb
from edge.frame import Evidence, Quality, Verdict
from edge.messages import Asset, Command, timestamp
from edge.outbox import Entry
from edge.publish import Policy, Publisher

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
        self.events += [(event.subject, event.what) for build in recorded.events if (event := build())]
        for name, build_kept in recorded.kept.items():
            if build_kept is None:
                self.kept.pop(name, None)
            else:
                self.kept[name] = json.loads(json.dumps(build_kept()))

    def see(self, name: str, *evidence: Evidence) -> None:
        """Samples, a second apart."""
        for item in evidence:
            self.now_ns += S
            self.alarms.sample(name, item, self.now_ns, WALL_NS + self.now_ns)

    def adopt(self, *entries: AlarmEntry) -> None:
        """A reload."""
        self.alarms.adopt(entries, CONTEXT, self.now_ns, WALL_NS + self.now_ns)

    def do(self, verb: Verb, name: str, **fields: Any) -> str:
        """A command; its code."""
        command = Command(request_id="r", issued_at=timestamp(WALL_NS), user="op", alarm_id=name, **fields)
        return self.alarms.command(Request(verb, command), self.now_ns, WALL_NS + self.now_ns).code

    def shown(self, name: str) -> tuple[str, str | None, str, bool]:
        """State, occurrence, quality and first-out mark of an alarm."""
        for build in self.alarms.conditions(WALL_NS + self.now_ns):
            if (said := build()).id == name:
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
    desk.adopt(entry("b", "pump"))
    assert "a" not in desk.alarms
    assert "alarm/a" in desk.kept
    desk.adopt(entry("a", "pump"), entry("b", "pump"))
    assert desk.shown("a") == ("RTN_UNACK", "id0", "stale", True)
    assert not desk.alarms.settle(desk.now_ns)
    assert {"alarm/a", "alarm/b"} <= desk.kept.keys()
    assert desk.events[-2:] == [("a", "removed"), ("a", "restored")]
    desk.publisher.resume((), desk.now_ns)
    assert desk.cleared == []


def test_a_whole_group_comes_back_with_its_mark(desk: Desk) -> None:
    """Also when nobody of it was left; a reload with nothing of it in between changes nothing."""
    desk.adopt(entry("c"))
    desk.adopt(entry("a", "pump"), entry("b", "pump"))
    assert (desk.shown("a")[3], desk.shown("b")[3]) == (True, False)
    assert desk.shown("b")[:2] == ("UNACK_ALM", "id1")


def test_what_went_is_forgotten_once_the_list_is_settled(desk: Desk) -> None:
    """Its row goes and the broker's copy is cleared; should it come again, it begins anew."""
    desk.adopt(entry("b", "pump"))
    assert desk.alarms.settle(desk.now_ns)
    assert "alarm/a" not in desk.kept
    desk.publisher.resume((), desk.now_ns)
    assert "p/alarm/a" in desk.cleared
    desk.adopt(entry("a", "pump"), entry("b", "pump"))
    assert desk.shown("a")[:2] == ("NORM", None)


def test_what_only_the_trial_had_goes_when_it_is_taken_back(desk: Desk) -> None:
    """It was never anybody else's."""
    desk.adopt(entry("b", "pump"), entry("new"))
    desk.see("new", FAULT)
    desk.adopt(entry("a", "pump"), entry("b", "pump"))
    assert desk.alarms.settle(desk.now_ns)
    assert desk.kept.keys() & {"alarm/a", "alarm/b", "alarm/new"} == {"alarm/a", "alarm/b"}
    desk.publisher.resume((), desk.now_ns)
    assert [topic for topic in desk.cleared if topic.startswith("p/alarm/")] == ["p/alarm/new"]


def test_a_restart_during_the_trial_still_has_the_state(desk: Desk) -> None:
    """The row is there until the trial is over, for a start with the former site file."""
    desk.adopt(entry("b", "pump"))
    again = Desk([entry("a", "pump"), entry("b", "pump")], desk.kept)
    assert again.shown("a")[:2] == ("RTN_UNACK", "id0")


def test_shelving_and_delays_of_what_went(desk: Desk) -> None:
    """A shelf runs out by its own time meanwhile; a delay does not count time that nobody saw."""
    desk.adopt(entry("a", "pump"), entry("slow", on_delay_ns=5 * S))
    assert desk.do(Verb.SHELVE, "a", duration_s=10.0, comment="x") == "ok"
    desk.see("slow", FAULT, FAULT, FAULT)
    desk.adopt(entry("c"))
    assert desk.do(Verb.UNSHELVE, "a") == "unknown_alarm"
    desk.now_ns += 60 * S
    desk.adopt(entry("a", "pump"), entry("slow", on_delay_ns=5 * S))
    desk.see("slow", FAULT, FAULT, FAULT)
    assert desk.shown("slow")[0] == "NORM"
    desk.see("slow", FAULT)
    assert desk.shown("slow")[0] == "UNACK_ALM"
    assert desk.shown("a")[0] == "SHELVED"
    desk.alarms.tick(desk.now_ns, WALL_NS + desk.now_ns)
    assert desk.shown("a")[0] == "RTN_UNACK"


def test_what_stands_is_told(desk: Desk) -> None:
    """Also when it is hidden; of an unknown one nothing stands."""
    assert [desk.alarms.stands(name) for name in ("a", "b", "nobody")] == [False, True, False]
    assert desk.do(Verb.SHELVE, "b", duration_s=10.0, comment="x") == "ok"
    assert desk.alarms.stands("b")
