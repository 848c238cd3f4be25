"""The operators' page in a real browser: by keyboard alone, at three sizes, light and dark, judged by axe-core; and a broker that goes away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra `page` is not installed")
pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from tests.integrations.conftest import needs_npm
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle, room
from tests.stand.checkpoints import make_checkpoint
from tests.stand.daemon import FRAME_TOPIC, Daemon, Ear, Sender, pace, sensors_only_document, site_document
from tests.stand.page import PASSWORD, PageProcess, Visitor

pytestmark = [pytest.mark.broker, pytest.mark.slow]
DRIVER = Path(__file__).with_name("drive_page.mjs")
WORDS = "Bearing 3 overheats"
ALARM = {"severity": 900, "message": WORDS, "operator_action": "Trip the main drive", "consequence": "The shaft seizes"}


SENSORS, ROUNDS, LEFT, HZ = 40, 4, 25, 50.0


def browser() -> str:
    """Chromium, or the reason why not."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed: `apt-get install chromium`")
    return found


def test_a_flood_of_alarms_ends_with_the_newest_state_of_each(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Fifty a second are raised and cleared; after the last round the browser shows those as active that are, and no other."""
    chromium, npm = browser(), needs_npm("playwright-core")
    numbers = range(SENSORS)
    site = sensors_only_document(tmp_path, mosquitto.port, ALARM) | {
        "sensors": [{"id": f"t{number}", "stale_after_ms": 900_000} for number in numbers],
        "rules": [{"id": f"r{number}", "sensor": f"t{number}", "kind": "above", "limit": 50.0} for number in numbers],
        "faults": [
            {
                "id": f"f{number}",
                "rules": [f"r{number}"],
                "alarm": ALARM | {"message": f"Bearing {number:02d} overheats", "auto_ack": True, "off_delay_ms": 0.0},
            }
            for number in numbers
        ],
    }
    daemon = Daemon(site, tmp_path).start()
    page = PageProcess(tmp_path, mosquitto.port).start()
    ear = Ear(mosquitto.port, ("state",))
    command = ["node", str(DRIVER.with_name("drive_page_flood.mjs")), str(npm), chromium]
    arguments = [f"http://127.0.0.1:{page.port}/", "guest", PASSWORD]
    try:
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as watcher:
            assert watcher.stdout is not None
            assert json.loads(watcher.stdout.readline() or "{}") == {"ready": True, "before": 0}
            hot_and_cold = [b"90", b"10"]
            pace(
                SENSORS * ROUNDS + LEFT,
                HZ,
                lambda index: ear.publish(
                    f"edge/v1/bench/in/sensor/t{index % SENSORS}", hot_and_cold[index // SENSORS % 2]
                ),
            )
            left = [f"Bearing {number:02d} overheats" for number in range(LEFT)]
            out, wrong = watcher.communicate(json.dumps(left) + "\n", timeout=180)
        assert watcher.returncode == 0, wrong
    finally:
        ear.close()
        assert page.stop() == 0
        daemon.kill()
    seen = json.loads(out)
    assert (seen["lit"], seen["errors"]) == (LEFT, [])


def test_an_operator_works_by_keyboard_and_sees_when_nothing_is_known(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Acknowledged with label and comment; no serious finding on any screen, nothing loaded from elsewhere, nothing wider than the screen."""
    chromium, npm = browser(), needs_npm("playwright-core")
    needs_npm("axe-core")
    daemon = Daemon(sensors_only_document(tmp_path, mosquitto.port, ALARM), tmp_path).start()
    page = PageProcess(tmp_path, mosquitto.port).start()
    ear = Ear(mosquitto.port)
    try:
        ear.publish("edge/v1/bench/in/sensor/vibration", b"9")
        raised = ear.until("alarm/loose", lambda alarm: alarm["state"] == "UNACK_ALM", 30)
        assert mosquitto.process is not None
        url, pictures = f"http://127.0.0.1:{page.port}/", os.environ.get("EDGE_PICTURES", str(tmp_path))
        command = ["node", str(DRIVER), str(npm), chromium, url, "meier", PASSWORD, WORDS, pictures]
        done = subprocess.run(
            [*command, str(mosquitto.process.pid)], capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        acked = [heard.document() for heard in ear.on("alarm/loose") if heard.document()["state"] == "ACK_ALM"][-1]
    finally:
        ear.close()
        assert page.stop() == 0
        daemon.kill()
    assert acked["occurrence_id"] == raised["occurrence_id"]
    assert acked["ack"] == {"user": "meier", "comment": "seen from the keyboard"}
    assert (seen["errors"], seen["serious"], seen["wide"]) == ([], [], [])
    assert seen["requests"] == [url.rstrip("/")]
    assert seen["known"] > 0
    assert {key: seen["lost"][key] for key in ("known", "lit", "enabled")} == {"known": 0, "lit": 0, "enabled": 0}
    assert seen["lost"]["title"].startswith("(?)")


RED_ONES = {5, 6, 7, 14}  # pictures; the driver sorts them so
TRIAL_FRAMES, TRIAL_HZ = 80, 20.0


def _workshop(folder: Path) -> dict[str, object]:
    """Two versions of a bundle, pictures of a camera, and a checkpoint to build from."""
    target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
    colour_bundle(folder / "bundles" / "colours", target=target)
    colour_bundle(folder / "bundles" / "colours-2", target=target, version=2)
    make_checkpoint("siglip", folder / "checkpoint")
    (folder / "cam1").mkdir()
    for number in range(24):
        name = f"20261130T1200{number:02d}.000Z_{number}.jpg"
        (folder / "cam1" / name).write_bytes(room(number, red=number in RED_ONES))
    places = {"folder": "work", "bundles": "bundles", "checkpoint": "checkpoint", "board": "x86-64-avx2"}
    return places | {"sources": [{"id": "cam1", "folder": "cam1"}]}


def _ask_for_parts(ear: Ear, port: int) -> None:
    """Two parts, the second one red, while the page listens."""
    visitor = Visitor(port)
    assert visitor.login("guest") == 200
    with visitor.live() as stream:
        stream.until(lambda told: told.known("bench", "state"))
        for part, frame in (("4711", room(1)), ("4712", room(5, red=True))):
            ear.command("inspect", camera="cam1", part=part)
            ear.publish(FRAME_TOPIC, frame)
            ear.wait("inspection/cam1", lambda answer, part=part: answer["part"] == part)  # type: ignore[misc] # bound at once


def test_an_engineer_goes_from_pictures_to_a_bundle_on_trial_by_keyboard(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Words, sorting, plan, a real build and its report, a backtest with its slider, a region, and a bundle live and taken back."""
    chromium, npm = browser(), needs_npm("playwright-core")
    needs_npm("axe-core")
    workshop = _workshop(tmp_path)
    camera = {"id": "cam1", "stale_after_ms": 600_000.0, "snapshot": True}
    site = site_document(tmp_path / "bundles" / "colours", mosquitto.port) | {
        "node": {"id": "bench", "state_dir": str(tmp_path)},
        "cameras": [camera],
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM | {"message": "It is red", "off_delay_ms": 0}}],
        "profiles": [{"id": "large", "title": "1 l bottle"}],
    }
    daemon = Daemon(site, tmp_path).start()
    page = PageProcess(tmp_path, mosquitto.port, workshop=workshop).start()
    ear, sender = Ear(mosquitto.port), Sender(mosquitto.port)
    url, pictures = f"http://127.0.0.1:{page.port}/", os.environ.get("EDGE_PICTURES", str(tmp_path))
    command = ["node", str(DRIVER.with_name("drive_page_engineer.mjs")), str(npm), chromium]
    try:
        sender.knock(ear, room(1))
        _ask_for_parts(ear, page.port)
        arguments = [url, "keller", PASSWORD, pictures, "colours", "build"]
        with (
            (tmp_path / "driver.log").open("w+", encoding="utf-8") as log,
            subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=log, text=True) as driver,
        ):
            assert driver.stdout is not None
            if "live" in driver.stdout.readline():  # the trial needs frames that come in time
                frame = room(1)
                pace(TRIAL_FRAMES, TRIAL_HZ, lambda _: ear.publish(FRAME_TOPIC, frame))
            out, _ = driver.communicate(timeout=600)
            log.seek(0)
            assert driver.returncode == 0, log.read()
    finally:
        sender.close()
        ear.close()
        assert page.stop() == 0
        daemon.kill()
    seen = json.loads(out)
    assert (seen["errors"], seen["serious"], seen["wide"]) == ([], [], [])
    assert seen["requests"] == [url.rstrip("/")]
    assert seen["sorted"] == "24 of 24 sorted: 20 normal, 4 red_part."
    assert "8 more are missing" in seen["plan"]
    assert ": done" in seen["build"]
    assert seen["buildReport"].startswith("pictures version 1")
    assert seen["backtestReport"].startswith("Backtest: colours")
    assert seen["low"] != seen["high"]
    assert "box = [0.100, 0.200, 0.305, 0.400]" in seen["block"]
    assert "box = [0.500, 0.500, 0.250, 0.500]" in seen["drawn"]
    assert "reload kept" in seen["happened"]
    assert seen["parts"] == ["4712 FAULT", "4711 ok"]
    assert "large, 1 l bottle" in seen["node"]
    assert (tmp_path / "bundles" / "pictures-v1" / "manifest.json").is_file()
    notes = [json.loads(line) for line in (tmp_path / "work" / "audit.jsonl").read_text().splitlines()]
    assert {note["user"] for note in notes} == {"keller"}
    assert {"words", "sort", "plan", "build", "backtest"} <= {note["what"] for note in notes}
