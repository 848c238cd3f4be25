"""The path of a frame and the inference thread, driven by a fake clock over real stages.

The graph is real (how red, green and blue a picture is), the pictures are real JPEG; only time and the wire are ours. Each stage that asks
for the time moves it on by `step_ms`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edge.annunciator import Annunciator, Context
from edge.bundle import open_bundle
from edge.channel import Channel, resolve_channels, resolve_rules
from edge.clock import Clock
from edge.envelope import ConnectionStats, Incoming, Outgoing
from edge.explaining import Parts, load_voice, make_explainer
from edge.frame import Frame, Reading
from edge.health import Health
from edge.journal import Journal
from edge.lens import REMEMBERED, Lens
from edge.messages import Asset, ModelInfo, timestamp
from edge.outbox import Entry
from edge.path import FramePath
from edge.preprocess import Preprocessor
from edge.publish import Publisher
from edge.report import Reporter
from edge.session import Brake
from edge.settings import Site
from edge.snapshot import Snapshots
from edge.standing import site_alarms
from edge.watch import by_camera, load_engine, publish_policy
from edge.worker import MAX_READINGS, TICK_NS, Inbox, Worker
from tests.edge.builders import colour_bundle, flat_jpeg, room

MS = 1_000_000
WALL_NS = 1_800_000_000_000_000_000
RED, DARK = flat_jpeg(255, 0, 0), flat_jpeg(10, 10, 10)
ALARM = {
    "severity": 700,
    "message": "It is red",
    "operator_action": "Look",
    "consequence": "Red parts",
    "off_delay_ms": 100.0,
}


class FakeTime:
    """A clock that each reading moves on a little, as work does."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.step_ns = 10_000
        self.jumped_ns = 0

    def monotonic_ns(self) -> int:
        """Now, and time goes on."""
        self.now_ns += self.step_ns
        return self.now_ns

    def wall_ns(self) -> int:
        """The wall clock runs along, unless somebody sets it."""
        return WALL_NS + self.now_ns + self.jumped_ns


class Bench:
    """A worker with everything around it but the network."""

    def __init__(self, folder: Path, *, made: dict[str, Any] | None = None, **site: Any) -> None:
        colour_bundle(folder, **(made or {}))
        bundle = open_bundle(folder)
        base: dict[str, Any] = {
            "bundle": folder,
            "node": {"id": "n"},
            "cameras": ({"id": "cam"},),
            "sensors": ({"id": "vibration", "stale_after_ms": 1000},),
            "rules": ({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0},),
            "faults": (
                {"id": "red", "camera": "cam", "alarm": ALARM},
                {"id": "loose", "rules": ("shaking",), "alarm": ALARM},
            ),
            "publish": {"flags": "frame", "heartbeat_s": 1.0},
            "explain": {"enabled": False},
        }
        self.site = Site.model_validate(base | site)
        self.time = FakeTime()
        self.sent: list[Outgoing] = []
        self.synchronised: bool | None = True
        clock = Clock(self.time.monotonic_ns, self.time.wall_ns, lambda: self.synchronised)
        specs = resolve_channels(self.site, bundle.manifest)
        rules = resolve_rules(self.site)
        channels = [Channel(spec, rules) for spec in specs]
        self.health = Health({camera.id: 40 * MS for camera in self.site.cameras}, ["vibration"], 0)
        self.journal = Journal(
            None, prefix="p", send=self._send, monotonic_ns=self.time.monotonic_ns, wall_ns=self.time.wall_ns
        )
        self.journal.link_up()
        publisher = Publisher(
            prefix="p",
            session="s",
            epoch=7,
            policy=publish_policy(self.site.publish),
            send=self._send,
            record=self.journal.record,
            on_acknowledged=self.health.flag_acknowledged,
        )
        model = ModelInfo(name="colours", version=1, sha256="0" * 64)
        ids = iter(range(1000))
        annunciator = Annunciator(
            site_alarms(self.site, specs),
            publisher,
            Context("colours", "0" * 64, Asset(path="", rds_pp="")),
            new_id=lambda _wall: f"id{next(ids)}",
            start_ns=0,
        )
        self.inbox = Inbox()
        reporter = Reporter(
            session="s",
            version="0",
            model=model,
            channels=specs,
            annunciator=annunciator,
            health=self.health,
            publisher=publisher,
            heartbeat_ns=1000 * MS,
            start_ns=0,
            link=lambda: ConnectionStats(True, "5", None, 1, 0, len(self.sent), 0, 0, {}, 0, 0, None, 0),  # noqa: FBT003 - a record's fields
            journal=self.journal.stats,
            realtime="other:0",
        )
        snapshots = Snapshots(self.site, self._send)
        lenses = {camera.id: Lens(camera.picture, round(camera.stale_after_ms * MS)) for camera in self.site.cameras}
        engine = load_engine(bundle)
        preprocessors = {camera.id: Preprocessor(bundle.manifest.input) for camera in self.site.cameras}
        brake = Brake(lambda: False)
        parts = Parts(self.site, bundle, channels, engine, preprocessors, annunciator, publisher, self.health, clock)
        path = FramePath(
            preprocessors=preprocessors,
            lenses=lenses,
            engine=engine,
            channels=by_camera(self.site, channels),
            publisher=publisher,
            health=self.health,
            on_picture=snapshots.seen,
            monotonic_ns=self.time.monotonic_ns,
            wall_ns=self.time.wall_ns,
        )
        self.lenses = lenses
        self.worker = Worker(
            site=self.site,
            clock=clock,
            path=path,
            channels=channels,
            rules=rules,
            annunciator=annunciator,
            publisher=publisher,
            journal=self.journal,
            health=self.health,
            reporter=reporter,
            inbox=self.inbox,
            lenses=lenses,
            explainer=make_explainer(parts, brake, 1.0, load_voice(self.site, bundle, brake, clock.monotonic_ns)),
            snapshots=snapshots,
        )
        self.seq = 0

    def _send(self, message: Outgoing) -> int:
        self.sent.append(message)
        return len(self.sent)

    def frame(self, encoded: bytes, *, waited_ms: float = 0.0) -> None:
        """One frame comes and is taken after it waited."""
        self.seq += 1
        received = self.time.now_ns
        self.health.frame_received("cam", received)
        self.time.now_ns += round(waited_ms * MS)
        self.turn(Frame("cam", self.seq, encoded, received, WALL_NS, received + 40 * MS))

    def turn(self, frame: Frame | None = None) -> None:
        """One round of the inference thread, then one of the journal's."""
        self.worker.turn(frame)
        self.journal.turn()

    def idle(self, duration_ms: float) -> None:
        """Time passes without frames."""
        until = self.time.now_ns + round(duration_ms * MS)
        while self.time.now_ns < until:
            self.time.now_ns += TICK_NS
            self.turn()

    def reading(self, value: float) -> None:
        """A sensor value comes."""
        self.health.reading_received("vibration", self.time.now_ns)
        self.inbox.put_reading(Reading("vibration", value, self.time.now_ns))

    def command(self, verb: str, **fields: Any) -> dict[str, Any]:
        """A command comes; returns the reply."""
        body = {
            "request_id": f"r{self.time.now_ns}-{verb}",
            "issued_at": timestamp(self.time.wall_ns()),
            "user": "op",
        } | fields
        self.inbox.put_command(Incoming(f"p/cmd/{verb}", json.dumps(body).encode(), False, 0, 0))  # noqa: FBT003 - a record's field
        self.turn()
        return self.take(f"res/{verb}")[-1]

    def take(self, topic: str) -> list[dict[str, Any]]:
        """Bodies sent on a topic since the last `clear`."""
        return [json.loads(message.payload) for message in self.sent if message.topic == f"p/{topic}"]

    def last(self, topic: str) -> dict[str, Any]:
        """The newest body on a topic."""
        return self.take(topic)[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker on the colour bundle."""
    return Bench(tmp_path / "bundle")


def test_every_frame_gets_its_verdict(bench: Bench) -> None:
    """Red is a fault, dark is ok, in the order of the frames."""
    for encoded in (DARK, RED, RED, DARK):
        bench.frame(encoded)
    flags = [flag for flag in bench.take("flag/red") if flag["frame_seq"] is not None]
    assert [(flag["frame_seq"], flag["verdict"]) for flag in flags] == [
        (1, "ok"),
        (2, "fault"),
        (3, "fault"),
        (4, "ok"),
    ]
    assert all(flag["met"] and len(flag["stage_ms"]) == 4 for flag in flags)


def test_a_frame_that_cannot_make_it_is_dropped_before_decoding(bench: Bench) -> None:
    """It is counted as late, says nothing, and is never decoded: even garbage is not looked at."""
    bench.frame(DARK)
    bench.frame(b"garbage that decoding would reject", waited_ms=41)
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert (report.verdicts, report.dropped, report.rejected) == (1, {"late": 1}, {})


def test_the_expected_time_counts(bench: Bench) -> None:
    """With 35 ms of work to come, a frame that waited 6 ms of 40 is already late."""
    bench.time.step_ns = 8 * MS  # five readings of the clock from taken to published
    bench.frame(DARK)
    bench.time.step_ns = 10_000
    bench.frame(DARK, waited_ms=20)
    assert bench.health.cameras(bench.time.now_ns)["cam"].dropped == {"late": 1}


def test_a_slow_run_does_not_blind_the_camera_for_ever(bench: Bench) -> None:
    """The estimate forgets when frames are dropped, so a camera recovers from one slow run."""
    bench.time.step_ns = 15 * MS
    bench.frame(DARK)
    bench.time.step_ns = 10_000
    bench.frame(DARK)
    bench.frame(DARK)
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert (report.verdicts, report.dropped) == (2, {"late": 1})


def test_a_late_ok_is_unknown(bench: Bench) -> None:
    """What was judged after the deadline may show a fault, never its absence."""
    bench.time.step_ns = 15 * MS
    bench.frame(DARK)
    flag = bench.take("flag/red")[-1]
    assert (flag["verdict"], flag["met"]) == ("unknown", False)
    assert bench.health.cameras(bench.time.now_ns)["cam"].misses == 1


@pytest.mark.parametrize("encoded", [b"", b"not a picture", RED[: len(RED) // 2], b"\xff\xd8\xff" + b"\x00" * 50])
def test_a_damaged_frame_makes_the_verdict_unknown(bench: Bench, encoded: bytes) -> None:
    """Unknown with quality bad, counted by reason; the next good frame is judged."""
    bench.frame(DARK)
    bench.frame(encoded)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "bad")
    bench.frame(DARK)
    assert bench.last("flag/red")["verdict"] == "ok"
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert report.received == report.verdicts + sum(report.dropped.values())
    assert report.dropped == {"rejected": 1}


def test_a_fault_raises_its_alarm_and_its_return_clears_it_when_acknowledged(bench: Bench) -> None:
    """Raise, acknowledge with the occurrence seen, return after the off-delay."""
    bench.frame(RED)
    alarm = bench.last("alarm/red")
    assert (alarm["state"], alarm["source"]["frame_seq"], alarm["operator_action"]) == ("UNACK_ALM", 1, "Look")
    assert bench.command("ack", alarm_id="red", occurrence_id="other")["code"] == "stale_occurrence"
    reply = bench.command("ack", alarm_id="red", occurrence_id=alarm["occurrence_id"])
    assert (reply["ok"], reply["state"]) == (True, "ACK_ALM")
    for _ in range(8):
        bench.frame(DARK)
        bench.idle(20)
    assert bench.last("alarm/red")["state"] == "NORM"
    assert [
        event["what"]
        for event in bench.take("event")
        if event["subject"] == "red" and event["detail"].split()[0] != "QUALITY"
    ] == [
        "NORM->UNACK_ALM",
        "UNACK_ALM->ACK_ALM",
        "ACK_ALM->NORM",
    ]


def test_a_silent_camera_freezes_its_alarm_and_raises_its_own(bench: Bench) -> None:
    """Stale data never return an alarm to normal; the node's state says what is wrong."""
    bench.frame(RED)
    bench.idle(3000)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "stale")
    assert (bench.last("alarm/red")["state"], bench.last("alarm/red")["quality"]) == ("UNACK_ALM", "stale")
    assert bench.last("alarm/cam-silent")["state"] == "UNACK_ALM"
    assert bench.last("state")["ne107"] == "F"
    bench.frame(RED)
    bench.idle(300)
    assert bench.last("alarm/red")["quality"] == "good"


def test_frames_that_are_only_damaged_count_as_silence(bench: Bench) -> None:
    """A camera that sends rubbish is as blind as one that sends nothing."""
    for _ in range(80):
        bench.frame(b"rubbish")
        bench.idle(40)
    assert bench.last("alarm/cam-silent")["state"] == "UNACK_ALM"


def test_a_frozen_picture_freezes_its_alarm_and_raises_its_own(bench: Bench) -> None:
    """One red picture over and over: the flag becomes unknown and stale, its alarm stays, another says why, and NE 107 is S."""
    for _ in range(25):
        bench.reading(1.0)
        bench.frame(RED)
        bench.idle(100)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "stale")
    assert bench.last("alarm/red")["state"] == "UNACK_ALM"
    assert bench.last("alarm/cam-frozen")["state"] == "UNACK_ALM"
    assert (bench.last("state")["ne107"], bench.last("state")["reasons"]) == ("S", ["Camera cam repeats one picture"])
    bench.reading(1.0)
    bench.frame(DARK)
    bench.idle(900)
    bench.reading(1.0)
    bench.idle(600)
    assert bench.last("flag/red")["verdict"] == "ok"
    assert bench.last("alarm/cam-frozen")["state"] == "RTN_UNACK"
    assert bench.last("state")["ne107"] == "G"


def test_a_site_can_ask_for_a_synchronised_clock(tmp_path: Path) -> None:
    """Only a site that asks for it has the alarm; a kernel that does not say (a filter forbids the question) is none that says yes."""
    mute = Bench(tmp_path / "mute", node={"id": "n", "require_synchronised_clock": True})
    mute.synchronised = None
    mute.frame(RED)
    mute.idle(300)
    mute.frame(RED)
    assert mute.last("alarm/node-clock")["state"] == "UNACK_ALM"
    assert mute.last("flag/red")["q"] == "uncertain"
    assert mute.last("state")["ne107"] == "S"
    bench = Bench(tmp_path / "bundle", node={"id": "n", "require_synchronised_clock": True})
    for synchronised, state in ((False, "UNACK_ALM"), (None, "UNACK_ALM"), (True, "RTN_UNACK")):
        bench.synchronised = synchronised
        bench.idle(1500)
        assert bench.last("alarm/node-clock")["state"] == state
    plain = Bench(tmp_path / "other")
    plain.synchronised = False
    plain.idle(300)
    assert not plain.take("alarm/node-clock")


def test_what_a_broker_refuses_is_asked_for_again_and_once_more_when_it_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each minute, with everything said anew; and at the end for what was refused just before the first was taken. Not known changes nothing."""
    asked: list[int] = []
    refused: list[tuple[str, ...] | None] = [("event",)]
    monkeypatch.setattr(bench.journal, "ask_again", lambda: asked.append(bench.time.now_ns))
    monkeypatch.setattr(bench.worker._monitor, "_refused", lambda: refused[-1])
    bench.idle(200)
    assert bench.last("alarm/node-refused")["state"] == "UNACK_ALM"
    assert asked == []
    metas = len(bench.take("meta"))
    bench.idle(61_000)
    assert len(asked) == 1
    assert len(bench.take("meta")) > metas
    refused.append(None)
    bench.idle(2_000)
    assert bench.last("alarm/node-refused")["active"]
    assert len(asked) == 1
    refused.append(())
    bench.idle(2_000)
    assert not bench.last("alarm/node-refused")["active"]
    assert len(asked) == 2


def test_verdicts_that_are_always_late_raise_an_alarm(bench: Bench) -> None:
    """Frames come, verdicts come, but none in budget."""
    bench.time.step_ns = 15 * MS
    for _ in range(80):
        bench.frame(RED)
    assert bench.last("alarm/cam-late")["state"] == "UNACK_ALM"
    assert bench.last("state")["ne107"] in {"S", "F"}


def test_a_sensor_alone_raises_and_its_silence_freezes(bench: Bench) -> None:
    """A rule needs no camera; a silent sensor is unknown and has its own alarm."""
    bench.reading(9.0)
    bench.idle(50)
    assert bench.last("flag/loose")["verdict"] == "fault"
    assert bench.last("alarm/loose")["state"] == "UNACK_ALM"
    bench.idle(2000)
    assert bench.last("flag/loose")["verdict"] == "unknown"
    assert bench.last("alarm/loose")["state"] == "UNACK_ALM"
    assert bench.last("alarm/vibration-silent")["state"] == "UNACK_ALM"


def test_the_heartbeat_accounts_for_every_frame(bench: Bench) -> None:
    """Received is verdicts plus drops, always."""
    for encoded, waited in ((DARK, 0), (b"x", 0), (DARK, 50), (RED, 0)):
        bench.frame(encoded, waited_ms=waited)
    bench.idle(1100)
    camera = bench.last("heartbeat")["cameras"]["cam"]
    assert camera["received"] == 4
    assert camera["verdicts"] + sum(camera["dropped"].values()) == 4


def test_a_reconnect_says_state_meta_alarms_and_flags_again(bench: Bench) -> None:
    """A broker that lost its memory gets everything retained, the standing alarms first."""
    bench.frame(RED)
    bench.idle(100)
    bench.sent.clear()
    bench.inbox.reconnected = True
    bench.turn()
    topics = [message.topic for message in bench.sent]
    assert {"p/state", "p/meta", "p/alarm/red", "p/alarm/cam-silent", "p/flag/red", "p/flag/loose"} <= set(topics)
    alarms = [topic for topic in topics if topic.startswith("p/alarm/")]
    assert alarms[0] == "p/alarm/red"
    assert all(message.retain for message in bench.sent if message.topic.startswith(("p/alarm/", "p/state", "p/meta")))


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


def test_a_repeated_command_is_answered_and_journalled_as_such(bench: Bench) -> None:
    """The second delivery of one request id changes nothing, and the journal does not hide it."""
    bench.frame(RED)
    for _ in range(2):
        bench.command("shelve", request_id="same", alarm_id="red", duration_s=60.0, comment="x")
    assert [reply["code"] for reply in bench.take("res/shelve")] == ["ok", "duplicate"]
    assert [event["what"] for event in bench.take("event") if event["kind"] == "command"] == ["ok", "duplicate"]


class TestSnapshot:
    """The newest picture, if the site allows it."""

    @staticmethod
    def bench(folder: Path, **commands: Any) -> Bench:
        """A camera that may be asked for its picture."""
        return Bench(folder / "bundle", cameras=({"id": "cam", "snapshot": True},), commands=commands)

    def test_the_newest_picture_is_sent_as_it_came(self, tmp_path: Path) -> None:
        """The very bytes of the newest frame, not retained, with what it is in the user properties and in the reply."""
        bench = self.bench(tmp_path)
        bench.frame(DARK)
        bench.frame(RED)
        alarm = bench.last("alarm/red")
        reply = bench.command("snapshot", alarm_id="red", request_id="r1")
        (picture,) = [message for message in bench.sent if "/snapshot/" in message.topic]
        assert (picture.payload, picture.retain, picture.qos, picture.content_type) == (RED, False, 1, "image/jpeg")
        properties = dict(picture.user_properties)
        assert (properties["request_id"], properties["camera"], properties["frame_seq"]) == ("r1", "cam", "2")
        assert properties["occurrence_id"] == alarm["occurrence_id"]
        told = reply["snapshot"]
        assert (told["frame_seq"], told["occurrence_id"]) == (2, alarm["occurrence_id"])
        assert (told["topic"], told["sha256"]) == (
            f"{bench.site.prefix()}/snapshot/cam",
            hashlib.sha256(RED).hexdigest(),
        )

    def test_what_is_no_picture_is_never_sent(self, tmp_path: Path) -> None:
        """Bytes that could not be decoded, and frames that were dropped, are no snapshot."""
        bench = self.bench(tmp_path)
        bench.frame(b"rubbish")
        assert "no picture yet" in bench.command("snapshot", camera="cam")["detail"]
        bench.frame(RED)
        bench.frame(b"rubbish")
        assert bench.command("snapshot", camera="cam")["snapshot"]["frame_seq"] == 2

    def test_pictures_are_few_and_small(self, tmp_path: Path) -> None:
        """At most one in the interval, and none that is larger than the site allows."""
        bench = self.bench(tmp_path, snapshot_interval_s=2.0)
        bench.frame(RED)
        codes = [bench.command("snapshot", camera="cam", request_id=str(number))["code"] for number in range(2)]
        bench.idle(2100)
        codes.append(bench.command("snapshot", camera="cam", request_id="later")["code"])
        assert codes == ["ok", "busy", "ok"]
        small = self.bench(tmp_path / "small", snapshot_max_bytes=100)
        small.frame(RED)
        assert "snapshot_max_bytes" in small.command("snapshot", camera="cam")["detail"]

    def test_nobody_gets_what_the_site_does_not_allow(self, bench: Bench) -> None:
        """By default no camera is allowed; a camera or alarm that is not there is said to be none."""
        bench.frame(RED)
        assert bench.command("snapshot", camera="cam")["code"] == "not_allowed"
        assert bench.command("snapshot", camera="door", request_id="2")["code"] == "bad_request"
        assert bench.command("snapshot", alarm_id="loose", request_id="3")["code"] == "bad_request"
        assert bench.command("snapshot", alarm_id="nothing", request_id="4")["code"] == "unknown_alarm"
        assert not [message for message in bench.sent if "/snapshot/" in message.topic]


def test_a_command_that_cannot_be_answered_is_counted(bench: Bench) -> None:
    """Retained and malformed commands change nothing and show in the heartbeat."""
    bench.inbox.put_command(Incoming("p/cmd/ack", b"{}", True, 0, 0))  # noqa: FBT003 - a record's field
    bench.inbox.put_command(Incoming("p/cmd/ack", b"rubbish", False, 0, 0))  # noqa: FBT003 - a record's field
    bench.turn()
    assert bench.health.strays() == {"retained_command": 1, "bad_command": 1}
    assert bench.take("res/ack") == []


def test_the_inbox_is_bounded_and_counts_what_it_loses(bench: Bench) -> None:
    """A flood of readings between two ticks keeps the newest, and the heartbeat tells what was lost."""
    for number in range(MAX_READINGS + 5):
        bench.inbox.put_reading(Reading("vibration", float(number), number))
    assert (len(bench.inbox.readings), bench.inbox.readings[-1].value) == (MAX_READINGS, float(MAX_READINGS + 4))
    bench.turn()
    assert bench.health.strays() == {"inbox_overflow": 5}


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
    monkeypatch.setattr(bench.worker._annunciator, "command", lambda *_: 1 // 0)
    reply = bench.command("ack", alarm_id="red", occurrence_id="x")
    assert (reply["ok"], reply["code"]) == (False, "bad_request")
    assert "ZeroDivisionError" in reply["detail"]
    assert bench.last("event")["what"] == "bad_request"
    monkeypatch.setattr(bench.worker._desk, "check", lambda *_, **__: 1 // 0)
    bench.inbox.put_command(Incoming("p/cmd/ack", b"{}", False, 0, 0))  # noqa: FBT003 - a record's field
    bench.turn()
    assert (bench.last("event")["kind"], bench.last("event")["what"]) == ("command", "rejected")
    assert bench.health.strays() == {"command_failed": 2}
    bench.frame(RED)
    assert bench.last("alarm/red")["state"] == "UNACK_ALM"


HOT = {"id": "hot", "camera": "cam", "vision": "red", "rules": ("shaking",)}
LONE = {"id": "lone", "rules": ("shaking",)}


class TestSensorsBesideACamera:
    """A fault of a camera and a rule is raised by the rule alone, whatever the camera does; n of m counts data, not looks at them."""

    @staticmethod
    def bench(folder: Path, **alarm: Any) -> Bench:
        """A fault with both kinds of evidence beside one with the sensor alone; the camera may repeat its picture."""
        faults = tuple(fault | {"alarm": ALARM | alarm} for fault in (HOT, LONE))
        return Bench(folder / "bundle", faults=faults, cameras=({"id": "cam", "picture": {"frozen_after_ms": 0.0}},))

    @staticmethod
    def states(bench: Bench) -> tuple[str, str]:
        """Of the two alarms."""
        return bench.last("alarm/hot")["state"], bench.last("alarm/lone")["state"]

    @pytest.mark.parametrize("frames", ["none", "late", "damaged"])
    def test_a_dead_camera_holds_back_no_delay(self, tmp_path: Path, frames: str) -> None:
        """The on-delay runs on the readings' own time while no frame gives a verdict."""
        bench = self.bench(tmp_path, on_delay_ms=1000.0)
        bench.reading(1.0)
        for _ in range(5):
            bench.frame(DARK)
            bench.idle(50)
        for _ in range(4):
            bench.reading(9.0)
            for _ in range(5):
                if frames != "none":
                    bench.frame(b"rubbish" if frames == "damaged" else DARK, waited_ms=50 if frames == "late" else 0)
                bench.idle(100)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")
        flag = bench.last("flag/hot")
        assert (flag["on"], flag["q"]) == (True, "good")

    @pytest.mark.parametrize("frames", [False, True])
    def test_one_odd_reading_is_no_three_of_five(self, tmp_path: Path, frames: bool) -> None:  # noqa: FBT001 - a table's column
        """Nor is it made three by the frames and the looks that pass until the next one; three odd readings are."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))

        def read(*values: float) -> None:
            for value in values:
                bench.reading(value)
                for _ in range(8):
                    if frames:
                        bench.frame(DARK)
                    bench.idle(100)

        read(1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0)
        raised = {event["subject"] for event in bench.take("event") if "RAISE" in event["detail"]} - {"cam-silent"}
        assert raised == (set() if frames else {"hot"})  # without frames its good readings are no known verdicts
        read(9.0)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")

    def test_three_of_five_frames_count_beside_a_sensor_that_says_no(self, tmp_path: Path) -> None:
        """Readings without a fault do not take the frames' evidence away while the fault stands."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))
        for _ in range(3):
            assert bench.last("alarm/hot")["state"] == "NORM" if bench.take("alarm/hot") else True
            bench.frame(RED)
            bench.reading(1.0)
            bench.idle(50)
        assert bench.last("alarm/hot")["state"] == "UNACK_ALM"

    def test_readings_are_counted_also_while_the_camera_is_dead(self, tmp_path: Path) -> None:
        """Each once."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))
        bench.frame(DARK)
        bench.idle(3000)
        for value in (9.0, 9.0):
            bench.reading(value)
            bench.idle(900)
        assert self.states(bench) == ("NORM", "NORM")
        bench.reading(9.0)
        bench.idle(100)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")


class TestViews:
    """What a camera's good pictures look like is kept over a restart, and an operator says when it shall be learned anew."""

    @staticmethod
    def bench(folder: Path) -> Bench:
        """A camera whose pictures are large enough to be measured."""
        size = {"name": "frame", "width": 96, "height": 96, "resize": "stretch"}
        return Bench(folder / "bundle", made={"input": size})

    @staticmethod
    def watch(bench: Bench, frames: int, *, covered: bool = False) -> None:
        """So many pictures of a room, ten a second, of which half may be covered."""
        for _ in range(frames):
            bench.frame(room(bench.seq, covered=covered))
            bench.idle(50)
            bench.time.now_ns += 50 * MS

    def test_a_baseline_is_kept_when_it_is_learned_and_then_now_and_then(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not each minute: a memory card wears out."""
        bench = self.bench(tmp_path)
        kept: list[str] = []
        record = bench.journal.record

        def listen(entry: Entry) -> None:
            kept.extend(entry.kept)
            record(entry)

        monkeypatch.setattr(bench.worker._publisher, "_record", listen)
        self.watch(bench, REMEMBERED + 10)
        assert [name for name in kept if name == "view/cam"] == ["view/cam"]
        for _ in range(20):
            bench.time.now_ns += 60_000 * MS
            self.watch(bench, 1)
        assert [name for name in kept if name == "view/cam"] == ["view/cam"] * 3

    def test_back_in_service_learns_the_view_anew(self, tmp_path: Path) -> None:
        """A wanted change of view: the alarm goes out of service and back, and what is seen from then on is good; ack alone says no such thing."""
        bench = self.bench(tmp_path)
        self.watch(bench, REMEMBERED)
        self.watch(bench, 5, covered=True)
        alarm = bench.last("alarm/cam-covered")
        assert alarm["state"] == "UNACK_ALM"
        bench.command("ack", alarm_id="cam-covered", occurrence_id=alarm["occurrence_id"])
        self.watch(bench, 2 * REMEMBERED, covered=True)
        assert bench.last("flag/red")["q"] == "bad"
        assert bench.command("out_of_service", alarm_id="cam-covered", comment="new view")["ok"]
        self.watch(bench, REMEMBERED, covered=True)
        assert bench.last("flag/red")["q"] == "bad"
        assert bench.command("in_service", alarm_id="cam-dark", comment="another")["code"] == "not_allowed"
        assert bench.command("in_service", alarm_id="cam-covered")["ok"]
        assert bench.lenses["cam"].baseline is None
        self.watch(bench, REMEMBERED + 20, covered=True)
        assert (bench.last("flag/red")["q"], bench.last("alarm/cam-covered")["active"]) == ("good", False)
