"""The page against a real broker and a real daemon: what it shows, what it commands, whom it lets, and what it says when something is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("starlette", reason="the extra `page` is not installed")
pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from tests.stand.brokers import MOSQUITTO, Mosquitto, wait_for
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import FRAME_TOPIC, Daemon, Ear, Sender, site_document
from tests.stand.page import PageProcess, Visitor

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: `apt-get install mosquitto`"),
]
RED = flat_jpeg(255, 0, 0)
ALARM = {"severity": 700, "message": "It is red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 0}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A daemon with one red alarm that stands and leaves evidence, and the page beside it."""
    folder = tmp_path_factory.mktemp("page")
    target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
    colour_bundle(folder / "bundle", target=target)
    broker = Mosquitto(folder).start()
    camera = {"id": "cam1", "stale_after_ms": 600_000.0, "snapshot": True, "evidence": True}
    site = site_document(folder / "bundle", broker.port) | {
        "node": {"id": "bench", "state_dir": str(folder)},
        "cameras": [camera, {"id": "cam2", "stale_after_ms": 600_000.0}],
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
        "profiles": [{"id": "large", "title": "1 l bottle"}, {"id": "small", "faults": []}],
        "evidence": {"before_s": 1.0, "after_s": 1.0},
    }
    daemon = Daemon(site, folder).start()
    page = PageProcess(folder, broker.port, evidence=[{"node": "bench", "folder": str(folder / "evidence")}]).start()
    ear, sender = Ear(broker.port), Sender(broker.port)
    sender.knock(ear, RED)
    raised = ear.until("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM")
    yield SimpleNamespace(broker=broker, daemon=daemon, page=page, ear=ear, raised=raised, folder=folder, visitors={})
    sender.close()
    ear.close()
    assert page.stop() == 0
    daemon.kill()
    broker.kill()
    assert "Traceback" not in page.log()


def visitor(plant: SimpleNamespace, name: str) -> Visitor:
    """Somebody who is signed in, once: a sign-in costs a third of a second on purpose."""
    if name not in plant.visitors:
        made = Visitor(plant.page.port)
        assert made.login(name) == 200
        plant.visitors[name] = made
    found: Visitor = plant.visitors[name]
    return found


def test_what_the_node_publishes_is_shown(plant: SimpleNamespace) -> None:
    """Alarm, flag, state and meta, in one stream."""
    with visitor(plant, "guest").live() as stream:
        stream.until(lambda told: told.known("bench", "alarm", "red") and told.known("bench", "flag", "red"))
        assert stream.kinds[0] == "begin"
        assert stream.known("bench", "alarm", "red")["occurrence_id"] == plant.raised["occurrence_id"]
        assert stream.known("bench", "meta")["channels"][0]["id"] == "red"


def test_the_answer_about_a_part_and_what_is_made_are_shown(plant: SimpleNamespace) -> None:
    """A part is asked for while the page is connected, and a frame answers it; the profile is that of `meta`."""
    with visitor(plant, "guest").live() as stream:
        stream.until(lambda told: told.known("bench", "meta") and told.known("bench", "state"))
        assert stream.known("bench", "meta")["profile"] == "large"
        plant.ear.command("inspect", camera="cam1", part="4711")
        plant.ear.publish(FRAME_TOPIC, RED)
        stream.until(lambda told: told.known("bench", "inspection", "cam1"), 30)
        answer = stream.known("bench", "inspection", "cam1")[0]
    assert (answer["part"], answer["outcome"], answer["verdict"]) == ("4711", "judged", "fault")
    assert (answer["found"], answer["profile"]) == (["red"], "large")


def test_a_role_that_may_not_is_refused_before_the_broker(plant: SimpleNamespace) -> None:
    """Who only looks commands nothing; an operator takes nothing out of service and exchanges no bundle."""
    mark = plant.ear.count()
    for name, verb in (("guest", "ack"), ("guest", "snapshot"), ("meier", "out_of_service"), ("meier", "reload")):
        fields = {"alarm_id": "red", "occurrence_id": plant.raised["occurrence_id"], "comment": "x"}
        status, answer = visitor(plant, name).command(node="bench", verb=verb, **fields)
        assert status == 403, answer
    assert plant.ear.on("res/", mark) == []


def test_an_acknowledgement_names_the_user_and_the_label(plant: SimpleNamespace) -> None:
    """Of the session, whatever the request says; in the alarm, and in the daemon's own journal."""
    meier = visitor(plant, "meier")
    stale = {"node": "bench", "verb": "ack", "alarm_id": "red", "occurrence_id": "01J9ZS3V4T5N6P7Q8R9SATBVCW"}
    status, answer = meier.command(**stale)
    assert (status, answer["ok"], answer["code"]) == (200, False, "stale_occurrence")
    fields = stale | {"occurrence_id": plant.raised["occurrence_id"], "comment": "seen", "valid": True}
    assert meier.command(**(fields | {"occurrence_id": None}))[0] == 400, "which one was seen?"
    status, answer = meier.command(**fields, user="boss")
    assert (status, answer["code"], answer["state"]) == (200, "ok", "ACK_ALM")
    acked = plant.ear.until("alarm/red", lambda alarm: alarm["state"] == "ACK_ALM")
    assert acked["ack"] == {"user": "meier", "comment": "seen"}
    command = [sys.executable, "-m", "edge", "history", "--state-dir", str(plant.folder), "--json"]
    wait_for(lambda: any(one["user"] == "meier" for one in _journal(command)), 20, "the journal names the user")
    status, found, _ = meier.ask("/api/history?subject=ack&user=meier")
    assert (status, {event["what"] for event in found}) == (200, {"stale_occurrence", "ok"})
    _, text, headers = meier.ask("/api/history?form=csv&subject=ack")
    assert headers["content-type"].startswith("text/csv")
    assert b"meier" in text


def _journal(command: list[str]) -> list[dict[str, object]]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_shelving_needs_a_reason_and_is_answered(plant: SimpleNamespace) -> None:
    """The daemon's own words come back."""
    meier = visitor(plant, "meier")
    about = {"node": "bench", "alarm_id": "red"}
    status, answer = meier.command(**about, verb="shelve", duration_s=60)
    assert (status, answer["ok"]) == (200, False)
    assert answer["detail"]
    status, answer = meier.command(**about, verb="shelve", duration_s=60, comment="cleaning")
    assert (answer["code"], answer["state"]) == ("ok", "SHELVED")
    assert meier.command(**about, verb="unshelve")[1]["ok"]
    assert meier.command(**about, verb="shelve", duration_s=-1)[0] == 400
    assert meier.command(**about, verb="nonsense")[0] == 400
    assert meier.command(node="elsewhere", verb="unshelve", alarm_id="red")[0] == 404


def test_a_picture_needs_the_cameras_consent(plant: SimpleNamespace) -> None:
    """One that gives it is shown byte for byte; the other's refusal comes in words."""
    meier = visitor(plant, "meier")
    status, answer = meier.command(node="bench", verb="snapshot", camera="cam1")
    assert (status, answer["ok"]) == (200, True), answer
    status, picture, headers = meier.ask(f"/api/pictures/{answer['snapshot']['sha256']}")
    assert (status, picture, headers["content-type"]) == (200, RED, "image/jpeg")
    status, answer = meier.command(node="bench", verb="snapshot", camera="cam2")
    assert (status, answer["ok"], answer["snapshot"]) == (200, False, None)
    assert meier.ask("/api/pictures/" + "0" * 64)[0] == 404


def test_evidence_of_an_occurrence_is_shown_and_fetched(plant: SimpleNamespace) -> None:
    """The picture on which it was raised, and the whole as a zip."""
    guest, occurrence = visitor(plant, "guest"), plant.raised["occurrence_id"]
    where = f"/api/evidence/bench/{occurrence}"
    wait_for(lambda: guest.ask(where)[0] == 200, 20, "the evidence is written")
    found = guest.ask(where)[1]
    assert [mark["alarm"] for mark in found["raised"]] == ["red"]
    assert guest.ask(f"{where}/0")[1] == RED
    assert guest.ask(f"{where}/{len(found['frames'])}")[0] == 404
    status, body, headers = guest.ask(f"{where}/zip")
    assert (status, body[:2], headers["content-type"]) == (200, b"PK", "application/zip")
    assert [row["occurrence"] for row in guest.ask("/api/evidence/bench")[1]] == [occurrence]
    for wrong in ("/api/evidence/bench/..", "/api/evidence/bench/%2e%2e%2fx", "/api/evidence/other/" + occurrence):
        assert guest.ask(wrong)[0] in {400, 404}


def test_a_page_that_comes_later_asks_for_the_verdicts(plant: SimpleNamespace, tmp_path: Path) -> None:
    """No frame comes meanwhile, and a flag is not retained; the node says it again once, and its journal says who asked."""
    page = PageProcess(tmp_path, plant.broker.port).start()
    late = Visitor(page.port)
    try:
        assert late.login("guest") == 200
        with late.live() as stream:
            stream.until(lambda told: told.known("bench", "flag", "red"), 30)
            assert stream.known("bench", "flag", "red")["on"] is True
        wait_for(lambda: late.ask("/api/history?subject=rebirth&user=edge-page")[1], 10, "the event is heard")
    finally:
        assert page.stop() == 0


def test_a_removed_user_is_out_at_once(plant: SimpleNamespace) -> None:
    """His stream too."""
    users = plant.folder / "users.json"
    before = users.read_text(encoding="utf-8")
    guest = visitor(plant, "guest")
    with guest.live() as stream:
        stream.until(lambda told: told.link)
        command = [sys.executable, "-m", "edge.page", "user", "remove", "--config", str(plant.page.config), "guest"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        stream.until(lambda told: told.kinds[-1] == "over")
    assert guest.ask("/api/history")[0] == 401
    users.write_text(before, encoding="utf-8")
    del plant.visitors["guest"]


def test_a_daemon_that_is_killed_is_unknown_and_then_known_again(plant: SimpleNamespace) -> None:
    """By its last will; nothing of it is believed meanwhile, and it comes back by itself."""
    with visitor(plant, "guest").live() as stream:
        stream.until(lambda told: told.known("bench", "alarm", "red"))
        plant.daemon.kill()
        stream.until(lambda told: not told.nodes["bench"]["alive"], 40)
        assert "offline" in stream.nodes["bench"]["why"]
        assert stream.known("bench", "alarm", "red") is None
        plant.daemon.start()
        stream.until(lambda told: told.known("bench", "alarm", "red"), 60)


def test_a_broker_that_goes_away_makes_everything_unknown(plant: SimpleNamespace) -> None:
    """Since when and why is told, commands fail at once, and after it came back only what was heard again is known."""
    meier = visitor(plant, "meier")
    with meier.live() as stream:
        stream.until(lambda told: told.known("bench", "alarm", "red"))
        before = stream.link["link"]
        plant.broker.kill()
        stream.until(lambda told: not told.link["up"], 30)
        assert abs(stream.link["since"] - time.time() * 1000) < 60_000
        assert stream.known("bench", "alarm", "red") is None
        status, answer = meier.command(node="bench", verb="unshelve", alarm_id="red")
        assert (status, "nothing was sent" in answer["error"]) == (503, True)
        plant.broker.start()
        stream.until(lambda told: told.known("bench", "alarm", "red"), 60)
        assert stream.link["link"] == before + 1


def test_it_loads_nothing_of_the_daemon() -> None:
    """Neither the graph's runtime nor NumPy: a page is no reason for their memory."""
    code = "import sys, edge.page.server; print([name for name in ('numpy', 'onnxruntime', 'cv2', 'edge.daemon', 'edge.alarm') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
