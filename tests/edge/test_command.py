"""A command is executed at most once, and only while it is fresh."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge.command import MAX_REMEMBERED, CommandDesk, Refused, Request, Verb
from edge.errors import RejectedInput
from edge.messages import Reply, timestamp
from edge.sections import CommandSettings

NOW_WALL_NS = 1_800_000_000_000_000_000


def payload(**changes: Any) -> bytes:
    """A valid ack with changes."""
    base = {
        "schema": "edge.cmd/1",
        "request_id": "r1",
        "issued_at": timestamp(NOW_WALL_NS),
        "user": "op.meier",
        "alarm_id": "crack",
        "occurrence_id": "01",
    }
    return json.dumps({key: value for key, value in (base | changes).items() if value is not None}).encode()


def test_a_fresh_command_passes() -> None:
    """Verb, user, alarm and occurrence arrive as they were sent."""
    request = CommandDesk().check("ack", payload(), NOW_WALL_NS, retained=False)
    assert isinstance(request, Request)
    assert (request.verb, request.command.user, request.command.alarm_id, request.command.occurrence_id) == (
        "ack",
        "op.meier",
        "crack",
        "01",
    )


def test_a_repeated_request_is_answered_not_executed() -> None:
    """QoS 1 delivers twice; the second delivery gets the first one's outcome."""
    desk = CommandDesk()
    desk.check("ack", payload(), NOW_WALL_NS, retained=False)
    desk.answered(Reply(request_id="r1", ok=True, code="ok", state="ACK_ALM"))
    again = desk.check("ack", payload(), NOW_WALL_NS, retained=False)
    assert isinstance(again, Refused)
    assert (again.reply.ok, again.reply.code, again.reply.state) == (True, "duplicate", "ACK_ALM")


@pytest.mark.parametrize(("age_s", "code"), [(31, "expired"), (-31, "expired"), (29, None), (-29, None)])
def test_only_fresh_commands_count(age_s: float, code: str | None) -> None:
    """A click that was stuck in a queue is refused, and so is one from the future."""
    found = CommandDesk().check(
        "ack", payload(issued_at=timestamp(NOW_WALL_NS - round(age_s * 1e9))), NOW_WALL_NS, retained=False
    )
    assert (found.reply.code if isinstance(found, Refused) else None) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"alarm_id": None}, "bad_request"),
        ({"issued_at": "yesterday"}, "bad_request"),
        ({"issued_at": "2026-11-23T10:00:00"}, "bad_request"),
        ({"issued_at": "0001-01-01T00:00:00+01:00"}, "bad_request"),
        ({"issued_at": "9999-12-31T23:59:59-01:00"}, "bad_request"),
        ({"duration_s": 1e300}, "bad_request"),
    ],
)
def test_an_incomplete_command_is_answered(changes: dict[str, Any], code: str) -> None:
    """What has a request id gets a reply that says what is missing, also for times that no calendar holds."""
    found = CommandDesk().check("ack", payload(**changes), NOW_WALL_NS, retained=False)
    assert isinstance(found, Refused)
    assert (found.reply.ok, found.reply.code) == (False, code)


@pytest.mark.parametrize("verb", Verb)
def test_a_site_can_refuse_any_verb(verb: Verb) -> None:
    """What the site file refuses is answered so, whoever asks; the setting knows every verb, and nothing else."""
    settings = CommandSettings.model_validate({"refused": [verb.value]})
    found = CommandDesk(settings.refused).check(verb, payload(), NOW_WALL_NS, retained=False)
    assert isinstance(found, Refused)
    assert (found.reply.code, "commands.refused" in found.reply.detail) == ("not_allowed", True)
    assert isinstance(CommandDesk().check(verb, payload(), NOW_WALL_NS, retained=False), Request)
    with pytest.raises(ValidationError):
        CommandSettings.model_validate({"refused": ["format_disk"]})


@pytest.mark.parametrize(
    ("verb", "body", "retained", "reason"),
    [
        ("ack", payload(), True, "retained_command"),
        ("format_disk", payload(), False, "unknown_verb"),
        ("ack", b"x" * 20_000, False, "oversize_command"),
        ("ack", b"not json", False, "bad_command"),
        ("ack", payload(request_id=None), False, "bad_command"),
        ("ack", payload(surprise=1), False, "bad_command"),
        ("ack", payload(user=""), False, "bad_command"),
        ("shelve", payload(duration_s=-1), False, "bad_command"),
    ],
)
def test_what_cannot_be_answered_is_rejected(verb: str, body: bytes, retained: bool, reason: str) -> None:  # noqa: FBT001 - a test parameter
    """Replayed, unknown or malformed commands are counted by reason."""
    with pytest.raises(RejectedInput) as caught:
        CommandDesk().check(verb, body, NOW_WALL_NS, retained=retained)
    assert caught.value.reason == reason


def test_the_memory_is_bounded() -> None:
    """A flood of commands forgets the oldest, not the newest."""
    desk = CommandDesk()
    for number in range(MAX_REMEMBERED + 10):
        desk.answered(Reply(request_id=str(number), ok=True, code="ok"))
    assert isinstance(desk.check("ack", payload(request_id="5"), NOW_WALL_NS, retained=False), Request)
    assert isinstance(
        desk.check("ack", payload(request_id=str(MAX_REMEMBERED + 9)), NOW_WALL_NS, retained=False), Refused
    )
