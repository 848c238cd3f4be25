"""What an operator says of an alarm, true or false, is journalled, survives a restart and reaches who counts false alarms."""

from __future__ import annotations

from typing import Any

import pytest

from edge.alarm.annunciator import Annunciator
from edge.alarm.entry import AlarmEntry, Context
from edge.alarm.labels import KEPT_LABEL, MAX_LABELS, Labels
from edge.alarm.state import AlarmSpec
from edge.frame import Evidence, Quality, Verdict
from edge.publish.entry import Entry
from edge.publish.publisher import Policy, Publisher
from edge.wire.command import Request
from edge.wire.messages import Asset
from edge.wire.requests import Command
from edge.wire.verbs import Verb

FAULT, OK = Evidence(Verdict.FAULT, 1.0, Quality.GOOD), Evidence(Verdict.OK, 0.0, Quality.GOOD)
ENTRY = AlarmEntry(AlarmSpec("crack", 500), "process", "m", "a", "c", None, None)


class Desk:
    """One alarm, its labels, and everything that was recorded."""

    def __init__(self, restored: dict[str, Any] | None = None) -> None:
        self.entries: list[Entry] = []
        self.heard: list[tuple[str, str, bool]] = []
        publisher = Publisher(
            prefix="p", session="s", epoch=1, policy=Policy(True, 0, 0, 0.0), send=lambda _message: 1,  # noqa: FBT003 - a record's fields
            record=self.entries.append, on_acknowledged=lambda _camera, _ns: None,
        )  # fmt: skip
        self.ids = iter(range(10_000))
        context = Context(None, None, Asset(path="", rds_pp=""))
        self.annunciator = Annunciator(
            [ENTRY], publisher, context, new_id=lambda _wall: f"id{next(self.ids):05}", start_ns=0
        )
        self.labels = Labels(self.annunciator, publisher, restored or {})
        self.labels.listen([self._hear])
        self.now_ns = 0

    def _hear(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> None:
        assert now_ns == self.now_ns
        self.heard.append((alarm_id, occurrence_id, valid))

    def raise_once(self) -> str:
        """The alarm returns, and comes again; returns the new occurrence."""
        for evidence in (OK, FAULT):
            self.now_ns += 1
            self.annunciator.sample("crack", evidence, self.now_ns, self.now_ns)
        found = self.annunciator.newest("crack")
        assert found is not None
        return found.id

    def ack(self, occurrence_id: str | None, *, valid: bool | None = None, alarm_id: str = "crack") -> tuple[bool, str]:
        """Acknowledge; returns whether that was accepted, and the detail."""
        command = Command(
            request_id="r", issued_at="2026-11-30T00:00:00Z", user="op", comment="why", alarm_id=alarm_id,
            occurrence_id=occurrence_id, valid=valid,
        )  # fmt: skip
        reply = self.labels.acknowledge(Request(Verb.ACK, command), self.now_ns, self.now_ns)
        return reply.ok, reply.detail

    def kept(self) -> dict[str, Any]:
        """The labels as they are kept now."""
        found: dict[str, Any] = {}
        for entry in self.entries:
            for name, state in entry.kept.items():
                if name.startswith(KEPT_LABEL):
                    found |= {name: None if state is None else state.to_dict()}
        return {name: body for name, body in found.items() if body is not None}


@pytest.mark.parametrize("valid", [True, False])
def test_a_label_is_journalled_kept_and_heard(valid: bool) -> None:  # noqa: FBT001 - a table's column
    """Beside the acknowledgement itself, with who said it and why."""
    desk = Desk()
    occurrence = desk.raise_once()
    word = "labelled true" if valid else "labelled false"
    assert desk.ack(occurrence, valid=valid) == (True, word)
    event = desk.entries[-1].events[0]
    assert (event.subject, event.what, event.occurrence_id, event.user, event.detail) == (
        "crack", word, occurrence, "op", "why",
    )  # fmt: skip
    assert desk.kept()[KEPT_LABEL + occurrence]["valid"] is valid
    assert desk.heard == [("crack", occurrence, valid)]


def test_what_is_acknowledged_already_can_still_be_labelled() -> None:
    """First it is seen, later it is known; the newest word counts."""
    desk = Desk()
    occurrence = desk.raise_once()
    assert desk.ack(occurrence) == (True, "")
    assert desk.kept() == {}
    assert not desk.ack(occurrence)[0]
    assert desk.ack(occurrence, valid=False)[0]
    assert desk.ack(occurrence, valid=True)[0]
    assert desk.kept()[KEPT_LABEL + occurrence]["valid"] is True
    assert len(desk.kept()) == 1


@pytest.mark.parametrize(("occurrence", "alarm"), [("id99", "crack"), (None, "crack"), ("id00000", "rust")])
def test_another_occurrence_or_alarm_takes_no_label(occurrence: str | None, alarm: str) -> None:
    """What the operator saw is not what is there now."""
    desk = Desk()
    desk.raise_once()
    assert not desk.ack(occurrence, valid=True, alarm_id=alarm)[0]
    assert desk.kept() == {}
    assert desk.heard == []


def test_an_alarm_that_never_came_takes_no_label() -> None:
    """There is no occurrence to speak of."""
    assert not Desk().ack("id00000", valid=True)[0]


def test_the_oldest_labels_give_way_also_those_of_an_earlier_start() -> None:
    """A disk is not filled by clicks."""
    earlier: dict[str, Any] = {f"{KEPT_LABEL}a{number:05}": {} for number in range(MAX_LABELS)}
    desk = Desk(earlier | {"alarm/crack": None})
    desk.ack(desk.raise_once(), valid=True)
    dropped = {name for entry in desk.entries for name, state in entry.kept.items() if state is None}
    assert dropped == {f"{KEPT_LABEL}a00000"}
