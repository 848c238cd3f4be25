"""What messages say of themselves, on the real daemon behind a real Mosquitto: time, quality, name, batches, trips, a gateway's last will."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge.frame import Quality
from tests.stand.brokers import MOSQUITTO, Mosquitto, wait_for
from tests.stand.daemon import FRAME_TOPIC, Daemon, Ear, site_document
from tests.stand.plant import GREEN, RED, roomy_bundle

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "m", "operator_action": "a", "consequence": "c", "off_delay_ms": 0}
SENSORS: dict[str, dict[str, Any]] = {
    "live": {"topic": "plc/live"},
    "named": {"topic": "gw/shared", "senml_name": "temperature"},
    "other": {"topic": "gw/shared", "senml_name": "pressure"},
    "tower": {"topic": "rtl_433", "pointer": "/temperature_C", "where": {"/model": "Tower", "/id": 77}},
    "trip": {"topic": "plc/trip"},
    "pack": {"topic": "plc/pack"},
    "stuck": {"topic": "plc/stuck", "frozen_after_ms": 800},
    "word": {"topic": "plc/word"},
    "behind": {"topic": "gw/behind", "availability_topic": "gw/LWT"},
}


@dataclass(frozen=True)
class Site:
    """The daemon and an ear."""

    ear: Ear

    def say(self, topic: str, payload: object) -> int:
        """One message; returns a mark of what came before it."""
        mark = self.ear.count()
        self.ear.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        return mark

    def flag(self, sensor: str, verdict: str, quality: Quality | None = None) -> None:
        """Until the flag says so."""
        self.ear.until(f"flag/{sensor}", lambda flag: flag["verdict"] == verdict and quality in {None, flag["q"]})

    def counted(self, sensor: str, reason: str) -> None:
        """Until the heartbeat counts it."""
        wait_for(lambda: self.ear.heartbeat()["sensors"][sensor]["rejected"].get(reason), what=f"{sensor}: {reason}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon of many sensors, each with a rule and an alarm, and one camera with an alarm."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    folder = tmp_path_factory.mktemp("told")
    broker = Mosquitto(folder).start()
    rules = [{"id": f"r-{name}", "sensor": name, "kind": "above", "limit": 50.0} for name in SENSORS]
    rules[list(SENSORS).index("word")] |= {"kind": "bit_set", "limit": 3}
    faults = [
        {"id": name, "rules": [f"r-{name}"], "alarm": ALARM | {"latching": name in {"trip", "pack"}}}
        for name in SENSORS
    ]
    document = site_document(roomy_bundle(folder / "colours"), broker.port) | {
        "sensors": [
            {"id": name, "stale_after_ms": 60_000} | {"max_age_ms": 10_000} | more for name, more in SENSORS.items()
        ],
        "rules": rules,
        "faults": [*faults, {"id": "red", "camera": "cam1", "alarm": ALARM}],
    }
    document["publish"] |= {"heartbeat_s": 0.25}
    ear = Ear(broker.port)
    daemon = Daemon(document, folder).start()
    plant = Site(ear)
    wait_for(
        lambda: plant.say("plc/word", b"0") and (ear.last("flag/word") or {}).get("verdict") == "ok",
        what="it is subscribed",
    )
    yield plant
    daemon.stop()
    ear.close()
    broker.kill()


def iso(ago_s: float = 0.0) -> str:
    """Now or so long ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat()


def test_a_backlog_neither_raises_nor_clears(site: Site) -> None:
    """What was measured an hour ago changes nothing, before and while an alarm stands; it is counted."""
    site.say("plc/live", {"value": 20, "ts": iso()})
    site.flag("live", "ok")
    for ago_s in (3 * 3600, 3000, 60):
        site.say("plc/live", {"value": 99, "ts": iso(ago_s)})
    site.counted("live", "replaced")
    assert site.ear.last("alarm/live")["state"] == "NORM"
    site.say("plc/live", {"value": 99, "ts": iso()})
    site.flag("live", "fault")
    site.say("plc/live", {"value": 20, "ts": iso(3500)})
    time.sleep(0.5)
    assert site.ear.last("alarm/live")["active"]


def test_what_the_source_calls_bad_is_unknown_at_once(site: Site) -> None:
    """And one message later it is known again."""
    for bad in ({"value": None}, {"value": 20, "quality": "Bad_Stale"}, {"value": 20, "StatusCode": 2147483648}, b'{"value": nan}', b"unavailable"):  # fmt: skip
        site.say("gw/behind", {"value": 20})
        site.flag("behind", "ok")
        site.say("gw/behind", bad)
        site.flag("behind", "unknown", Quality.BAD)


def test_a_gateways_last_will_makes_its_sensors_unknown(site: Site) -> None:
    """Offline is heard even retained; the next value is believed."""
    site.say("gw/behind", {"value": 20})
    site.flag("behind", "ok")
    site.ear.publish("gw/LWT", b"offline", retain=True)
    site.flag("behind", "unknown", Quality.BAD)
    site.counted("behind", "offline")
    site.ear.publish("gw/LWT", b"", retain=True)
    site.say("gw/behind", {"value": 20})
    site.flag("behind", "ok")


def test_a_value_of_another_name_is_nobodys(site: Site) -> None:
    """On a shared topic each gets its own; a transmitter next door is not heard."""
    site.say("gw/shared", {"values": [{"id": "temperature", "v": 20}, {"id": "pressure", "v": 20}]})
    site.flag("named", "ok")
    site.flag("other", "ok")
    site.say("gw/shared", {"values": [{"id": "pressure", "v": 99}]})
    site.flag("other", "fault")
    assert site.ear.last("alarm/named")["state"] == "NORM"
    site.say("rtl_433", {"model": "Tower", "id": 77, "temperature_C": 20})
    site.flag("tower", "ok")
    mark = site.say("rtl_433", {"model": "Tower", "id": 78, "temperature_C": 99})
    site.say("rtl_433", {"model": "Tower", "id": 77, "temperature_C": 21})
    time.sleep(0.3)
    assert not any(heard.document()["on"] for heard in site.ear.on("flag/tower", mark))


def test_a_trip_of_20_ms_and_one_inside_a_pack_raise_their_latching_alarms(site: Site) -> None:
    """Each of them leaves its trace, although the newest value is fine again."""
    site.say("plc/trip", b"0")
    site.flag("trip", "ok")
    site.say("plc/trip", b"99")
    time.sleep(0.02)
    site.say("plc/trip", b"0")
    site.ear.until("alarm/trip", lambda alarm: alarm["state"] == "LATCH_UNACK")
    now_s = time.time()
    peak = [{"n": "pack", "t": now_s - 9 + second, "v": 400 if second in {4, 5} else 20} for second in range(10)]
    site.say("plc/pack", peak)
    site.ear.until("alarm/pack", lambda alarm: alarm["state"] == "LATCH_UNACK")


def test_a_stuck_sensor_is_an_alarm_of_its_own(site: Site) -> None:
    """The same value for as long as the site allows: its rule is unknown; the next other value ends both."""
    for _ in range(12):
        site.say("plc/stuck", b"20")
        time.sleep(0.1)
    site.flag("stuck", "unknown", Quality.BAD)
    site.ear.until("alarm/stuck-frozen", lambda alarm: alarm["active"])
    site.say("plc/stuck", b"21")
    site.flag("stuck", "ok")
    site.ear.until("alarm/stuck-frozen", lambda alarm: not alarm["active"])


def test_a_bit_of_a_status_word_is_a_fault(site: Site) -> None:
    """Bit 3 of 8 is set, of 7 it is not."""
    site.say("plc/word", b"8")
    site.flag("word", "fault")
    site.say("plc/word", b"7")
    site.flag("word", "ok")


def test_a_picture_of_ten_minutes_ago_does_not_clear_an_alarm(site: Site) -> None:
    """A standing alarm is frozen by what is old; a picture of now clears it."""

    def send(picture: bytes, ago_s: float) -> None:
        site.say(FRAME_TOPIC, {"image": base64.b64encode(picture).decode(), "ts": iso(ago_s)})

    send(RED, 0)
    site.ear.until("alarm/red", lambda alarm: alarm["active"])
    for step in range(5):
        send(GREEN, 600 - step)
    wait_for(
        lambda: sum(site.ear.heartbeat()["cameras"]["cam1"]["dropped"].values()) >= 5, what="old pictures are counted"
    )
    assert site.ear.last("alarm/red")["active"]
    send(GREEN, 0)
    site.ear.until("alarm/red", lambda alarm: not alarm["active"])
