"""A command is executed at most once, and only while it is fresh."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge.errors import RejectedInput
from edge.site.sections import CommandSettings
from edge.wire.command import MAX_REMEMBERED, CommandDesk, Refused, Request, without_paths
from edge.wire.envelope import Incoming
from edge.wire.message import timestamp
from edge.wire.requests import Reply
from edge.wire.verbs import Verb

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


def check(desk: CommandDesk, verb: str, body: bytes, *, retained: bool = False) -> Request | Refused:
    """What the desk says of a message on a command's topic."""
    return desk.check(Incoming(f"p/cmd/{verb}", body, retained, 0, NOW_WALL_NS), NOW_WALL_NS)


def test_a_fresh_command_passes() -> None:
    """Verb, user, alarm and occurrence arrive as they were sent."""
    request = check(CommandDesk(), "ack", payload())
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
    check(desk, "ack", payload())
    desk.answered(Reply(request_id="r1", ok=True, code="ok", state="ACK_ALM"))
    again = check(desk, "ack", payload())
    assert isinstance(again, Refused)
    assert (again.reply.ok, again.reply.code, again.reply.state) == (True, "duplicate", "ACK_ALM")


@pytest.mark.parametrize(("age_s", "code"), [(31, "expired"), (-31, "expired"), (29, None), (-29, None)])
def test_only_fresh_commands_count(age_s: float, code: str | None) -> None:
    """A click that was stuck in a queue is refused, and so is one from the future."""
    found = check(CommandDesk(), "ack", payload(issued_at=timestamp(NOW_WALL_NS - round(age_s * 1e9))))
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
    found = check(CommandDesk(), "ack", payload(**changes))
    assert isinstance(found, Refused)
    assert (found.reply.ok, found.reply.code) == (False, code)


@pytest.mark.parametrize("verb", Verb)
def test_a_site_can_refuse_any_verb(verb: Verb) -> None:
    """What the site file refuses is answered so, whoever asks; the setting knows every verb, and nothing else."""
    settings = CommandSettings.model_validate({"refused": [verb.value]})
    found = check(CommandDesk(settings.refused), verb, payload())
    assert isinstance(found, Refused)
    assert (found.reply.code, "commands.refused" in found.reply.detail) == ("not_allowed", True)
    assert isinstance(check(CommandDesk(), verb, payload()), Request)
    with pytest.raises(ValidationError):
        CommandSettings.model_validate({"refused": ["format_disk"]})


@pytest.mark.parametrize(
    ("verb", "body", "request_id", "reason", "words"),
    [
        ("format_disk", payload(), "r1", "unknown_verb", "there are ack, reset"),
        ("ack", b"x" * 20_000, None, "oversize_command", "at most 16384"),
        ("ack", payload(comment="x" * 20_000), "r1", "oversize_command", "at most 16384"),
        ("ack", b"not json", None, "bad_command", "not JSON"),
        ("ack", payload()[:-1], "r1", "bad_command", "not JSON"),
        ("ack", payload(request_id=None), None, "bad_command", "request_id is missing"),
        ("ack", payload(request_id=""), None, "bad_command", "request_id"),
        ("ack", payload(request_id=[]), None, "bad_command", "request_id"),
        ("ack", payload(user=None), "r1", "bad_command", "user is missing"),
        ("ack", payload(user=""), "r1", "bad_command", "user is empty"),
        ("ack", payload(user="x" * 200), "r1", "bad_command", "user is too long; at most 128"),
        ("shelve", payload(duration_s=-1), "r1", "bad_command", "duration_s"),
        ("ack", payload(issued_at=True), "r1", "bad_command", "issued_at"),
        ("ack", payload().replace(b"op.meier", b"op.m\xfcller"), "r1", "bad_command", "send UTF-8"),
    ],
)
def test_what_cannot_be_carried_out_is_answered(
    verb: str, body: bytes, request_id: str | None, reason: str, words: str
) -> None:
    """With the request id that it names, and with what to send instead; counted by reason."""
    found = check(CommandDesk(), verb, body)
    assert isinstance(found, Refused)
    assert (found.verb, found.reply.request_id, found.reply.code) == (verb, request_id, "bad_request")
    assert found.reason == reason
    assert words in found.reply.detail


def test_what_the_broker_kept_is_not_answered() -> None:
    """A retained command is a replay of the past: nobody waits for its answer."""
    with pytest.raises(RejectedInput) as caught:
        check(CommandDesk(), "ack", payload(), retained=True)
    assert caught.value.reason == "retained_command"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/etc/edge/site.toml: node.id is missing", "site.toml: node.id is missing"),
        ("configuration '/srv/a/b.toml' and \"/x/y/z\"", "configuration 'b.toml' and \"z\""),
        ("topic edge/v1/n/alarm is ours", "topic edge/v1/n/alarm is ours"),
        ("5 m/s, and 1/2", "5 m/s, and 1/2"),
    ],
)
def test_where_files_lie_is_the_devices_own_business(text: str, said: str) -> None:
    """Of absolute paths in an answer only the last part is told; topics and units are no paths."""
    assert without_paths(text) == said


def test_the_memory_is_bounded() -> None:
    """A flood of commands forgets the oldest, not the newest."""
    desk = CommandDesk()
    for number in range(MAX_REMEMBERED + 10):
        desk.answered(Reply(request_id=str(number), ok=True, code="ok"))
    assert isinstance(check(desk, "ack", payload(request_id="5")), Request)
    assert isinstance(check(desk, "ack", payload(request_id=str(MAX_REMEMBERED + 9))), Refused)


@pytest.mark.parametrize(
    ("age_s", "differ"), [(-31, True), (31, False), (3_600, False), (3_700, True), (-3_888_000, True)]
)
def test_a_time_that_no_queue_explains_shows_a_wrong_clock(age_s: float, differ: bool) -> None:  # noqa: FBT001 - a table's column
    """From the future, or older than a broker keeps anything; the refusal tells the device's time, and one that is right ends the doubt."""
    desk = CommandDesk()
    found = check(desk, "ack", payload(issued_at=timestamp(NOW_WALL_NS - round(age_s * 1e9))))
    assert isinstance(found, Refused)
    assert timestamp(NOW_WALL_NS) in found.reply.detail
    assert (desk.clocks_differ_ns is not None) == differ
    check(desk, "ack", payload(request_id="r2"))
    assert desk.clocks_differ_ns is None
