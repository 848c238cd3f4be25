"""A command is carried out by the one function of its verb, and answered once, at once or later; whatever is in it, frames go on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge.commands import Commands, answer, turn_away
from edge.wire.command import Request, accept, refuse
from edge.wire.envelope import Incoming
from edge.wire.message import timestamp
from edge.wire.requests import Command
from edge.wire.verbs import Verb
from tests.edge.bench import RED, WALL_NS, Bench


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("shelve", {"alarm_id": "nothing"}, "unknown_alarm"),
        ("ack", {"alarm_id": "red"}, "bad_request"),
        ("ack", {"alarm_id": "red", "occurrence_id": "id0"}, "ok"),
        ("ack", {"alarm_id": "red", "occurrence_id": "other"}, "stale_occurrence"),
        (
            "ack",
            {"alarm_id": "red", "occurrence_id": "id0", "issued_at": timestamp(WALL_NS - 60_000_000_000)},
            "expired",
        ),
        ("reset", {"alarm_id": "red"}, "not_allowed"),
        ("shelve", {"alarm_id": "red", "duration_s": 60.0}, "ok"),
        ("unshelve", {"alarm_id": "red"}, "not_allowed"),
        ("suppress", {"alarm_id": "red"}, "ok"),
        ("unsuppress", {"alarm_id": "red"}, "ok"),
        ("out_of_service", {"alarm_id": "red"}, "ok"),
        ("in_service", {"alarm_id": "red"}, "not_allowed"),
        ("rebirth", {}, "ok"),
        ("replay", {}, "ok"),
        ("snapshot", {"camera": "cam"}, "not_allowed"),
    ],
)
def test_every_command_is_answered_and_journalled(bench: Bench, verb: str, fields: dict[str, Any], code: str) -> None:
    """Each request gets one reply with a code, and the journal says who asked for what, why, and what came of it."""
    bench.frame(RED)
    reply = bench.command(verb, comment="because", **fields)
    assert (reply["code"], reply["ok"]) == (code, code == "ok")
    event = next(event for event in bench.take("event") if event["kind"] == "command")
    assert (event["subject"], event["what"], event["user"]) == (verb, code, "op")
    assert event["detail"].endswith(f"{code}. because")


@pytest.mark.parametrize(
    ("topic", "usable"),
    [
        ("scada/replies/7", True),
        ("edge/v1/n/res/mine", True),
        ("edge/v1/n/alarm/red", False),
        ("edge/v1/n/state", False),
        ("edge/v1/n/cmd/ack", False),
        ("edge/v1/other/cmd/ack", False),
        ("edge/v1/other/alarm/red", False),
        ("edge/v1/other/in/frame/cam1", False),
        ("edge/v1/other/res/mine", True),
        ("acme/north/other/cmd/reload", False),
        ("spBv1.0/g/NDEATH/n", False),
        ("scada/+/x", False),
        ("scada/#", False),
        ("$SYS/x", False),
        ("a\x00b", False),
        ("", False),
        ("x" * 600, False),
        ("a" + "/a" * 99, True),
        ("a" + "/a" * 100, False),
        ("a\x07b", False),
        ("a\x80b", False),
        ("a\ud800b", False),
    ],
)
def test_a_reply_goes_only_where_it_can_pass_for_nothing_else(bench: Bench, topic: str, usable: bool) -> None:  # noqa: FBT001 - a table's column
    """A response topic with wildcards, or on which something else is said, is not used: the reply comes on ours, and it is counted."""
    body = {"request_id": "r", "issued_at": timestamp(bench.time.wall_ns()), "user": "op"}
    payload = json.dumps(body).encode()
    bench.inbox.put_command(Incoming("p/cmd/rebirth", payload, False, 0, 0, response_topic=topic, correlation=b"7"))  # noqa: FBT003 - a record's field
    bench.turn()
    (reply,) = [message for message in bench.sent if message.correlation == b"7"]
    assert reply.topic == (topic if usable else "p/res/rebirth")
    assert bench.health.strays() == ({} if usable else {"bad_response_topic": 1})


def test_an_acknowledgement_says_whether_the_alarm_was_true(bench: Bench) -> None:
    """It is journalled beside the command; no other verb takes it."""
    bench.frame(RED)
    occurrence = bench.last("alarm/red")["occurrence_id"]
    assert bench.command("reset", alarm_id="red", valid=True)["code"] == "bad_request"
    reply = bench.command("ack", alarm_id="red", occurrence_id=occurrence, valid=False)
    assert (reply["ok"], reply["state"], reply["detail"]) == (True, "ACK_ALM", "labelled false")
    said = [event for event in bench.take("event") if event["what"] == "labelled false"]
    assert [(event["subject"], event["occurrence_id"], event["user"]) for event in said] == [("red", occurrence, "op")]


def test_a_reply_never_comes_back_as_an_input(bench: Bench) -> None:
    """A topic of a sensor, a camera or a gateway would take it for a value; also where no place is left."""
    asked = Incoming("p/cmd/ack", b'{"request_id": "r1"}', False, 0, 0, response_topic="plc/t", correlation=b"7")  # noqa: FBT003 - a record's field
    hearing = replace(bench.services, is_input=lambda topic: topic == "plc/t")
    Commands(hearing, dict.fromkeys(Verb, lambda *_: None)).take(asked, 0, 0)
    turn_away(bench.services.publisher, asked, "p", hearing.is_input)
    assert [message.topic for message in bench.sent if message.correlation == b"7"] == ["p/res/ack", "p/res/ack"]


@pytest.mark.parametrize("verb", ["explain", "reload"])
def test_no_answer_tells_where_files_lie(bench: Bench, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Neither of a request that was carried out nor of one that was refused, nor its event: only the last part of a path is told."""
    told = refuse(
        Command(request_id="r", issued_at="2026-11-23T22:00:00.000Z", user="op"),
        "not_allowed",
        f"{bench.site.bundle}: no such file",
    )
    handlers = bench.worker._commands._handlers
    monkeypatch.setitem(handlers, Verb(verb), lambda *_: told)
    reply = bench.command(verb, alarm_id="red", request_id="r")
    assert reply["detail"] == f"{bench.site.bundle.name}: no such file"  # type: ignore[union-attr] # there is a camera
    wrong = bench.command(verb, alarm_id="red", request_id="s", issued_at="/srv/edge/site.toml")
    assert "site.toml" in wrong["detail"]
    everything = [message.payload for message in bench.sent]
    assert not any(str(bench.site.bundle).encode() in payload or b"/srv/edge" in payload for payload in everything)


def test_a_repeated_command_is_answered_and_journalled_as_such(bench: Bench) -> None:
    """The second delivery of one request id changes nothing, and the journal does not hide it."""
    bench.frame(RED)
    for _ in range(2):
        bench.command("shelve", request_id="same", alarm_id="red", duration_s=60.0, comment="x")
    assert [reply["code"] for reply in bench.take("res/shelve")] == ["ok", "duplicate"]
    assert [event["what"] for event in bench.take("event") if event["kind"] == "command"] == ["ok", "duplicate"]


def put(bench: Bench, verb: str, payload: bytes, *, retained: bool = False) -> None:
    """Have a message come on a command's topic, as it is."""
    bench.inbox.put_command(Incoming(f"p/cmd/{verb}", payload, retained, 0, 0))
    bench.turn()


def test_a_command_that_cannot_be_read_is_answered_counted_and_journalled(bench: Bench) -> None:
    """On the response topic or on ours, with the request id that it names; only a copy that the broker kept is not answered."""
    put(bench, "ack", b"{}", retained=True)
    assert bench.take("res/ack") == []
    put(bench, "ack", b'{"request_id": "r7", rubbish')
    assert (bench.last("res/ack")["request_id"], bench.last("res/ack")["code"]) == ("r7", "bad_request")
    assert (bench.last("event")["kind"], bench.last("event")["what"]) == ("command", "bad_request")
    put(bench, "format_disk", b'{"request_id": "r8"}')
    assert (bench.last("res/format_disk")["request_id"], bench.last("res/format_disk")["ok"]) == ("r8", False)
    put(bench, "x" * 600, b'{"request_id": "r9"}')
    assert bench.health.strays() == {"retained_command": 1, "bad_command": 1, "unknown_verb": 2}
    assert [message.topic for message in bench.sent if "/res/" in message.topic] == ["p/res/ack", "p/res/format_disk"]


def test_a_command_too_many_is_told_to_come_again(bench: Bench) -> None:
    """At once and on its own response topic, also while the inference thread is busy."""
    incoming = Incoming("p/cmd/ack", b'{"request_id": "r1"}', False, 0, 0, response_topic="scada/7", correlation=b"c")  # noqa: FBT003 - a record's field
    turn_away(bench.services.publisher, incoming, "p")
    turn_away(bench.services.publisher, replace(incoming, response_topic="p/state"), "p")
    first, second = bench.sent[-2:]
    assert (first.topic, first.correlation, second.topic) == ("scada/7", b"c", "p/res/ack")
    assert json.loads(first.payload)["code"] == "busy"


IMPOSSIBLE = [
    ("ack", {"issued_at": "0001-01-01T00:00:00+01:00"}),
    ("shelve", {"comment": "x", "duration_s": 1e300}),
    ("shelve", {"comment": "x", "duration_s": 1e308}),
]


@pytest.mark.parametrize(("verb", "fields"), IMPOSSIBLE)
def test_a_command_of_impossible_numbers_is_refused(bench: Bench, verb: str, fields: dict[str, Any]) -> None:
    """It is answered, journalled with its user, and the next frame is judged."""
    bench.frame(RED)
    reply = bench.command(verb, alarm_id="red", **fields)
    assert (reply["ok"], reply["code"]) == (False, "bad_request")
    event = bench.last("event")
    assert (event["kind"], event["subject"], event["what"], event["user"]) == ("command", verb, "bad_request", "op")
    bench.frame(RED)
    assert bench.last("alarm/red")["state"] == "UNACK_ALM"


def test_a_command_that_nobody_thought_of_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails on the way, the command is counted, journalled and, where it can be, answered; frames go on."""
    monkeypatch.setitem(bench.worker._commands._handlers, Verb.ACK, lambda *_: 1 // 0)
    reply = bench.command("ack", alarm_id="red", occurrence_id="x")
    assert (reply["ok"], reply["code"]) == (False, "bad_request")
    assert "ZeroDivisionError" in reply["detail"]
    assert bench.last("event")["what"] == "bad_request"
    monkeypatch.setattr(bench.services.desk, "check", lambda *_, **__: 1 // 0)
    bench.inbox.put_command(Incoming("p/cmd/ack", b"{}", False, 0, 0))  # noqa: FBT003 - a record's field
    bench.turn()
    assert (bench.last("event")["kind"], bench.last("event")["what"]) == ("command", "bad_request")
    assert bench.health.strays() == {"command_failed": 2}
    bench.frame(RED)
    assert bench.last("alarm/red")["state"] == "UNACK_ALM"


def test_a_verb_that_nobody_carries_out_stops_the_start(bench: Bench) -> None:
    """The table is total: a new verb without its function is found before anything runs."""
    handlers: dict[Verb, Any] = dict.fromkeys(set(Verb) - {Verb.EXPLAIN, Verb.RELOAD})
    with pytest.raises(ValueError, match="nothing carries out explain, reload"):
        Commands(bench.services, handlers)


def test_an_answer_may_come_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then a repeated request learns that it is under way; afterwards it gets the answer, and nothing is executed twice."""
    begun: list[Request] = []

    def begin(request: Request, _now_ns: int, _now_wall_ns: int) -> None:
        begun.append(request)

    monkeypatch.setitem(bench.worker._commands._handlers, Verb.RELOAD, begin)
    with pytest.raises(IndexError):
        bench.command("reload", request_id="r")
    again = bench.command("reload", request_id="r")
    assert (again["ok"], again["code"]) == (False, "duplicate")
    assert "already answered: busy" in again["detail"]
    answer(bench.services, begun[0], accept(begun[0].command, "done"))
    assert (bench.last("res/reload")["ok"], bench.last("res/reload")["detail"]) == (True, "done")
    assert bench.command("reload", request_id="r")["detail"] == "already answered: ok"
    assert len(begun) == 1


def test_a_reload_that_cannot_begin_is_answered_at_once(bench: Bench) -> None:
    """With the reason that whoever begins it gives."""
    reply = bench.command("reload")
    assert (reply["ok"], reply["code"], reply["detail"]) == (False, "busy", "there is nothing to reload")


def test_a_clock_that_differs_from_the_operators_is_an_alarm(bench: Bench) -> None:
    """His commands are refused as expired, so the state must not say that all is well; a command on time ends it."""
    bench.turn()
    assert bench.last("alarm/node-clock")["state"] == "NORM"
    ahead = timestamp(bench.time.wall_ns() + 45 * 86_400 * 1_000_000_000)
    assert bench.command("rebirth", issued_at=ahead)["code"] == "expired"
    bench.idle(300)
    assert bench.last("alarm/node-clock")["state"] == "UNACK_ALM"
    assert any("clock" in reason for reason in bench.last("state")["reasons"])
    assert bench.command("rebirth")["ok"]
    bench.idle(1_500)
    assert bench.last("alarm/node-clock")["state"] == "RTN_UNACK"
