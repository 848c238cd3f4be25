"""The edge node's state machine, packet by packet, with time in our hands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sparkplug.codec import DataType, Metric, Payload, encode
from edge.sparkplug.node import BAD, HOST_WAIT_MS, MAX_HISTORY, STALE, Change, EdgeNode, NodeSpec, Phase, Presence, Tag
from edge.wire.envelope import Outgoing
from tests.sparkplug_conformance.schema import metric, read, value_of

NCMD, DCMD = "spBv1.0/plant/NCMD/press", "spBv1.0/plant/DCMD/press/cam"
STATE = "spBv1.0/STATE/scada"
TAGS = (Tag("value", DataType.INT32), Tag("text", DataType.STRING, ""))


class Bench:
    """A node with one device, and every packet it gave."""

    def __init__(self, **spec: Any) -> None:
        self.node = EdgeNode(NodeSpec("plant", "press", TAGS, {"cam": TAGS}, **spec))
        self.now_ms = 1_000_000
        self.last: list[Outgoing] = []

    def connect(self, bd_seq: int = 0, server: int = 0) -> None:
        """A server accepted us."""
        self.node.connected(bd_seq, self.now_ms, server)

    def poll(self) -> list[str]:
        """What is sent now, as kind and device."""
        self.now_ms += 50
        self.last = self.node.poll(self.now_ms)
        return ["/".join(packet.topic.split("/")[2::2]) for packet in self.last]

    def value(self, value: int | None, device: str | None = "cam", quality: int = 192) -> None:
        """A metric changes."""
        self.now_ms += 1
        self.node.note(Change(device, "value", value, self.now_ms, quality))

    def said(self, place: int = -1) -> Any:
        """A payload of the last poll."""
        return read(self.last[place].payload)

    def state(self, *, online: bool, stamp_ms: int) -> None:
        """The primary host speaks."""
        self.node.received(STATE, json.dumps({"online": online, "timestamp": stamp_ms}).encode(), retained=True)


def order(name: str, value: bool | str, datatype: DataType = DataType.BOOLEAN) -> bytes:  # noqa: FBT001 - a metric's value
    """A command with one metric."""
    return encode(Payload(1, (Metric(name, datatype, value, 1),), 0))


def test_births_come_first_and_say_everything() -> None:
    """NBIRTH with 0, then the device; changes from before are there as values, and again as history."""
    bench = Bench()
    bench.value(7)
    assert bench.poll() == []
    bench.connect(bd_seq=9)
    assert bench.poll() == ["NBIRTH", "DBIRTH/cam"]
    assert (bench.said(0).seq, bench.said(1).seq) == (0, 1)
    assert value_of(metric(bench.said(0), "bdSeq")) == 9
    assert value_of(metric(bench.said(1), "value")) == 7
    assert bench.poll() == ["DDATA/cam"]
    assert bench.said().metrics[0].is_historical


def test_what_is_no_news_is_not_said() -> None:
    """The same value and quality again is nothing; a changed quality is news, and so is its recovery, which is said."""
    bench = Bench()
    bench.connect()
    bench.poll()
    bench.value(1)
    bench.value(1)
    assert bench.poll() == ["DDATA/cam"]
    assert not bench.said().metrics[0].HasField("properties")
    bench.value(1, quality=STALE)
    bench.value(1, quality=192)
    bench.value(2)
    bench.poll()
    said = [[value.int_value for value in item.properties.values] for item in bench.said().metrics]
    assert said == [[500], [192], []]
    bench.node.note(Change("cam", "never heard of", 1, 1))
    assert bench.poll() == []


def test_data_have_types_only_on_request() -> None:
    """The specification wants them in births alone; some hosts read nothing without them."""
    for wanted in (False, True):
        bench = Bench(data_types=wanted)
        bench.connect()
        bench.poll()
        bench.value(1)
        bench.poll()
        assert bench.said().metrics[0].HasField("datatype") is wanted


def test_two_values_of_one_instant_get_two_times() -> None:
    """Hosts would keep either; a clock that is set back far is believed."""
    bench = Bench()
    bench.connect()
    bench.poll()
    for value in range(3):
        bench.node.note(Change(None, "value", value, 5_000))
    bench.node.note(Change(None, "value", 9, 100))
    bench.poll()
    assert [item.timestamp for item in bench.said().metrics] == [100, 5_000, 5_001, 5_002]


def test_numbers_run_over_all_messages_and_wrap() -> None:
    """One more each, 0 after 255, over node and device."""
    bench = Bench()
    bench.connect()
    bench.poll()
    numbers = []
    for count in range(300):
        bench.value(count, "cam" if count % 2 else None)
        bench.poll()
        numbers.append(bench.said().seq)
    assert numbers == [(2 + count) % 256 for count in range(300)]


def test_a_device_that_dies_says_so_in_order_and_nothing_after() -> None:
    """Its last values, its DDEATH, silence; back again: DBIRTH with the newest value, then what was missed."""
    bench = Bench()
    bench.connect()
    bench.poll()
    bench.value(1)
    bench.node.note(Presence("cam", alive=False))
    bench.node.note(Presence("cam", alive=False))
    bench.value(2)
    assert bench.poll() == ["DDATA/cam", "DDEATH/cam"]
    assert list(bench.said().metrics) == []
    assert bench.poll() == []
    bench.node.note(Presence("cam", alive=True))
    assert bench.poll() == ["DBIRTH/cam", "DDATA/cam"]
    assert value_of(metric(bench.said(0), "value")) == 2
    assert bench.said(1).metrics[0].is_historical


def test_what_a_birth_has_said_is_not_said_again() -> None:
    """A device that is back has more to say already: its birth says the newest, what led to it follows as history."""
    bench = Bench()
    bench.connect()
    bench.node.note(Presence("cam", alive=False))
    bench.poll()
    bench.poll()
    bench.node.note(Presence("cam", alive=True))
    bench.value(1)
    bench.value(2)
    assert bench.poll() == ["DBIRTH/cam", "DDATA/cam"]
    assert value_of(metric(bench.said(0), "value")) == 2
    assert [(item.int_value, item.is_historical) for item in bench.said(1).metrics] == [(1, True), (2, True)]
    assert bench.poll() == []


def test_a_device_that_is_away_at_the_birth_is_born_later() -> None:
    """No DBIRTH for a silent camera."""
    bench = Bench()
    bench.node.note(Presence("cam", alive=False))
    bench.connect()
    assert bench.poll() == ["NBIRTH"]
    bench.node.note(Presence("cam", alive=True))
    assert bench.poll() == ["DBIRTH/cam"]


def test_rebirth_stops_data_and_repeats_the_number() -> None:
    """What waited is in the births, and follows as history; the request is honoured once."""
    bench = Bench()
    bench.connect(bd_seq=4)
    bench.poll()
    bench.value(5)
    assert bench.node.received(NCMD, order("Node Control/Rebirth", value=True), retained=False) is not None
    assert bench.poll() == ["NBIRTH", "DBIRTH/cam"]
    assert (bench.said(0).seq, value_of(metric(bench.said(0), "bdSeq"))) == (0, 4)
    assert bench.poll() == ["DDATA/cam"]
    assert bench.poll() == []


def test_rebirth_does_not_swallow_a_death() -> None:
    """A DDEATH that was due is still said, before the births."""
    bench = Bench()
    bench.connect()
    bench.poll()
    bench.node.note(Presence("cam", alive=False))
    bench.node.received(NCMD, order("Node Control/Rebirth", value=True), retained=False)
    assert bench.poll() == ["DDEATH/cam", "NBIRTH"]


@pytest.mark.parametrize(
    ("topic", "payload", "retained", "counted"),
    [
        (NCMD, order("Node Control/Rebirth", value=True), True, "retained_command"),
        (NCMD, b"\x0a", False, "bad_sparkplug"),
        ("spBv1.0/plant/DCMD/press/nobody", order("x", value=True), False, None),
        ("spBv1.0/plant/NCMD/other", order("x", value=True), False, None),
    ],
    ids=["retained", "rubbish", "unknown device", "another node"],
)
def test_a_command_that_is_none(topic: str, payload: bytes, retained: bool, counted: str | None) -> None:  # noqa: FBT001 - a parameter of the table
    """It changes nothing and is counted where it was meant for us."""
    bench = Bench()
    bench.connect()
    bench.poll()
    assert bench.node.received(topic, payload, retained=retained) is None
    assert dict(bench.node.counts) == ({counted: 1} if counted else {})
    assert bench.poll() == []


def test_a_rebirth_that_says_false_is_no_request() -> None:
    """Nothing happens; the order itself is handed on."""
    bench = Bench()
    bench.connect()
    bench.poll()
    assert bench.node.received(NCMD, order("Node Control/Rebirth", value=False), retained=False) is not None
    assert bench.poll() == []


def test_what_may_not_have_been_heard_is_said_again_as_history() -> None:
    """The last seconds before a dead link was noticed, with their own times; older ones and those before a farewell are not."""
    bench = Bench(unconfirmed_ms=5_000)
    bench.connect()
    bench.poll()
    bench.value(1)
    bench.poll()
    bench.now_ms += 10_000
    bench.value(2)
    bench.poll()
    at_ms = bench.said().metrics[0].timestamp
    bench.node.lost(bench.now_ms)
    bench.value(3)
    bench.connect(1)
    bench.poll()
    bench.poll()
    late = bench.said().metrics
    assert [(item.int_value, item.is_historical) for item in late] == [(2, True), (3, True)]
    assert late[0].timestamp == at_ms
    bench.node.farewell(bench.now_ms)
    bench.connect(2)
    bench.poll()
    assert bench.poll() == []


def test_what_waits_is_bounded_and_paced() -> None:
    """The oldest give way and are counted; the rest goes out in many messages."""
    bench = Bench()
    for value in range(MAX_HISTORY + 5):
        bench.value(value)
    assert bench.node.counts["history_lost"] == 5
    bench.connect()
    bench.poll()
    sizes = []
    while bench.poll():
        sizes.append(len(bench.said().metrics))
    assert (sum(sizes), max(sizes)) == (MAX_HISTORY, 250)


def test_the_will_has_one_metric_and_no_number() -> None:
    """The NDEATH, QoS 1, not retained."""
    will = Bench().node.will(7)
    payload = read(will.payload)
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/plant/NDEATH/press", 1, False)
    assert [value_of(item) for item in payload.metrics] == [7]
    assert not payload.HasField("seq")


# --- primary host


def test_births_wait_for_the_primary_host() -> None:
    """Not before its STATE says online; another host, garbage and an old word do not count."""
    bench = Bench(primary_host="scada")
    assert STATE in [item.topic for item in bench.node.subscriptions()]
    bench.connect()
    bench.node.received("spBv1.0/STATE/other", b'{"online": true, "timestamp": 1}', retained=True)
    for rubbish in (b"ONLINE", b"{}", b'{"online": 1, "timestamp": 1}', b'{"online": true, "timestamp": "1"}', b"[]"):
        bench.node.received(STATE, rubbish, retained=True)
    bench.state(online=False, stamp_ms=100)
    bench.state(online=True, stamp_ms=99)
    assert bench.poll() == []
    assert not bench.node.leaving
    bench.state(online=True, stamp_ms=100)
    assert bench.poll() == ["NBIRTH", "DBIRTH/cam"]


def test_a_host_that_leaves_ends_the_session() -> None:
    """Offline now: leave; offline of the past: stay. After the reconnect its word is waited for again."""
    bench = Bench(primary_host="scada")
    bench.connect()
    bench.state(online=True, stamp_ms=100)
    bench.poll()
    bench.state(online=False, stamp_ms=99)
    bench.value(1)
    assert bench.poll() == ["DDATA/cam"]
    bench.state(online=False, stamp_ms=100)
    bench.value(2)
    assert (bench.node.leaving, bench.poll()) == (True, [])
    bench.node.farewell(bench.now_ms)
    assert bench.node.phase is Phase.DOWN
    bench.connect(1)
    assert (bench.node.leaving, bench.poll()) == (False, [])


def test_with_several_servers_one_without_the_host_is_left() -> None:
    """At once when it says so, after a while when nobody says anything; each server has the host's own clock."""
    bench = Bench(primary_host="scada", servers=2)
    bench.connect(0, server=0)
    bench.state(online=False, stamp_ms=5_000)
    assert bench.node.leaving
    bench.node.farewell(bench.now_ms)
    bench.connect(1, server=1)
    bench.state(online=True, stamp_ms=10)
    assert bench.poll() == ["NBIRTH", "DBIRTH/cam"]
    bench.node.lost(bench.now_ms)
    bench.connect(2, server=0)
    bench.now_ms += HOST_WAIT_MS
    bench.poll()
    assert bench.node.leaving


# --- whatever happens

events = st.one_of(
    st.tuples(st.just("value"), st.integers(0, 2), st.sampled_from(["cam", None]), st.sampled_from([192, STALE, BAD])),
    st.tuples(st.just("presence"), st.booleans()),
    st.tuples(st.just("rebirth")),
    st.tuples(st.just("poll")),
    st.tuples(st.just("lost")),
    st.tuples(st.just("connect")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=40))
def test_no_course_of_events_breaks_the_rules(course: list[tuple[Any, ...]]) -> None:
    """Numbers never gap, births come first, a dead device says nothing, data are news, and a host that applies what it hears knows the truth."""
    bench = Bench()
    mirror: dict[tuple[str | None, str], Any] = {}
    alive: set[str] = set()
    seq: int | None = None
    number = 0
    for event in [*course, ("lost",), ("connect",), ("poll",), ("poll",), ("poll",)]:
        match event:
            case ("value", value, device, quality):
                bench.value(value, device, quality)
            case ("presence", state):
                bench.node.note(Presence("cam", alive=state))
            case ("rebirth",):
                bench.node.received(NCMD, order("Node Control/Rebirth", value=True), retained=False)
            case ("lost",):
                bench.node.lost(bench.now_ms)
                seq = None
            case ("connect",) if bench.node.phase is Phase.DOWN:
                number += 1
                bench.connect(number)
            case ("poll",):
                bench.poll()
                for packet in bench.last:
                    payload = read(packet.payload)
                    _, _, kind, _, *device = packet.topic.split("/")
                    assert kind == "NBIRTH" or payload.seq == ((seq if seq is not None else -99) + 1) % 256
                    seq = payload.seq
                    _apply(kind, device[0] if device else None, payload, alive, mirror)
    for device in (None, *alive):
        cell = bench.node._cells[device]["value"]
        assert mirror[device, "value"] == (cell.value, cell.quality)


def _apply(
    kind: str, device: str | None, payload: Any, alive: set[str], mirror: dict[tuple[str | None, str], Any]
) -> None:
    """What a host does with a message."""
    if kind == "NBIRTH":
        alive.clear()
    if device is not None:
        assert kind == "DBIRTH" or device in alive
        (alive.discard if kind == "DDEATH" else alive.add)(device)
    for item in payload.metrics:
        if not item.is_historical:
            quality = dict(zip(item.properties.keys, item.properties.values, strict=True)).get("Quality")
            said = value_of(item), 192 if quality is None else quality.int_value
            assert kind not in {"NDATA", "DDATA"} or mirror.get((device, item.name)) != said, f"{item.name} is no news"
            mirror[device, item.name] = said


def test_who_came_and_went_before_a_rebirth_has_no_death() -> None:
    """A device that was not born yet cannot die: its coming and going between two looks is not told."""
    bench = Bench()
    bench.connect()
    bench.node.note(Presence("cam", alive=False))
    assert bench.poll() == ["NBIRTH"]
    bench.node.note(Presence("cam", alive=True))
    bench.node.received(NCMD, order("Node Control/Rebirth", value=True), retained=False)
    bench.node.note(Presence("cam", alive=False))
    assert bench.poll() == ["NBIRTH"]


def test_a_redefinition_is_born_anew() -> None:
    """A device that goes dies, everything that stays is born with its value, what is new with its definition's, and data go on."""
    bench = Bench()
    bench.connect()
    bench.poll()
    bench.value(7, None)
    bench.value(8)
    bench.poll()
    bench.value(9)  # not said yet
    other = (Tag("value", DataType.INT32), Tag("fact", DataType.STRING, "new"))
    bench.node.redefine(other, {"door": TAGS})
    assert bench.poll() == ["DDEATH/cam", "NBIRTH", "DBIRTH/door"]
    assert value_of(metric(bench.said(1), "value")) == 7
    assert value_of(metric(bench.said(1), "fact")) == "new"
    assert bench.said(1).seq == 0
    bench.value(3, "door")
    bench.value(4)  # of a device that is gone: nobody's
    assert bench.poll() == ["DDATA/door"]
    bench.node.lost(bench.now_ms)
    bench.connect(1)
    assert bench.poll() == ["NBIRTH", "DBIRTH/door"]


def test_a_redefinition_while_nobody_listens_loses_no_history_of_what_stays() -> None:
    """What waits of metrics that stay is said later; of those that are gone it is dropped."""
    bench = Bench()
    bench.value(1, None)
    bench.value(2)
    bench.node.redefine(TAGS, {"door": TAGS})
    bench.connect()
    assert bench.poll() == ["NBIRTH", "DBIRTH/door"]
    assert bench.poll() == ["NDATA"]
    assert bench.said().metrics[0].is_historical
