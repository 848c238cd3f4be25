"""Pictures are collected beside the path: by consent, within quotas, sorted by an operator's answer, and a slow disk costs pictures only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.collect.picture_store import FOLDER
from edge.errors import ConfigError
from edge.site.settings import load_site
from exporters.draft.survey import survey
from tests.edge.bench import MS, Bench
from tests.stand.brokers import wait_for
from tests.stand.bundles import flat_jpeg

HOUR_MS = 3_600_000.0


def site(folder: Path, *, collect: bool = True, **more: Any) -> Bench:
    """A camera whose pictures are collected, two of a kind an hour."""
    return Bench(
        folder / "bundle",
        node={"id": "n", "state_dir": folder / "state"},
        cameras=({"id": "cam", "collect": collect, "picture": {"frozen_after_ms": 0}},),
        collect={"near": 0.9, "near_per_hour": 2, "highest_per_hour": 2, "random_per_hour": 2} | more,
    )


def play(bench: Bench, count: int, *, red: int = 0) -> None:
    """Different pictures, 40 ms apart; with red above 200 they show the fault."""
    for number in range(count):
        bench.frame(flat_jpeg(red, 2 * number % 40, 7))
        bench.idle(40.0)


def kept(bench: Bench, folder: Path) -> dict[str, list[str]]:
    """Why each picture was kept, by folder, once the daemon has stopped."""
    bench.services.collector.stop(5.0)
    found: dict[str, list[str]] = {}
    for path in sorted((folder / "state" / FOLDER).glob("*/*/*")):
        found.setdefault(f"{path.parent.parent.name}/{path.parent.name}", []).append(path.name.split("_")[2])
    return {place: sorted(why) for place, why in found.items()}


def test_nearest_highest_and_random_pictures_are_kept(tmp_path: Path) -> None:
    """When their stretch of time is over, one each; the heartbeat counts them."""
    bench = site(tmp_path)
    play(bench, 20)
    assert bench.services.collector.figures() == {}
    bench.time.now_ns += round(HOUR_MS * MS / 2)
    bench.idle(100.0)
    wait_for(lambda: bench.services.collector.figures().get("kept", 0) >= 2, what="pictures are kept")
    bench.idle(11_000.0)
    assert bench.last("heartbeat")["collected"]["kept"] >= 2
    found = kept(bench, tmp_path)
    assert set(found) == {"cam/unsorted"}
    assert set(found["cam/unsorted"]) <= {"near-red", "highest-red", "random"}
    assert len(set(found["cam/unsorted"])) >= 2


def test_a_camera_that_is_not_allowed_keeps_nothing(tmp_path: Path) -> None:
    """Not on disk, and no thread for it."""
    bench = site(tmp_path, collect=False)
    play(bench, 10, red=255)
    assert kept(bench, tmp_path) == {}
    assert not (tmp_path / "state" / FOLDER).exists()


@pytest.mark.parametrize(("verb", "folder"), [(True, "red"), (False, "normal")])
def test_an_operators_answer_sorts_the_picture_of_the_alarm(tmp_path: Path, verb: bool, folder: str) -> None:  # noqa: FBT001 - a parameter of a test
    """True: into the fault's folder; false: it is a normal picture that looked like one."""
    bench = site(tmp_path, near_per_hour=0, highest_per_hour=0, random_per_hour=0)
    play(bench, 5)
    play(bench, 10, red=255)
    occurrence = bench.last("alarm/red")["occurrence_id"]
    bench.services.collector.labelled("red", occurrence, 0, valid=verb)
    bench.services.collector.labelled("red", "another", 0, valid=verb)
    assert kept(bench, tmp_path) == {f"cam/{folder}": ["alarm-red"]}
    assert bench.services.collector.figures() == {"kept": 1, "labelled": 1}


def test_an_alarm_of_the_device_itself_keeps_no_picture(tmp_path: Path) -> None:
    """It says nothing of what a picture shows."""
    bench = site(tmp_path, near_per_hour=0, highest_per_hour=0, random_per_hour=0)
    play(bench, 2)
    bench.services.collector.raised("cam-silent", "o1", bench.time.now_ns)
    bench.services.collector.raised("nothing", "o2", bench.time.now_ns)
    assert kept(bench, tmp_path) == {}


def test_a_disk_that_is_behind_costs_pictures_and_is_counted(tmp_path: Path) -> None:
    """The path does not wait: what would wait beyond the limit is forgotten."""
    bench = site(tmp_path)
    bench.services.collector._spool._max_waiting_bytes = 1  # as behind a disk that takes nothing
    play(bench, 5)
    found = kept(bench, tmp_path)
    assert found == {}
    assert bench.services.collector.figures()["disk_behind"] >= 2


def test_a_frame_that_could_not_be_judged_is_not_collected(tmp_path: Path) -> None:
    """It has no score."""
    bench = site(tmp_path)
    bench.frame(b"rubbish")
    bench.idle(40.0)
    assert kept(bench, tmp_path) == {}


def test_a_reload_keeps_what_is_held_and_takes_back_consent(tmp_path: Path) -> None:
    """The same quota goes on with the best of its stretch; a camera that is no longer allowed loses it."""
    bench = site(tmp_path, highest_per_hour=0, random_per_hour=0)
    play(bench, 5)
    collector = bench.services.collector.reconfigure(bench.site, bench.stages.channels)
    chooser = collector._choosers["cam"]  # what is held is not shown
    assert collector.reconfigure(bench.site, bench.stages.channels)._choosers["cam"] is chooser
    denied = tuple(camera.model_copy(update={"collect": False}) for camera in bench.site.cameras)
    collector.reconfigure(bench.site.model_copy(update={"cameras": denied}), bench.stages.channels)
    play(bench, 5)
    assert kept(bench, tmp_path) == {}


def test_init_takes_the_folder_as_it_is(tmp_path: Path) -> None:
    """Labelled pictures are labels, unsorted ones are passed over and counted."""
    bench = site(tmp_path, alarms_per_hour=360, near_per_hour=6)
    for number, valid in enumerate((True, True, False, False)):
        play(bench, 10, red=220 + 5 * number)
        bench.services.collector.labelled("red", bench.last("alarm/red")["occurrence_id"], 0, valid=valid)
        play(bench, 10)
        bench.idle(11_000.0)
    kept(bench, tmp_path)
    found = survey(tmp_path / "state" / FOLDER / "cam", None)
    assert {label: len(files) for label, files in found.shown.items()} == {"normal": 2, "red": 2}
    assert any("in unsorted were passed over" in note for note in found.notes)


def test_a_site_without_a_state_folder_may_not_collect(tmp_path: Path) -> None:
    """There is no place for the pictures."""
    path = tmp_path / "site.toml"
    path.write_text('bundle = "b"\n[node]\nid = "n"\n[[cameras]]\nid = "cam"\ncollect = true\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="cam has collect = true"):
        load_site(path)


def test_names_are_what_json_can_say(tmp_path: Path) -> None:
    """The figures go into a message."""
    bench = site(tmp_path)
    play(bench, 3, red=255)
    kept(bench, tmp_path)
    assert json.loads(json.dumps(bench.services.collector.figures()))
