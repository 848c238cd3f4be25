"""What a terminal shows: nothing that matters is hidden, and nothing that came in steers the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from edge.console.view import age_text, alarm_details, alarm_lines, event_csv, event_lines

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
STATE = {"online": True, "ne107": "G", "reasons": []}


def alarm(name: str, **changes: object) -> dict[str, Any]:
    """An alarm's message, at rest and known to be."""
    times = {"active": None, "acked": None, "cleared": None, "shelved_until": None, "published": "2026-11-30T11:00:00.000Z"}  # fmt: skip
    made: dict[str, Any] = {"id": name, "state": "NORM", "quality": "good", "severity": 500, "priority": "Medium"}
    made |= {"message": "m", "operator_action": "Look", "consequence": "c", "time": times, "chattering": False}
    made |= {
        "first_out": False,
        "kind": "process",
        "active": False,
        "value": 0.5,
        "threshold": None,
        "occurrence_id": None,
    }
    made |= {"ack": {"user": None, "comment": None}, "source": {"camera": "cam1"}, "asset": {"path": "", "rds_pp": ""}}
    return made | changes


def event(**changes: object) -> dict[str, Any]:
    """An event's message."""
    made: dict[str, Any] = {"ts": "2026-11-30T11:00:00.000Z", "epoch": 1, "seq": 1, "kind": "alarm", "subject": "red"}
    made |= {"what": "NORM->UNACK_ALM", "occurrence_id": None, "user": None, "detail": ""}
    return made | changes


def test_normal_without_good_data_is_shown() -> None:
    """Only what is known to be normal is left to a count."""
    lines = alarm_lines(STATE, [alarm("known"), alarm("unknown", quality="bad")], NOW)
    assert [line.split()[0] for line in lines[2:]] == ["unknown", "1"]
    assert lines[-1] == "1 more normal, see --all"
    assert len(alarm_lines(STATE, [alarm("known")], NOW, everything=True)) == 3


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (None, "-"),
        ("2026-11-30T12:00:00.000Z", "0 s"),
        ("2026-11-30T11:59:18.900Z", "41 s"),
        ("2026-11-30T11:56:48.000Z", "3 min 12 s"),
        ("2026-11-28T10:00:00.000Z", "2 d 2 h"),
        ("2026-11-30T13:00:00.000Z", "0 s"),  # the device's clock is ahead of ours
    ],
)
def test_an_age_has_its_two_largest_units(since: str | None, text: str) -> None:
    """For people."""
    assert age_text(since, NOW) == text


def test_one_alarm_says_what_to_do_and_who_acknowledged() -> None:
    """All of its message."""
    times = alarm("red")["time"] | {"active": "2026-11-30T11:00:00.000Z", "acked": "2026-11-30T11:10:00.000Z"}
    shown = "\n".join(alarm_details(alarm("red", time=times, ack={"user": "op", "comment": "seen"}), NOW))
    assert "operator action  Look" in shown
    assert "(age 1 h 0 min)" in shown
    assert "2026-11-30T11:10:00.000Z by op seen" in shown


def test_what_came_in_cannot_steer_the_terminal() -> None:
    """Escape sequences and line ends in a comment are shown as question marks."""
    lines = event_lines([event(detail="\x1b[2Jgone\nred NORM")])
    assert len(lines) == 2
    assert lines[1].endswith("?[2Jgone?red NORM")


def test_csv_runs_no_formula_in_a_spreadsheet() -> None:
    """Text that begins like one is quoted; a comma stays in its cell."""
    text = event_csv([event(detail='=HYPERLINK("x")', user="a, b")])
    head, row = text.splitlines()
    assert head == "ts,epoch,seq,kind,subject,what,occurrence_id,user,detail"
    assert row.endswith('''"a, b","'=HYPERLINK(""x"")"''')
