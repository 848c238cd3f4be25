"""A reload changes everything it can between two frames, keeps every alarm's state, and whatever cannot be changes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import EXIT_BUNDLE, EXIT_FAILED, EXIT_OK, main
from tests.sparkplug_conformance.schema import metric, read, value_of
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import (
    COLOURS,
    colour_bundle,
    colour_graph,
    endless_graph,
    fault,
    flat_jpeg,
    manifest_document,
    write_bundle,
)
from tests.stand.daemon import PREFIX, STILLS, Daemon, Ear, Heard, Sender, site_document, toml

pytestmark = pytest.mark.broker

RED, GREEN, GREY = flat_jpeg(255, 0, 0), flat_jpeg(0, 255, 0), flat_jpeg(90, 90, 90)
ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}


class Site:
    """A daemon whose site file and bundles a test changes."""

    def __init__(self, folder: Path, port: int, **more: Any) -> None:
        self.bundles = folder / "bundles"
        colour_bundle(self.bundles / "v1", target=TARGET, version=2)
        self.document = site_document(self.bundles / "v1", port) | {
            "node": {"id": "bench", "state_dir": str(folder / "state")},
            "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}, {"id": "old", "camera": "cam1", "vision": "blue", "alarm": ALARM}],
        } | more  # fmt: skip
        self.ear = Ear(port, extra=("spBv1.0/#",))
        self.path = folder / "site.toml"
        self.daemon = Daemon(self.document, folder).start()
        self.sender = Sender(port)
        self.sender.knock(self.ear, GREY)

    def write(self, **changes: Any) -> None:
        """Change the site file."""
        self.document |= changes
        self.path.write_text(toml(self.document), encoding="utf-8")

    def frame(self, encoded: bytes, camera: str = "cam1") -> Any:
        """Send a frame; the first flag that it made."""
        flags = [flag for heard in self.ear.on("flag/") if (flag := heard.document())["cam"] == camera]
        newest = max((flag["frame_seq"] or 0 for flag in flags), default=0)
        mark = self.ear.count()
        self.sender.publish(f"{PREFIX}/in/frame/{camera}", encoded)
        return self.ear.wait(
            "flag/", lambda flag: flag["cam"] == camera and (flag["frame_seq"] or 0) > newest, since=mark
        )

    def reload(self, **fields: Any) -> Any:
        """Ask for it over MQTT; returns the reply."""
        body = {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), "user": "op"} | fields
        mark = self.ear.count()
        self.ear.publish(f"{PREFIX}/cmd/reload", json.dumps(body).encode())
        return self.ear.wait("res/reload", lambda reply: reply["code"] != "busy", since=mark, timeout_s=30)

    def close(self) -> None:
        """Stop it all."""
        self.sender.close()
        self.daemon.kill()
        self.ear.close()


@pytest.fixture
def make_site(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Callable[..., Site]]:
    """Makes running daemons; stops them at the end."""
    made: list[Site] = []

    def make(**more: Any) -> Site:
        made.append(Site(tmp_path, mosquitto.port, **more))
        return made[-1]

    yield make
    for site in made:
        site.close()


def test_site_and_bundle_are_exchanged_and_alarms_stay(make_site: Callable[..., Site]) -> None:
    """A standing, acknowledged alarm goes on as the same occurrence; what is new is heard, what is gone is cleared, and all of it is said."""
    site = make_site(sparkplug={"enabled": True, "group_id": "g"})
    ear = site.ear
    site.frame(RED)
    before = ear.until("alarm/red", lambda alarm: alarm["active"])
    ack = {"request_id": "a", "issued_at": datetime.now(UTC).isoformat(), "user": "op", "alarm_id": "red"}
    ear.publish(f"{PREFIX}/cmd/ack", json.dumps(ack | {"occurrence_id": before["occurrence_id"]}).encode())
    ear.until("alarm/red", lambda alarm: alarm["acked"])
    seq = site.frame(RED)["frame_seq"]
    colour_bundle(site.bundles / "v2", target=TARGET, version=3)
    site.write(
        bundle=str(site.bundles / "v2"),
        cameras=[{"id": "cam1", "picture": STILLS}, {"id": "cam2", "picture": STILLS}],
        faults=[
            {"id": "red", "camera": "cam1", "alarm": ALARM | {"message": "Very red"}},
            {"id": "second", "camera": "cam2", "vision": "green", "alarm": ALARM},
        ],
    )
    mark = ear.count()
    reply = site.reload(comment="second camera")
    assert reply["ok"], reply
    assert "version 3, 2 cameras" in reply["detail"]
    meta = ear.wait("meta", lambda meta: meta["model"]["version"] == 3, since=mark)
    assert {"red", "second", "cam2-silent"} <= {alarm["id"] for alarm in meta["alarms"]}
    assert ear.wait("state", lambda state: state["model"]["version"] == 3, since=mark)["online"]
    after = ear.wait("alarm/red", lambda alarm: alarm["message"] == "Very red", since=mark)
    assert (after["occurrence_id"], after["state"], after["severity"]) == (before["occurrence_id"], "ACK_ALM", 700)
    assert not [flag for flag in ear.on("flag/red", mark) if flag.document()["verdict"] == "unknown"]
    assert not ear.on("alarm/old", mark)  # it may yet come back
    assert site.frame(RED)["frame_seq"] == seq + 1
    assert site.frame(GREEN, "cam2")["ch"] == "second"
    assert ear.until("alarm/second", lambda alarm: alarm["active"])["state"] == "UNACK_ALM"

    def born() -> list[Heard]:
        return [heard for heard in ear.everything()[mark:] if "/NBIRTH/" in heard.topic or "/DBIRTH/" in heard.topic]

    wait_for(lambda: len(born()) >= 3, 10, "the Sparkplug node is reborn")
    births = born()
    assert [birth.topic.split("/")[2] for birth in births[:3]] == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert value_of(metric(read(births[0].payload), "Model/Version")) == "3"
    events = [event.document() for event in ear.on("event", mark)]
    assert [event["subject"] for event in events if event["what"] == "removed"] == ["old"]
    assert any(event["what"] == "reloaded" for event in events)
    command = next(event for event in events if event["kind"] == "command")
    assert (command["subject"], command["what"], command["user"]) == ("reload", "ok", "op")
    for _ in range(50):
        site.frame(GREEN)
    ear.wait("event", lambda event: event["what"] == "reload kept", since=mark)
    wait_for(lambda: [heard.payload for heard in ear.on("alarm/old", mark)] == [b""], 10, "what went is cleared")


def test_a_severity_that_rises_annunciates_again(make_site: Callable[..., Site]) -> None:
    """An acknowledged alarm that is now more severe needs somebody again, as the same occurrence; one that is less severe does not."""
    site = make_site()
    ear = site.ear
    site.frame(RED)
    before = ear.until("alarm/red", lambda alarm: alarm["active"])
    ack = {"user": "op", "alarm_id": "red", "occurrence_id": before["occurrence_id"]}

    def acknowledge() -> None:
        body = ack | {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat()}
        ear.publish(f"{PREFIX}/cmd/ack", json.dumps(body).encode())
        ear.until("alarm/red", lambda alarm: alarm["acked"])

    def reload(severity: int) -> tuple[list[str], Any]:
        site.write(faults=[{"id": "red", "camera": "cam1", "alarm": ALARM | {"severity": severity}}])
        mark = ear.count()
        assert site.reload()["ok"]
        ear.wait("event", lambda event: event["what"] == "reloaded", since=mark)
        heard = [event.document() for event in ear.on("event", mark)]
        triggers = [event["detail"].split()[0] for event in heard if event["subject"] == "red"]
        alarm = ear.until("alarm/red", lambda alarm: alarm["severity"] == severity)
        return [trigger for trigger in triggers if trigger != "QUALITY"], alarm

    acknowledge()
    triggers, alarm = reload(900)
    assert (triggers, alarm["state"], alarm["priority"]) == (["SEVERITY", "ESCALATE"], "UNACK_ALM", "Critical")
    assert alarm["occurrence_id"] == before["occurrence_id"]
    acknowledge()
    triggers, alarm = reload(300)
    assert (triggers, alarm["state"], alarm["priority"]) == (["SEVERITY"], "ACK_ALM", "Low")
    assert reload(300)[0] == []


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _bad(site: Site) -> dict[str, tuple[str, str]]:
    """Bundles that may not go live, by the name to ask for: what is wrong, and a word of the answer."""
    folder = site.bundles
    for name in ("bit", "extra", "link", "cut", "manifest", "format", "field"):
        shutil.copytree(folder / "v1", folder / name)
    _flip(folder / "bit" / "graph.onnx")
    (folder / "extra" / "more.bin").write_bytes(b"x")
    (folder / "link" / "golden" / "0.jpg").unlink()
    (folder / "link" / "golden" / "0.jpg").symlink_to(folder / "v1" / "golden" / "0.jpg")
    (folder / "cut" / "graph.onnx").write_bytes((folder / "v1" / "graph.onnx").read_bytes()[:100])
    (folder / "manifest" / "manifest.json").write_text("{", encoding="utf-8")
    for name, later in {"format": {"format": 2}, "field": {"regions": []}}.items():
        file = folder / name / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | later), encoding="utf-8")
    colour_bundle(folder / "board", target=TARGET | {"arch": "riscv64"}, version=2)
    colour_bundle(folder / "slow", target=TARGET | {"budget_ms": 0.001}, version=2)
    colour_bundle(folder / "older", target=TARGET, version=1)
    document = manifest_document({"graph.onnx": b"", "golden/0.jpg": b""}, faults=[fault(colour) for colour in COLOURS])
    golden = [{"file": "golden/0.jpg", "scores": [0.1, 0.2, 0.3]}]
    files = {"graph.onnx": colour_graph(), "golden/0.jpg": RED}
    write_bundle(
        folder / "golden", files, faults=document["faults"], proof=document["proof"] | {"golden": golden}, target=TARGET
    )
    return {
        "bit": ("a bit of the graph turned", "hash"),
        "extra": ("a file that is not listed", "more.bin"),
        "link": ("a link in place of a file", "link"),
        "cut": ("the graph is cut off", "graph.onnx"),
        "manifest": ("the manifest is no JSON", "manifest"),
        "format": ("of a newer format", "this version reads format 1"),
        "field": ("with a field of a newer toolchain", "regions: is no key"),
        "board": ("made for another board", "riscv64"),
        "slow": ("too slow for its budget", "Too slow"),
        "older": ("an older version of what runs", "older"),
        "golden": ("other scores than it promises", "Golden"),
        "nowhere": ("not there", "nowhere"),
    }


def test_what_cannot_be_changes_nothing(make_site: Callable[..., Site]) -> None:
    """Each bad bundle and each bad site file is refused with its reason, journalled, and the running one goes on judging."""
    site = make_site()
    running = site.ear.until("meta", lambda _: True)["model"]
    bad = _bad(site)
    for name, (what, word) in bad.items():
        reply = site.reload(bundle=name)
        assert (reply["ok"], reply["code"]) == (False, "not_allowed"), what
        assert word.lower() in reply["detail"].lower(), (what, reply["detail"])
        assert site.frame(RED)["met"], what
    good = dict(site.document)
    files = {
        "[broken": "not TOML",
        toml(good | {"surprise": 1}): "surprise",
        toml(good | {"node": {"id": "other"}}): "node.id",
        toml(good | {"broker": good["broker"] | {"keepalive_s": 9}}): "broker cannot change",
        toml(good | {"faults": [{"id": "red", "camera": "cam1", "vision": "purple"}]}): "purple",
        toml(
            good | {"faults": [{"id": "red", "camera": "cam1", "alarm": {"severity": 700, "message": "x"}}]}
        ): "operator_action",
    }
    for text, word in files.items():
        site.path.write_text(text, encoding="utf-8")
        reply = site.reload()
        assert not reply["ok"]
        assert word in reply["detail"]
        assert site.frame(RED)["met"]
    assert site.ear.last("meta")["model"] == running
    wait_for(lambda: len(_refused(site)) == len(bad) + len(files), 10, "each is in the journal, and no other")


def _refused(site: Site) -> list[Any]:
    return [event for heard in site.ear.on("event") if (event := heard.document())["what"] == "reload refused"]


def _answers(request_id: str, reply: dict[str, Any]) -> bool:
    return bool(reply["request_id"] == request_id)


def test_a_name_is_no_path(make_site: Callable[..., Site]) -> None:
    """A command can name a bundle beside the present one and nothing else on the disk."""
    site = make_site()
    mark = site.ear.count()
    names = ("../bundles/v1", "/etc", "..", ".v1", "v1/", "")
    for name in names:
        body = {"request_id": f"n{name}", "issued_at": datetime.now(UTC).isoformat(), "user": "op", "bundle": name}
        site.ear.publish(f"{PREFIX}/cmd/reload", json.dumps(body).encode())
    for name in names:
        found = site.ear.wait("res/reload", partial(_answers, f"n{name}"), since=mark)
        assert (found["ok"], found["code"]) == (False, "bad_request"), name


def test_sighup_does_the_same(make_site: Callable[..., Site]) -> None:
    """What `systemctl reload` sends; the journal tells what came of it."""
    site = make_site()
    assert site.daemon.process is not None
    site.path.write_text("[broken", encoding="utf-8")
    site.daemon.process.send_signal(signal.SIGHUP)
    told = site.ear.wait("event", lambda event: event["what"] == "reload refused", timeout_s=20)
    assert "not TOML" in told["detail"]
    site.write(publish={"flags": "frame", "heartbeat_s": 0.5}, faults=[{"id": "green", "camera": "cam1"}])
    site.daemon.process.send_signal(signal.SIGHUP)
    site.ear.wait("event", lambda event: event["what"] == "reloaded", timeout_s=20)
    assert site.frame(GREEN)["ch"] == "green"


def test_a_bundle_that_fails_on_real_frames_is_taken_back(make_site: Callable[..., Site]) -> None:
    """It keeps its promise on its golden pictures and gives no scores on others: after three such frames the former one runs again.

    Alarms that went with it come back as they were.
    """
    site = make_site()
    site.frame(RED)
    occurrence = site.ear.until("alarm/red", lambda alarm: alarm["active"])["occurrence_id"]
    site.frame(flat_jpeg(0, 0, 255))
    site.ear.until("alarm/old", lambda alarm: alarm["active"])
    for _ in range(6):
        site.frame(RED)
        time.sleep(0.05)
    old = site.ear.until("alarm/old", lambda alarm: alarm["state"] == "RTN_UNACK")
    site.write(faults=site.document["faults"][:1])
    files = {"graph.onnx": colour_graph(scale=200.0), "golden/0.jpg": GREY, "golden/1.jpg": flat_jpeg(190, 190, 190)}
    proof = manifest_document(files, faults=[fault(colour) for colour in COLOURS])["proof"]
    proof["golden"] = [{"file": f"golden/{row}.jpg", "scores": [level] * 3} for row, level in enumerate((0.45, 0.95))]
    faults = [fault(colour) for colour in COLOURS]
    write_bundle(site.bundles / "v2", files, faults=faults, name="colours", proof=proof, target=TARGET, version=3)
    assert site.reload(bundle="v2")["ok"]
    mark = site.ear.count()
    for _ in range(3):
        assert site.frame(RED)["verdict"] == "unknown"
    taken_back = site.ear.wait("event", lambda event: event["what"] == "reload taken back", since=mark)
    assert "3 without scores" in taken_back["detail"]
    assert site.ear.wait("meta", lambda meta: meta["model"]["version"] == 2, since=mark)
    again = site.ear.wait("alarm/old", lambda alarm: alarm, since=mark)
    assert (again["state"], again["occurrence_id"]) == ("RTN_UNACK", old["occurrence_id"])
    assert all(heard.payload for heard in site.ear.on("alarm/old"))
    assert site.frame(RED)["verdict"] == "fault"
    site.frame(RED)
    now = site.ear.until("alarm/red", lambda alarm: alarm["quality"] == "good")
    assert (now["occurrence_id"], now["state"]) == (occurrence, "UNACK_ALM")


def test_a_bundle_that_keeps_its_promise_stays(make_site: Callable[..., Site]) -> None:
    """After fifty frames in time the former one is let go, and the journal says so."""
    site = make_site()
    colour_bundle(site.bundles / "v2", target=TARGET, version=3)
    assert site.reload(bundle="v2")["ok"]
    for _ in range(50):
        site.frame(RED)
    site.ear.wait("event", lambda event: event["what"] == "reload kept")


def test_from_a_terminal(make_site: Callable[..., Site], capsys: pytest.CaptureFixture[str]) -> None:
    """`edge-daemon reload` waits for the outcome and says it."""
    site = make_site()
    colour_bundle(site.bundles / "v2", target=TARGET, version=3)
    where = ["--config", str(site.path), "--user", "op"]
    assert main(["reload", "--bundle", "nowhere", *where]) == EXIT_FAILED
    assert "nowhere" in capsys.readouterr().out
    assert main(["reload", "--bundle", "v2", *where]) == EXIT_OK
    assert capsys.readouterr().out.startswith("reload: done: colours version 3")


def test_a_bundle_that_watches_less_closely_is_asked_for_by_name(make_site: Callable[..., Site]) -> None:
    """Refused with the fault's name; once named it goes live, an alarm says so, and a standing alarm's history tells who judges it now."""
    site = make_site()
    ear = site.ear
    site.frame(RED)
    ear.until("alarm/red", lambda alarm: alarm["active"])
    deaf = [fault("red", threshold=0.9, release=0.9), fault("green"), fault("blue")]
    files = {"graph.onnx": colour_graph(scale=290.0), "golden/0.jpg": RED, "golden/1.jpg": flat_jpeg(0, 128, 255)}
    proof = manifest_document(files, faults=deaf)["proof"]
    scores = [[255 / 290, 0.0, 0.0], [0.0, 128 / 290, 255 / 290]]
    proof["golden"] = [{"file": f"golden/{row}.jpg", "scores": found} for row, found in enumerate(scores)]
    write_bundle(site.bundles / "deaf", files, faults=deaf, name="colours", proof=proof, target=TARGET, version=3)
    for weaker in ([], ["green"], ["blue", "old"]):
        reply = site.reload(bundle="deaf", weaker=weaker)
        assert (reply["ok"], reply["code"]) == (False, "not_allowed")
        assert "threshold rises from 0.8 to 0.9" in reply["detail"]
        assert 'weaker = ["red"]' in reply["detail"]
    assert site.frame(RED)["verdict"] == "fault"
    mark = ear.count()
    assert site.reload(bundle="deaf", weaker=["red"])["ok"]
    alarm = ear.wait("alarm/node-weaker", lambda alarm: alarm["active"], since=mark)
    assert alarm["state"] == "UNACK_ALM"
    said = ear.wait("event", lambda event: event["what"] == "watches less closely", since=mark)
    assert "red: its threshold rises" in said["detail"]
    for _ in range(6):  # longer than the alarm's off-delay
        site.frame(RED)
        time.sleep(0.05)
    ear.wait("alarm/red", lambda alarm: not alarm["active"], since=mark)
    marks = [event for heard in ear.on("event", mark) if (event := heard.document())["subject"] == "red"]
    judged = next(place for place, event in enumerate(marks) if event["what"] == "judged by another bundle")
    returned = next(place for place, event in enumerate(marks) if "->" in event["what"])
    assert judged < returned
    assert "colours version 2 is replaced by colours version 3" in marks[judged]["detail"]


def test_no_way_leads_back_to_an_older_bundle(make_site: Callable[..., Site]) -> None:
    """Neither over another name in between nor over a restart, unless the site file allows it."""
    site = make_site()
    colour_bundle(site.bundles / "old", target=TARGET, version=1)
    colour_bundle(site.bundles / "other", target=TARGET, version=1, name="other")
    assert site.reload(bundle="other")["ok"]
    reply = site.reload(bundle="old")
    assert "older than version 2, which ran here" in reply["detail"]
    assert site.reload(bundle="v1")["ok"]
    site.daemon.stop()
    site.write(bundle=str(site.bundles / "old"))
    site.daemon.start(ready=False)
    assert site.daemon.process is not None
    assert site.daemon.process.wait(60) == EXIT_BUNDLE
    assert "older than version 2, which ran here" in site.daemon.log()
    site.write(runtime={"allow_older_bundle": True})
    site.daemon.start()


def test_a_graph_that_never_ends_wedges_nothing(make_site: Callable[..., Site]) -> None:
    """It is refused within its time, frames are judged meanwhile, no core goes on burning, and the next reload works."""
    site = make_site()
    colour_bundle(site.bundles / "endless", graph=endless_graph(), target=TARGET, version=3)
    colour_bundle(site.bundles / "good", target=TARGET, version=3)
    mark = site.ear.count()
    body = {"request_id": "e", "issued_at": datetime.now(UTC).isoformat(), "user": "op", "bundle": "endless"}
    site.ear.publish(f"{PREFIX}/cmd/reload", json.dumps(body).encode())
    site.frame(RED)
    reply = site.ear.wait("res/reload", lambda reply: reply["code"] != "busy", since=mark, timeout_s=120)
    assert (reply["ok"], reply["code"]) == (False, "not_allowed")
    assert "does not end" in reply["detail"]
    before = site.daemon.cpu_s()
    time.sleep(2.0)
    assert site.daemon.cpu_s() - before < 1.0
    assert site.reload(bundle="good")["ok"]


def test_a_threshold_out_of_reach_is_told_at_the_first_start_and_at_every_other(make_site: Callable[..., Site]) -> None:
    """No bundle ran before that it could be compared with: meta says what is not armed, and the alarm is active until the bundle is another one."""
    site = make_site()
    site.daemon.stop()
    shutil.rmtree(site.path.parent / "state")
    deaf = [fault("red"), fault("green", threshold=1.0, release=0.9), fault("blue")]
    colour_bundle(site.bundles / "old", faults=deaf, target=TARGET, version=3)
    both = [{"id": name, "camera": "cam1", "alarm": ALARM} for name in ("red", "green")]
    site.write(bundle=str(site.bundles / "old"), faults=both)
    for _ in range(2):
        mark = site.ear.count()
        site.daemon.start()
        site.ear.wait("alarm/node-weaker", lambda alarm: alarm["active"], since=mark)
        said = site.ear.wait("event", lambda event: event["what"] == "watches less closely", since=mark)["detail"]
        assert said == "green: no golden input reaches its threshold of 1, so it is disarmed"
        meta = site.ear.wait("meta", lambda _: True, since=mark)
        assert {channel["id"]: channel["armed"] for channel in meta["channels"]} == {"red": True, "green": False}
        assert "green" not in {alarm["id"] for alarm in meta["alarms"]}
        site.daemon.stop()


def test_a_weaker_bundle_at_the_next_start_is_an_alarm(make_site: Callable[..., Site]) -> None:
    """A start cannot be asked, and refusing it would blind the plant: it watches, and says what it no longer sees."""
    site = make_site()
    faults = [fault("red", threshold=0.95, release=0.9), fault("green"), fault("blue", armed=False)]
    colour_bundle(site.bundles / "next", faults=faults, target=TARGET, version=3)
    site.daemon.stop()
    site.write(bundle=str(site.bundles / "next"))
    mark = site.ear.count()
    site.daemon.start()
    assert site.ear.wait("alarm/node-weaker", lambda alarm: alarm["active"], since=mark)["state"] == "UNACK_ALM"
    said = site.ear.wait("event", lambda event: event["what"] == "watches less closely", since=mark)["detail"]
    assert "red: its threshold rises from 0.8 to 0.95" in said
    assert "blue: it is not armed" in said
    site.daemon.stop()
    mark = site.ear.count()
    site.daemon.start()
    site.ear.wait("alarm/node-weaker", lambda alarm: alarm["state"] == "RTN_UNACK", since=mark)
