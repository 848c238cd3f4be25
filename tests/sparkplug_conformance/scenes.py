"""The scenes of the conformance recording: four daemons, played at the same time, and everything that passes written to one tape."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sparkplug_conformance.relay import Tape
from tests.sparkplug_conformance.schema import metric
from tests.sparkplug_conformance.stage import (
    ALARM,
    ALARMING,
    FLIPPING,
    HOST,
    SILENT,
    STALE_AFTER_MS,
    STEADY,
    HostApplication,
    Stage,
)
from tests.stand.bundles import colour_bundle

STILLS = {"frozen_after_ms": 0}  # the cameras repeat their few pictures on purpose
REBIRTH = "Node Control/Rebirth"
PLAY_S = 150.0


def record(folder: Path, path: Path) -> None:
    """Play every scene, at once, and write the tape to ``path``."""
    bundle = folder / "colours"
    target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
    colour_bundle(bundle, target=target)
    tape = Tape(path)
    failures: list[BaseException] = []

    def play(scene: Callable[[Path, Path, Tape], None], name: str) -> None:
        try:
            scene(folder / name, bundle, tape)
        except BaseException as error:  # noqa: BLE001 - raised again below, on the thread that may
            failures.append(error)

    scenes = {"press6": _one_server, "press7": _life, "press8": _older_mqtt, "press9": _two_servers}
    threads = [threading.Thread(target=play, args=(scene, name), daemon=True) for name, scene in scenes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PLAY_S)
    tape.close()
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads), f"a scene takes longer than {PLAY_S} s"


def _site(node: str, cameras: int, **more: Any) -> dict[str, Any]:
    ids = [f"cam{number + 1}" for number in range(cameras)]
    return {
        "node": {"id": node, **more},
        "cameras": [
            {"id": camera, "stale_after_ms": STALE_AFTER_MS, "max_bytes": 1_000_000, "picture": STILLS}
            for camera in ids
        ],
        "sensors": [{"id": "temperature", "stale_after_ms": 600_000}],
        "rules": [{"id": "hot", "sensor": "temperature", "kind": "above", "limit": 80.0}],
        "faults": [
            *({"id": f"red{camera[3:]}", "camera": camera, "vision": "red", "alarm": ALARM} for camera in ids),
            {"id": "hot", "rules": ["hot"], "alarm": ALARM},
        ],
    }


# --- one whole life: everything that can happen to a node on one server, MQTT 5


def _life(folder: Path, bundle: Path, tape: Tape) -> None:
    stage = Stage(folder, bundle, tape, _site("press7", 3, state_dir=str(folder / "state")))
    try:
        stage.announce(first_bd_seq=0)
        host = HostApplication(stage.relays[0].port)
        stage.daemon.start()
        stage.metric("DDATA", "cam1", "Flags/red1/Active", value=False)
        _commands(stage, host)
        _node_level(stage, host)
        _many_messages(stage)
        _rebirth(stage, host)
        _silent_camera(stage)
        host.close()
        host = _killed_broker(stage)
        _killed_daemon(stage)
        time.sleep(1.0)
        stage.daemon.stop()
        host.close()
    finally:
        stage.close()


def _commands(stage: Stage, host: HostApplication) -> None:
    """A frame raises an alarm; a host acknowledges the wrong occurrence, then the right one, shelves it, and takes it back."""
    mark, dcmd = stage.tape.mark(), stage.topic("DCMD", "cam1")
    stage.cameras.show["cam1"] = ALARMING
    stage.metric("DDATA", "cam1", "Alarms/red1/State", "UNACK_ALM", mark)
    raised = stage.said(
        "DDATA", "cam1", lambda said: any(item.name == "Alarms/red1/Occurrence" for item in said.metrics), mark
    )
    occurrence = metric(raised, "Alarms/red1/Occurrence").string_value
    host.write(dcmd, {"Alarms/red1/Ack": "01AAAAAAAAAAAAAAAAAAAAAAAA", "Command/User": "olga"})
    stage.metric("DDATA", "cam1", "Command/Result", lambda said: "stale_occurrence" in str(said), mark)
    host.write(dcmd, {"Alarms/red1/Ack": occurrence, "Command/User": "olga"})
    stage.metric("DDATA", "cam1", "Alarms/red1/Ack", occurrence, mark)
    host.write(dcmd, {"Alarms/red1/Shelve Minutes": 5, "Command/User": "olga", "Command/Comment": "lens is cleaned"})
    stage.metric("DDATA", "cam1", "Alarms/red1/State", "SHELVED", mark)
    host.write(dcmd, {"Alarms/red1/Shelve Minutes": 0, "Command/User": "olga"})
    stage.metric("DDATA", "cam1", "Alarms/red1/Shelve Minutes", 0, mark)
    stage.cameras.show["cam1"] = STEADY


def _node_level(stage: Stage, host: HostApplication) -> None:
    """A sensor rule is the node's own: its flag and alarm are NDATA, and an NCMD writes to it."""
    mark = stage.tape.mark()
    stage.cameras.sense("temperature", 90.0)
    stage.metric("NDATA", None, "Flags/hot/Active", True, mark)  # noqa: FBT003 - a metric's value
    host.write(stage.topic("NCMD"), {"Alarms/hot/In Service": False, "Command/User": "olga", "Command/Comment": "test"})
    stage.metric("NDATA", None, "Alarms/hot/State", "OOS", mark)
    host.write(stage.topic("NCMD"), {"Alarms/hot/In Service": True, "Command/User": "olga"})
    stage.metric("NDATA", None, "Alarms/hot/In Service", True, mark)  # noqa: FBT003 - a metric's value
    stage.cameras.sense("temperature", 20.0)
    stage.metric("NDATA", None, "Flags/hot/Active", False, mark)  # noqa: FBT003 - a metric's value


def _many_messages(stage: Stage) -> None:
    """More than 255 messages since the birth, so that the numbers begin again."""
    stage.cameras.show.update(dict.fromkeys(stage.devices, FLIPPING))
    stage.said("DDATA", "cam1", lambda said: said.seq >= 240)
    mark = stage.tape.mark()
    stage.said("DDATA", "cam2", lambda said: said.seq < 100, mark)


def _rebirth(stage: Stage, host: HostApplication) -> None:
    """While data flow a host asks for the births again."""
    mark = stage.tape.mark()
    host.write(stage.topic("NCMD"), {REBIRTH: True}, qos=1)
    stage.lives("cam3", mark)
    stage.cameras.show.update(dict.fromkeys(stage.devices, STEADY))


def _silent_camera(stage: Stage) -> None:
    """One camera falls silent and comes back; meanwhile the other one goes on."""
    mark = stage.tape.mark()
    stage.cameras.show.update(cam1=FLIPPING, cam2=SILENT)
    stage.said("DDEATH", "cam2", since=mark)
    mark = stage.tape.mark()
    time.sleep(0.5)
    stage.cameras.show.update(cam1=STEADY, cam2=FLIPPING)
    stage.lives("cam2", mark)


def _killed_broker(stage: Stage) -> HostApplication:
    """The broker is killed under data, and comes back: a session more, and what was missed is history."""
    mark = stage.tape.mark()
    stage.brokers[0].kill()
    time.sleep(1.0)
    stage.brokers[0].start()
    host = HostApplication(stage.relays[0].port)
    stage.said("NBIRTH", since=mark)
    stage.said("DDATA", "cam2", lambda said: said.metrics[0].is_historical, mark)
    mark = stage.tape.mark()
    stage.said("DDATA", "cam2", lambda said: not said.metrics[0].is_historical, mark)
    return host


def _killed_daemon(stage: Stage) -> None:
    """The daemon is killed: the server publishes its will. It starts again, and goes on with the next number."""
    mark, ndeath = stage.tape.mark(), stage.topic("NDEATH")
    stage.daemon.kill()
    stage.tape.wait(
        f"{ndeath} from the server", lambda line: line["way"] == "down" and line["fields"].get("topic") == ndeath, mark
    )
    mark = stage.tape.mark()
    stage.daemon.start()
    stage.lives("cam2", mark)


# --- MQTT 3.1.1


def _older_mqtt(folder: Path, bundle: Path, tape: Tape) -> None:
    stage = Stage(folder, bundle, tape, _site("press8", 2), protocol="3.1.1")
    try:
        stage.announce(first_bd_seq=0)
        stage.daemon.start()
        stage.metric("DDATA", "cam1", "Flags/red1/Active", value=False)
        mark = stage.tape.mark()
        stage.cameras.show["cam1"] = FLIPPING
        stage.metric("DDATA", "cam1", "Flags/red1/Active", True, mark)  # noqa: FBT003 - a metric's value
        stage.cameras.sense("temperature", 90.0)
        stage.metric("NDATA", None, "Flags/hot/Active", True, mark)  # noqa: FBT003 - a metric's value
        time.sleep(0.5)
        stage.daemon.stop()
    finally:
        stage.close()


# --- a primary host, on one server and on two


def _one_server(folder: Path, bundle: Path, tape: Tape) -> None:
    """A node that waits for its host; when the host goes it comes back to the same server and waits again."""
    stage = Stage(folder, bundle, tape, _site("press6", 1), sparkplug={"primary_host": HOST}, protocol="5")
    host = HostApplication(stage.relays[0].port)
    try:
        stage.announce(first_bd_seq=0, primary_host=HOST)
        host.say(online=False, stamp_ms=1_000)
        mark = tape.mark()
        stage.daemon.start()
        _heard_state(stage, 0, 1_000, mark)
        time.sleep(0.8)
        host.say(online=True, stamp_ms=2_000)
        stage.cameras.show["cam1"] = FLIPPING
        stage.lives("cam1", mark)

        mark = tape.mark()
        host.say(online=False, stamp_ms=2_000)
        _connected(stage, 0, mark)
        time.sleep(0.8)
        host.say(online=True, stamp_ms=3_000)
        stage.lives("cam1", mark)
        stage.daemon.stop()
    finally:
        host.close()
        stage.close()


def _two_servers(folder: Path, bundle: Path, tape: Tape) -> None:
    """A node that waits for its host, on two servers that each have the host's word with a clock of its own."""
    state = folder / "state"
    site = _site("press9", 1, state_dir=str(state))
    stage = Stage(folder, bundle, tape, site, sparkplug={"primary_host": HOST}, servers=2, protocol="5")
    state.mkdir()
    (state / "sparkplug.bdseq").write_text("253\n", encoding="ascii")  # the number's end is near, and must be passed
    hosts = [HostApplication(relay.port) for relay in stage.relays]
    try:
        stage.announce(first_bd_seq=254, primary_host=HOST)
        hosts[0].say(online=False, stamp_ms=1_000)
        hosts[1].say(online=True, stamp_ms=9_999, host="another")
        mark = tape.mark()
        stage.daemon.start()
        _connected(stage, 1, mark)  # the first server says that the host is away
        time.sleep(0.8)
        hosts[1].say(online=True, stamp_ms=5_000)
        stage.cameras.show["cam1"] = FLIPPING
        stage.lives("cam1", mark)

        mark = tape.mark()
        hosts[1].say(online=False, stamp_ms=4_000, retain=False)  # of the past: nothing happens
        _heard_state(stage, 1, 4_000, mark)
        time.sleep(0.8)
        hosts[0].say(online=True, stamp_ms=2_000)
        mark = tape.mark()
        hosts[1].say(online=False, stamp_ms=5_000)  # of now: leave, and try the next
        _connected(stage, 0, mark)
        stage.lives("cam1", mark)

        hosts[1].say(online=True, stamp_ms=4_500)  # kept by the second server, and older than its last
        mark = tape.mark()
        hosts[0].say(online=False, stamp_ms=2_500)
        _heard_state(stage, 1, 4_500, mark)
        time.sleep(0.8)
        hosts[1].say(online=True, stamp_ms=6_000)
        stage.lives("cam1", mark)
        time.sleep(0.3)
        stage.daemon.stop()
    finally:
        for host in hosts:
            host.close()
        stage.close()


def _connected(stage: Stage, server: int, since: int) -> None:
    """Wait until the node's Sparkplug connection to this server is accepted."""
    relay, client_id = f"{stage.node}-{server}", f"{stage.node}-sparkplug"
    link = stage.tape.wait(
        f"a connection to {relay}",
        lambda line: line["relay"] == relay and line["kind"] == "CONNECT" and line["fields"]["client_id"] == client_id,
        since,
    )["link"]
    stage.tape.wait(f"its SUBACK from {relay}", lambda line: line["link"] == link and line["kind"] == "SUBACK", since)


def _heard_state(stage: Stage, server: int, stamp_ms: int, since: int) -> None:
    """Wait until a STATE message with this time was delivered to the node on this server."""
    relay, word = f"{stage.node}-{server}", f'"timestamp": {stamp_ms}'.encode().hex()

    def fits(line: dict[str, Any]) -> bool:
        fields = line["fields"]
        heard = line["relay"] == relay and line["way"] == "down" and line["kind"] == "PUBLISH"
        # The host hears its own words too.
        return bool(
            heard and word in fields["payload"] and stage.tape.clients[line["link"]] == f"{stage.node}-sparkplug"
        )

    stage.tape.wait(f"{relay}: the host's word of {stamp_ms}", fits, since)
