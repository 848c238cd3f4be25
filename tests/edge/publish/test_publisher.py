"""What is already known is not said again, and what could not be said is not forgotten."""

from __future__ import annotations

import json
from typing import Any

from edge.frame import Evidence, Frame, Quality, Stamps, Verdict
from edge.publish.entry import Entry
from edge.publish.publisher import Policy, Publisher
from edge.wire.envelope import Outgoing
from edge.wire.message import timestamp
from edge.wire.messages import AlarmSource, Explanation
from edge.wire.requests import Reply

MS = 1_000_000
FAULT = Evidence(Verdict.FAULT, 0.93, Quality.GOOD)
OK = Evidence(Verdict.OK, 0.1, Quality.GOOD)
UNKNOWN = Evidence(Verdict.UNKNOWN, None, Quality.STALE)


class Wire:
    """Stands where the connection is: keeps what was sent, and can be cut."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.recorded: list[Entry] = []
        self.up = True

    def send(self, message: Outgoing) -> int | None:
        """Take a message, unless cut."""
        if not self.up:
            return None
        self.sent.append(message)
        return len(self.sent)

    def take(self, topic: str) -> list[dict[str, Any]]:
        """The bodies sent on a topic so far, and forget everything."""
        found = [json.loads(message.payload) for message in self.sent if message.topic == f"edge/v1/n/{topic}"]
        self.sent.clear()
        return found


def publisher(wire: Wire, acknowledged: list[tuple[str, int]] | None = None, **changes: Any) -> Publisher:
    """A publisher on a wire, saying flags on change."""
    policy: dict[str, Any] = {
        "every_frame": False,
        "flag_repeat_ns": 0,
        "value_min_interval_ns": 500 * MS,
        "value_deadband": 0.02,
    }
    known = acknowledged if acknowledged is not None else []
    return Publisher(
        prefix="edge/v1/n",
        session="s",
        epoch=7,
        policy=Policy(**(policy | changes)),
        send=wire.send,
        record=wire.recorded.append,
        on_acknowledged=lambda *item: known.append(item),
    )


def frame(received_ms: int = 0, seq: int = 7) -> Frame:
    """A frame with 40 ms budget."""
    return Frame(
        "cam", seq, b"", received_ms * MS, 0, (received_ms + 40) * MS, captured_wall_ns=1_800_000_000_000_000_000
    )


def test_a_flag_is_said_on_change_only() -> None:
    """The same verdict twice is one message; a changed quality is a change."""
    wire = Wire()
    ours = publisher(wire)
    for evidence in (OK, OK, FAULT, FAULT, Evidence(Verdict.FAULT, 0.95, Quality.UNCERTAIN), UNKNOWN):
        ours.flag("crack", evidence, 0, 0)
    flags = wire.take("flag/crack")
    assert [(flag["on"], flag["verdict"], flag["q"]) for flag in flags] == [
        (False, "ok", "good"),
        (True, "fault", "good"),
        (True, "fault", "uncertain"),
        (None, "unknown", "stale"),
    ]
    assert [flag["seq"] for flag in flags] == [1, 2, 3, 4]


def test_every_frame_may_be_said() -> None:
    """Test benches and replays hear of each frame."""
    wire = Wire()
    ours = publisher(wire, every_frame=True)
    for seq in range(3):
        ours.flag("crack", OK, 0, 0, frame=frame(seq=seq))
    ours.flag("crack", OK, 0, 0)  # a tick between frames
    assert [flag["frame_seq"] for flag in wire.take("flag/crack")] == [0, 1, 2]


def test_an_unchanged_flag_may_be_repeated() -> None:
    """For readers that want a sign of life on the flag itself."""
    wire = Wire()
    ours = publisher(wire, flag_repeat_ns=1000 * MS)
    for now_ms in range(0, 3001, 100):
        ours.flag("crack", OK, now_ms * MS, 0)
    assert len(wire.take("flag/crack")) == 4


def test_a_flag_carries_the_ledger_of_its_frame() -> None:
    """Latency, stages, capture time and whether the deadline was met."""
    wire = Wire()
    ours = publisher(wire)
    stamps = Stamps(0, 1 * MS, 3 * MS, 20 * MS, 21 * MS)
    ours.flag("crack", FAULT, 22 * MS, 0, frame=frame(), stamps=stamps)
    ours.flag("dent", FAULT, 41 * MS, 0, frame=frame(), stamps=stamps)
    flags = [json.loads(message.payload) for message in wire.sent]
    assert flags[0]["stage_ms"] == [1.0, 2.0, 17.0, 1.0]
    assert (flags[0]["lat_ms"], flags[0]["met"], flags[0]["frame_ts"]) == (22.0, True, "2027-01-15T08:00:00.000Z")
    assert (flags[1]["lat_ms"], flags[1]["met"]) == (41.0, False)
    assert all(len(message.payload) <= 300 for message in wire.sent)


def test_a_flag_that_could_not_be_said_is_said_later() -> None:
    """A broker that was away hears the newest verdict, not the old ones."""
    wire = Wire()
    ours = publisher(wire)
    wire.up = False
    ours.flag("crack", OK, 0, 0)
    ours.flag("crack", FAULT, 1, 0)
    wire.up = True
    ours.flag("crack", FAULT, 2, 0)
    assert wire.take("flag/crack") == [], "hundreds tried again at each tick would fill what is full"
    ours.flag("crack", FAULT, 1 + 200 * MS, 0)
    assert [flag["verdict"] for flag in wire.take("flag/crack")] == ["fault"]
    ours.flag("crack", FAULT, 2 + 200 * MS, 0)
    assert wire.take("flag/crack") == []


def test_values_have_a_deadband_and_an_interval() -> None:
    """Trends move when the score moves, at most twice a second; going unknown is a move."""
    wire = Wire()
    ours = publisher(wire)
    said = []
    for now_ms, score in ((0, 0.50), (100, 0.90), (600, 0.51), (700, 0.60), (1200, 0.60), (1800, None)):
        ours.value("crack", Evidence(Verdict.OK, score, Quality.GOOD), now_ms * MS, 0)
        said += [(now_ms, value["score"]) for value in wire.take("value/crack")]
    assert said == [(0, 0.5), (700, 0.6), (1800, None)]


def test_what_must_not_be_lost_is_numbered_at_once_and_encoded_later() -> None:
    """Events are numbered in the order in which they happened, whenever the journal encodes them, and leave through `record` only."""
    wire = Wire()
    ours = publisher(wire)
    events = [ours.event("alarm", "crack", f"step {number}", 0) for number in range(3)]
    ours.record(5, events)
    assert wire.sent == []
    [entry] = wire.recorded
    assert entry.at_ns == 5
    assert [(event.epoch, event.seq, event.what) for event in entry.events] == [
        (7, 1, "step 0"),
        (7, 2, "step 1"),
        (7, 3, "step 2"),
    ]
    assert [(event.seq, event.ts) for event in [record.message() for record in reversed(entry.events)]] == [
        (3, timestamp(0)),
        (2, timestamp(0)),
        (1, timestamp(0)),
    ]


def test_a_reconnect_says_everything_pending() -> None:
    """Flags known before the loss are said again: the broker may have forgotten them, or missed them."""
    wire = Wire()
    ours = publisher(wire)
    ours.flag("crack", FAULT, 0, 0)
    wire.take("flag/crack")
    ours.resume([], 0)
    assert [flag["verdict"] for flag in wire.take("flag/crack")] == ["fault"]


def test_the_acknowledged_latency_belongs_to_its_frame() -> None:
    """PUBACK minus receipt, once per flag; other messages do not count."""
    acknowledged: list[tuple[str, int]] = []
    wire = Wire()
    ours = publisher(wire, acknowledged)
    ours.flag("crack", FAULT, 5 * MS, 0, frame=frame(received_ms=2))
    for message_id in (1, 1, 2):
        ours.acknowledged(message_id, 12 * MS)
    assert acknowledged == [("cam", 10 * MS)]


def test_a_reply_goes_where_it_was_asked_for() -> None:
    """The response topic of MQTT 5 with its correlation, else ours."""
    wire = Wire()
    ours = publisher(wire)
    reply = Reply(request_id="r", ok=True, code="ok")
    ours.reply("ack", reply)
    ours.reply("ack", reply, topic="scada/answers", correlation=b"7")
    assert [(message.topic, message.correlation) for message in wire.sent] == [
        ("edge/v1/n/res/ack", None),
        ("scada/answers", b"7"),
    ]


def test_a_reload_forgets_channels_that_are_gone() -> None:
    """What was said of a channel that stays is remembered, of one that goes it is not said again."""
    wire = Wire()
    said = publisher(wire)
    for channel in ("crack", "dent"):
        said.flag(channel, FAULT, 0, 0)
    said.reconfigure(Policy(every_frame=True, flag_repeat_ns=0, value_min_interval_ns=0, value_deadband=0.0), ["crack"])
    wire.sent.clear()
    said.resume((), 1)
    assert [message.topic for message in wire.sent] == ["edge/v1/n/flag/crack"]
    assert said.flag("crack", FAULT, 2, 2, frame=frame())


def test_alarms_that_are_gone_are_cleared_from_the_broker_for_good() -> None:
    """After each reconnect, because it may have been away; not an alarm that came back."""
    wire = Wire()
    said = publisher(wire)
    said.retire(["old", "back"], {"red"})
    said.retire([], {"red", "back"})
    for _ in range(2):
        wire.sent.clear()
        said.resume((), 0)
        cleared = [(message.topic, message.payload, message.retain) for message in wire.sent]
        assert cleared == [
            ("edge/v1/n/alarm/old", b"", True),
            ("edge/v1/n/explain/old", b"", True),
            ("edge/v1/n/explain/old/image", b"", True),
        ]


def sentence(occurrence_id: str) -> Explanation:
    """About an alarm."""
    source = AlarmSource(camera="cam", frame_seq=3, frame_ts=None, model="m", model_sha256="0")
    return Explanation(
        id="crack", occurrence_id=occurrence_id, ts="2026-11-23T22:00:00.000Z", text="Crack", how="template", where=None, spot=None, score=None,
        threshold=None, confidence=None, word_probability=None, source=source, made_ms=1.0, waited_ms=1.0, preempted=0,
    )  # fmt: skip


def said_of(wire: Wire) -> list[str]:
    """What was sent so far about explanations, in order, and forget everything: the occurrence, a picture or ``cleared``."""
    told = []
    for message in wire.sent:
        told.append(
            json.loads(message.payload)["occurrence_id"]
            if message.topic == "edge/v1/n/explain/crack"
            else message.payload.decode("latin-1") or "cleared"
        )
        assert message.retain
    wire.sent.clear()
    return told


JPEG = b"\xff\xd8\xff one"


def test_no_older_picture_stands_beside_a_sentence() -> None:
    """It goes before the sentence is said; the first time too, because an earlier start may have left one, and then only where there is one."""
    wire = Wire()
    said = publisher(wire)
    for occurrence_id, shows in (("o1", False), ("o2", True), ("o3", False), ("o4", False)):
        said.explanation(message := sentence(occurrence_id))
        if shows:
            said.heat_map(message, JPEG)
    assert said_of(wire) == ["cleared", "o1", "o2", JPEG.decode("latin-1"), "cleared", "o3", "o4"]


def test_a_picture_that_could_not_be_taken_back_is_taken_back_later() -> None:
    """The broker was away."""
    wire = Wire()
    said = publisher(wire)
    said.explanation(message := sentence("o1"))
    said.heat_map(message, JPEG)
    wire.up = False
    said.explanation(sentence("o2"))
    wire.up = True
    wire.sent.clear()
    said.explanation(sentence("o3"))
    assert said_of(wire) == ["cleared", "o3"]


def test_a_picture_says_whose_it_is() -> None:
    """The occurrence, its time, its frame, and that a machine drew it, beside the bytes; retained for a day like its sentence."""
    wire = Wire()
    publisher(wire).heat_map(sentence("o1"), JPEG)
    (sent,) = wire.sent
    assert (sent.topic, sent.payload, sent.content_type) == ("edge/v1/n/explain/crack/image", JPEG, "image/jpeg")
    assert (sent.qos, sent.retain, sent.expiry_s) == (1, True, 24 * 3600)
    assert dict(sent.user_properties) == {
        "alarm_id": "crack",
        "occurrence_id": "o1",
        "ts": "2026-11-23T22:00:00.000Z",
        "machine_made": "true",
        "camera": "cam",
        "frame_seq": "3",
    }


def test_pictures_that_the_site_no_longer_wants_are_taken_back() -> None:
    """After a reload, at once and once; others stay."""
    wire = Wire()
    said = publisher(wire)
    said.heat_map(sentence("o1"), JPEG)
    wire.sent.clear()
    said.show_only({"crack"})
    assert said_of(wire) == []
    for expected in (["cleared"], []):
        said.show_only(())
        assert said_of(wire) == expected


def test_it_says_until_when_a_channel_has_nothing_to_publish() -> None:
    """Until the flag is repeated, or the value that was held back is due; not while a flag was not handed over, nor after a reconnect."""
    wire = Wire()
    ours = publisher(wire, flag_repeat_ns=2000 * MS)

    def tell(evidence: Evidence, now_ms: int) -> int:
        ours.flag("crack", evidence, now_ms * MS, 0)
        ours.value("crack", evidence, now_ms * MS, 0)
        return ours.rests_until_ns("crack", evidence) // MS

    assert tell(OK, 0) == 2000
    moved = Evidence(Verdict.OK, 0.2, Quality.GOOD)
    assert tell(moved, 100) == 500, "its value moved, and the last one is too new"
    assert tell(moved, 500) == 2000
    assert tell(UNKNOWN, 600) == 1000, "it has no value any more"
    assert tell(UNKNOWN, 1000) == 2600
    wire.up = False
    assert tell(FAULT, 1100) == 1300, "it is tried again"
    wire.up = True
    assert tell(FAULT, 1500) == 3500
    before = ours.round
    ours.resume((), 0)
    assert ours.round != before


def test_a_flag_that_is_not_repeated_rests_for_ever() -> None:
    """Unless something comes."""
    ours = publisher(Wire())
    ours.flag("crack", OK, 0, 0)
    assert ours.rests_until_ns("crack", OK) == 0, "its value was never published"
    ours.value("crack", OK, 0, 0)
    assert ours.rests_until_ns("crack", OK) == 1 << 62
