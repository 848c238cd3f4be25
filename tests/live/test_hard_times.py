"""What a device meets in its life, over the real daemon: a twin, no file descriptors, an end while the broker hangs, a hanging graph, a clock that jumps."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge import daemon as daemon_module
from edge.daemon import STUCK_NS
from edge.errors import EdgeError
from edge.plan import site_bundle
from edge.site.settings import Site
from edge.wire.messages import State
from tests.stand.brokers import Mosquitto, Relay, wait_for
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Daemon, Ear, Sender, site_document
from tests.stand.plant import roomy_bundle

pytestmark = pytest.mark.broker

RED, GREY = flat_jpeg(255, 0, 0), flat_jpeg(90, 90, 90)
FUTURE_EPOCH = 4_000_000_000
ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}


def site(folder: Path, port: int) -> dict[str, Any]:
    """One alarm, a journal on disk."""
    return site_document(roomy_bundle(folder / "colours"), port) | {
        "node": {"id": "bench", "state_dir": str(folder / "state")},
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], Daemon]]:
    """Starts a daemon on a broker's port; kills it at the end."""
    made: list[Daemon] = []

    def make(port: int) -> Daemon:
        made.append(Daemon(site(tmp_path, port), tmp_path).start())
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill()


def _connects(*daemons: Daemon) -> int:
    return sum(daemon.log().count("connected to") for daemon in daemons)


@pytest.mark.slow
def test_a_twin_is_an_alarm_and_no_tug_of_war(
    mosquitto: Mosquitto, start: Callable[[int], Daemon], tmp_path: Path
) -> None:
    """A second device of the same name takes the connection; both say so, and neither steals it back at once, again and again."""
    daemon = start(mosquitto.port)
    ear = Ear(mosquitto.port)
    (tmp_path / "twin").mkdir()
    twin = Daemon(site(tmp_path / "twin", mosquitto.port), tmp_path / "twin")
    try:
        twin.start()
        alarm = ear.wait("alarm/node-twin", lambda alarm: alarm["active"], timeout_s=40)
        assert alarm["kind"] == "system"
        assert ear.until("state", lambda state: state["ne107"] == "F")
        before = _connects(daemon, twin)
        time.sleep(9)
        assert (
            _connects(daemon, twin) - before <= 8
        )  # two connections of each, once in 7 to 15 s; at the pace of a normal retry it is 36
    finally:
        twin.kill()
        ear.close()


@pytest.mark.not_ours
def test_our_own_former_life_is_no_twin(mosquitto: Mosquitto, start: Callable[[int], Daemon]) -> None:
    """The clock was set back by a power cut, so the broker keeps a state of ours from the future: no alarm. Whoever speaks under our name now is one."""
    ear = Ear(mosquitto.port)
    before = State(online=True, ts="2099-01-01T00:00:00.000Z", session="before", ne107="G", version="1")
    ear.publish("edge/v1/bench/state", before.encode(), retain=True)
    start(mosquitto.port)
    ear.until("alarm/node-twin", lambda alarm: not alarm["active"] and alarm["quality"] == "good")
    time.sleep(2)
    assert not ear.last("alarm/node-twin")["active"]
    assert ear.last("alarm/node-twin")["occurrence_id"] is None
    ear.publish("edge/v1/bench/state", before.model_copy(update={"session": "other"}).encode(), retain=True)
    assert ear.until("alarm/node-twin", lambda alarm: alarm["active"])
    ear.close()


def has_epoch(epoch: int, alarm: Any) -> bool:
    """Whether an alarm was published in this epoch."""
    return bool(alarm["epoch"] == epoch)


@pytest.mark.not_ours
def test_without_a_state_folder_the_epoch_rises_although_the_clock_was_set_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The broker keeps an alarm of an earlier start, by a clock that was years ahead: ours is the newer one all the same."""
    ear = Ear(mosquitto.port)
    kept = json.dumps({"id": "node-twin", "epoch": FUTURE_EPOCH, "seq": 900}).encode()
    ear.publish("edge/v1/bench/alarm/node-twin", kept, retain=True)
    document = site(tmp_path, mosquitto.port) | {"node": {"id": "bench"}}
    for start in (1, 2):
        daemon = Daemon(document, tmp_path).start()
        try:
            raised = FUTURE_EPOCH + start
            ear.until("alarm/red", partial(has_epoch, raised), 20)
            event = ear.wait("event", lambda event: event["what"] == "epoch raised", since=0, timeout_s=5)
            assert event["seq"] == 1
            ear.until("state", lambda state: state["online"] and not any("refused" in why for why in state["reasons"]))
        finally:
            daemon.kill()
    ear.close()


def test_an_impossible_response_topic_does_not_cost_the_connection(
    mosquitto: Mosquitto, start: Callable[[int], Daemon]
) -> None:
    """Mosquitto drops whoever publishes on more than 200 levels: the answer comes on our own topic instead."""
    daemon = start(mosquitto.port)
    ear = Ear(mosquitto.port)
    state = ear.until("state", lambda state: state["online"])
    wait_for(lambda: _connects(daemon) == 2, 20, "both connections are up")
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho leaves this constructor without types
    properties.ResponseTopic = "a" + "/a" * 250
    request = {"request_id": "deep", "issued_at": state["ts"], "user": "op"}
    client.publish("edge/v1/bench/cmd/rebirth", json.dumps(request), 1, properties=properties).wait_for_publish(5)
    assert ear.wait("res/rebirth", lambda reply: reply["request_id"] == "deep")["ok"]
    time.sleep(1)
    assert _connects(daemon) == 2
    client.disconnect()
    client.loop_stop()
    ear.close()


def test_without_file_descriptors_it_waits_and_comes_back(mosquitto: Mosquitto, start: Callable[[int], Daemon]) -> None:
    """No new connection can be opened: it lives, says why in its log, and connects when it may; reconnects leak none."""
    daemon = start(mosquitto.port)
    assert daemon.process is not None
    process = psutil.Process(daemon.process.pid)
    wait_for(lambda: _connects(daemon) == 2, 20, "both connections are up")
    time.sleep(0.5)
    before = process.num_fds()
    for _ in range(4):
        mosquitto.kill()
        mosquitto.start()
        ear = Ear(mosquitto.port)
        ear.wait("state", lambda state: state["online"], timeout_s=20)
        ear.close()
    wait_for(
        lambda: process.num_fds() <= before + 1,
        10,
        f"about {before} descriptors again, one for each of four would be more",
    )
    old = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, old[1]))
    mosquitto.kill()
    mosquitto.start()
    time.sleep(3)
    assert process.is_running()
    assert "Too many open files" in daemon.log()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, old)
    ear, sender = Ear(mosquitto.port), Sender(mosquitto.port)
    ear.wait("state", lambda state: state["online"], timeout_s=20)
    sender.knock(ear, RED)
    assert ear.until("alarm/red", lambda alarm: alarm["active"])
    ear.close()
    sender.close()


def test_it_ends_in_five_seconds_whatever_the_broker_does(
    mosquitto: Mosquitto, relay: Relay, start: Callable[[int], Daemon]
) -> None:
    """SIGTERM over a dead link: it says what it can, keeps the rest on disk, and is gone; the next start tells that it had stopped."""
    daemon = start(relay.port)
    ear, sender = Ear(mosquitto.port), Sender(mosquitto.port)
    sender.knock(ear, RED)
    relay.freeze()
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 5.0
    relay.thaw()
    mark = ear.count()
    daemon.start()
    ear.wait("event", lambda event: event["what"] == "stopped" and event["historical"], since=mark)
    ear.close()
    sender.close()


class Supervisor:
    """What systemd is for a service: hears its notifications."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)  # noqa: FBT003 - its only argument
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")

    def heard(self) -> list[str]:
        """What came since the last question."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(200).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        """No more."""
        self._socket.close()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor that wants a sign of life each 0.4 s."""
    made = Supervisor(tmp_path / "notify", monkeypatch)
    yield made
    made.close()


def test_a_graph_that_hangs_stops_the_watchdog(
    tmp_path: Path, mosquitto: Mosquitto, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY after the proof, a sign of life while the inference thread turns, none while it hangs: the supervisor restarts the daemon."""
    monkeypatch.setattr(daemon_module, "STUCK_NS", STUCK_NS // 5)
    settings = Site.model_validate(site(tmp_path, mosquitto.port))
    daemon = daemon_module.Daemon(settings, site_bundle(settings))
    hanging, stop = threading.Event(), threading.Event()
    try:
        daemon.start()
        assert supervisor.heard() == ["READY=1"]
        waiting = threading.Thread(target=daemon.wait, daemon=True)
        waiting.start()
        time.sleep(1)
        assert set(supervisor.heard()) == {"WATCHDOG=1"}
        assert daemon._live is not None
        engine = daemon._live.proven.engine

        def hang(*_arguments: object) -> None:
            hanging.set()
            stop.wait()

        monkeypatch.setattr(engine, "run", hang)
        sender = Sender(mosquitto.port)
        sender.publish("edge/v1/bench/in/frame/cam1", RED)
        assert hanging.wait(10)
        sender.close()
        time.sleep(1.5)
        supervisor.heard()
        time.sleep(1)
        assert supervisor.heard() == []
    finally:
        stop.set()
        daemon.request_stop()
        daemon.stop()
    assert "STOPPING=1" in supervisor.heard()


def test_an_inference_thread_that_dies_ends_the_daemon(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to judge frames, so the process ends with the reason, and its supervisor starts it again; what it leaves says `failed`.

    Out of memory is what it does not survive (docs/decisions/008-threads.md).
    """

    def out_of_memory(*_arguments: object) -> None:
        raise MemoryError("as good as gone")

    ear = Ear(mosquitto.port)
    settings = Site.model_validate(site(tmp_path, mosquitto.port))
    daemon = daemon_module.Daemon(settings, site_bundle(settings))
    try:
        daemon.start()
        monkeypatch.setattr(daemon._annunciator, "tick", out_of_memory)
        with pytest.raises(EdgeError, match="inference thread died"):
            daemon.wait(10)
    finally:
        daemon.stop()
    state = ear.until("state", lambda state: not state["online"])
    assert (state["reasons"], state["ne107"]) == (["failed"], "F")
    event = ear.until("event", lambda event: event["what"] == "failed")
    assert "MemoryError" in event["detail"]
    ear.close()


def test_it_starts_without_a_broker_and_without_a_clock(
    make_mosquitto: Callable[..., Mosquitto], start: Callable[[int], Daemon], tmp_path: Path
) -> None:
    """Frames are watched for as soon as the bundle is proven; the broker comes later, and everything is told then."""
    broker = make_mosquitto()
    daemon = start(broker.port)
    assert daemon.ready_s < 30
    broker.start()
    ear = Ear(broker.port)
    assert ear.wait("event", lambda event: event["what"] == "started", timeout_s=20)["session"]
    assert ear.until("meta", lambda _: True)
    ear.close()
    assert (tmp_path / "state").exists()
