"""A trigger's payload: the part's id and when it was there; what cannot be read is a trigger that is answered as unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.errors import RejectedInput
from edge.frame import Recipe
from edge.intake.source import Source
from edge.intake.trigger_payload import trigger_of
from edge.site.settings import Site
from edge.wire.envelope import Incoming, Subscription

NOW_NS = 1_795_473_512_768_000_000  # 2026-11-23T22:38:32.768Z
TOPIC = "line3/part"


@pytest.mark.parametrize(
    ("payload", "pointer", "part"),
    [
        (b"4711", None, "4711"),
        (b'"A-7 / 3"', None, "A-7 / 3"),
        (b"\xef\xbb\xbf4711\x00\x00", None, "4711"),
        (b'{"part": "A7"}', "/part", "A7"),
        (b'{"part": 4711}', "/part", "4711"),
        (b'{"part": 4711.0}', "/part", "4711"),
        (b'{"s7": [{"sn": " A7 "}]}', "/s7/0/sn", "A7"),
        (b"4711", "", "4711"),
    ],
)
def test_the_id_is_the_payload_or_what_the_pointer_finds(payload: bytes, pointer: str | None, part: str) -> None:
    """Text or a whole number, without white space and the zeros of C's buffers around it."""
    assert trigger_of(payload, pointer, None, NOW_NS) == (part, None)


@pytest.mark.parametrize(
    ("told", "wall_ns"),
    [(1_795_473_512_500, NOW_NS - 268_000_000), ("2026-11-23T22:38:32.500Z", NOW_NS - 268_000_000)],
)
def test_the_time_is_that_of_the_trigger_itself(told: object, wall_ns: int) -> None:
    """In any of the forms that sensors may use."""
    body = json.dumps({"part": "A", "t": told}).encode()
    assert trigger_of(body, "/part", "/t", NOW_NS) == ("A", wall_ns)


@pytest.mark.parametrize(
    ("payload", "pointer", "time_pointer", "reason"),
    [
        (b"", None, None, "missing"),
        (b'{"part": null}', "/part", None, "missing"),
        (b'{"part": " "}', "/part", None, "missing"),
        (b'{"other": 1}', "/part", None, "missing"),
        (b'{"part": true}', "/part", None, "bad_part"),
        (b'{"part": 1.5}', "/part", None, "bad_part"),
        (b'{"part": ["A"]}', "/part", None, "bad_part"),
        (b'{"part": "A\\u0007"}', "/part", None, "bad_part"),
        (b"x" * 129, None, None, "bad_part"),
        (b"1" * 300, "", None, "bad_part"),
        (b'{"part": "A"}', None, None, "bad_part"),
        (b"rubbish", "/part", None, "not_json"),
        (b"\xff\xfe\x00", None, None, "not_text"),
        (b"x" * 70_000, None, None, "oversize_bytes"),
        (b'{"part": "A"}', "/part", "/t", "missing"),
        (b'{"part": "A", "t": "soon"}', "/part", "/t", "bad_time"),
        (b'{"part": "A", "t": 1795473515}', "/part", "/t", "bad_time"),
        (b'{"part": "A", "t": 7}', "/part", "/t", "bad_time"),
    ],
)
def test_what_names_no_part_or_no_time_is_refused(
    payload: bytes, pointer: str | None, time_pointer: str | None, reason: str
) -> None:
    """With a reason; a time by a clock that cannot be right is none, rather than now."""
    with pytest.raises(RejectedInput) as caught:
        trigger_of(payload, pointer, time_pointer, NOW_NS)
    assert caught.value.reason == reason


def source(*cameras: dict[str, Any]) -> Source:
    """Of a site with these cameras."""
    site = Site.model_validate({"bundle": "b", "node": {"id": "n"}, "cameras": cameras})
    return Source(site, {camera.id: 40.0 for camera in site.cameras})


def incoming(topic: str, payload: bytes, *, retained: bool = False, correlation: bytes | None = None) -> Incoming:
    """A message."""
    return Incoming(topic, payload, retained, 5_000, NOW_NS, correlation=correlation)


SHARED = {"topic": TOPIC, "pointer": "/part"}


def test_one_message_triggers_every_camera_of_its_topic() -> None:
    """Each its own; correlation data come along."""
    here = source({"id": "top", "trigger": SHARED}, {"id": "side", "trigger": SHARED}, {"id": "third", "trigger": {}})
    accepted = here.accept(incoming(TOPIC, b'{"part": "A"}', correlation=b"c1"))
    assert [(one.camera, one.part, one.correlation) for one in accepted.triggers] == [
        ("top", "A", "c1"),
        ("side", "A", "c1"),
    ]
    assert [one.camera for one in here.accept(incoming("edge/v1/n/in/trigger/third", b"B")).triggers] == ["third"]
    assert Subscription(TOPIC, 1, no_retained=True) in here.subscriptions()


def test_a_trigger_that_cannot_be_read_is_counted_and_still_a_trigger() -> None:
    """So that its sender gets an answer; one that the broker kept is counted only: its part is long gone."""
    here = source({"id": "top", "trigger": SHARED})
    accepted = here.accept(incoming(TOPIC, b"rubbish"))
    assert [(one.part, one.problem) for one in accepted.triggers] == [(None, "not_json")]
    assert [(one.reason, one.camera) for one in accepted.rejections] == [("not_json", None)]
    kept = here.accept(incoming(TOPIC, b'{"part": "A"}', retained=True))
    assert (kept.triggers, [one.reason for one in kept.rejections]) == ((), ["retained"])


def test_the_product_is_a_state_that_the_broker_may_keep() -> None:
    """A text, a number or a place in JSON; what cannot be read is counted, and changes nothing."""
    site = {"bundle": "b", "node": {"id": "n"}, "cameras": [{"id": "cam"}], "profiles": [{"id": "a"}]}
    plain = Source(Site.model_validate(site | {"changeover": {"topic": "plc/recipe"}}), {"cam": 40.0})
    assert plain.accept(incoming("plc/recipe", b"12", retained=True)).recipe == Recipe("12", retained=True)
    assert Subscription("plc/recipe", 1, no_retained=False) in plain.subscriptions()
    assert plain.is_subscribed("plc/recipe")
    pointed = Source(
        Site.model_validate(site | {"changeover": {"topic": "plc/recipe", "pointer": "/r"}}), {"cam": 40.0}
    )
    assert pointed.accept(incoming("plc/recipe", b'{"r": 12}')).recipe == Recipe("12")
    accepted = pointed.accept(incoming("plc/recipe", b"{}"))
    assert (accepted.recipe, [one.reason for one in accepted.rejections]) == (None, ["missing"])
