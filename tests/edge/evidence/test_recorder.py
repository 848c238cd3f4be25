"""What is kept around an alarm: the seconds before and after it, of cameras whose site wants it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.evidence.archive import FOLDER, recordings
from edge.evidence.recording import Recording
from edge.frame import Trigger
from tests.edge.bench import DARK, MS, RED, WALL_NS, Bench
from tests.stand.brokers import wait_for

FRAME_MS = 40.0


def site(folder: Path, *, evidence: bool = True, **more: Any) -> Bench:
    """A camera whose alarms are recorded, half a second before and after."""
    return Bench(
        folder / "bundle",
        node={"id": "n", "state_dir": folder / "state"},
        cameras=({"id": "cam", "evidence": evidence, "picture": {"frozen_after_ms": 0}},),
        evidence={"before_s": 0.5, "after_s": 0.5} | more,
    )


def play(bench: Bench, picture: bytes, count: int) -> None:
    """So many frames at 25 a second."""
    for _ in range(count):
        bench.frame(picture)
        bench.idle(FRAME_MS)


def told(bench: Bench) -> list[dict[str, Any]]:
    """What was said of the evidence of `red`."""
    topic = f"{bench.site.prefix()}/evidence/red"
    return [json.loads(message.payload) for message in bench.sent if message.topic == topic]


def turn_until_told(bench: Bench) -> list[dict[str, Any]]:
    """Let time pass until something is said."""

    def turn() -> list[dict[str, Any]]:
        bench.idle(100.0)
        return told(bench)

    wait_for(turn, what="the evidence is announced")
    return told(bench)


def kept(bench: Bench, folder: Path) -> list[Recording]:
    """What is on disk once the daemon has stopped."""
    bench.services.evidence.stop(5.0)
    return list(recordings(folder / "state" / FOLDER))


def test_the_seconds_before_and_after_an_alarm_are_kept(tmp_path: Path) -> None:
    """Half a second of frames before it, half a second after, each with its verdict, and the alarm between them."""
    bench = site(tmp_path)
    play(bench, DARK, 40)
    play(bench, RED, 40)
    (found,) = kept(bench, tmp_path)
    verdicts = [facts["flags"]["red"][0] for facts in found.frames]
    assert found.complete
    assert 5 <= verdicts.count("ok") <= 13
    assert 5 <= verdicts.count("fault") <= 14
    assert [mark["alarm"] for mark in found.raised] == ["red"]
    assert found.raised[0]["occurrence"] == bench.last("alarm/red")["occurrence_id"]
    assert {found.picture(facts) for facts in found.frames} == {DARK, RED}
    assert found.about["thresholds"]["red"] > 0
    assert found.about["model"]["sha256"]


def test_the_part_that_a_frame_shows_is_in_its_evidence(tmp_path: Path) -> None:
    """Of the frame that answers its trigger, and of no other."""
    bench = site(tmp_path)
    play(bench, DARK, 3)
    bench.inbox.put_trigger(Trigger("cam", "A7", bench.time.now_ns, WALL_NS + bench.time.now_ns))
    play(bench, RED, 3)
    (found,) = kept(bench, tmp_path)
    assert [facts["part"] for facts in found.frames if "part" in facts] == ["A7"]
    assert found.raised[0]["alarm"] == "red"


def test_it_is_announced_once_it_is_there(tmp_path: Path) -> None:
    """One message for the occurrence, with what the recording holds; nothing of the pictures is sent."""
    bench = site(tmp_path)
    play(bench, DARK, 5)
    play(bench, RED, 30)
    (message,) = turn_until_told(bench)
    (found,) = kept(bench, tmp_path)
    assert (message["recording"], message["frames"]) == (found.folder.name, len(found.frames))
    assert message["occurrence_id"] == found.raised[0]["occurrence"]
    assert (message["problem"], message["left_out"]) == ("", 0)
    assert not [item for item in bench.sent if item.payload == RED]


def test_a_camera_that_is_not_allowed_keeps_nothing(tmp_path: Path) -> None:
    """Not on disk, not in memory."""
    bench = site(tmp_path, evidence=False)
    play(bench, RED, 20)
    assert bench.services.evidence.held_bytes == 0
    assert kept(bench, tmp_path) == []


def test_alarms_of_one_camera_share_a_recording(tmp_path: Path) -> None:
    """A second one that is raised meanwhile joins it and makes it longer; the same pictures are not written twice."""
    bench = site(tmp_path)
    play(bench, DARK, 5)
    play(bench, RED, 8)
    bench.services.evidence.raised("cam-silent", "other", bench.time.now_ns)
    play(bench, RED, 30)
    (found,) = kept(bench, tmp_path)
    assert [mark["alarm"] for mark in found.raised] == ["red", "cam-silent"]
    names = [facts["file"] for facts in found.frames]
    assert len(names) == len(set(names))


def test_a_frame_that_could_not_be_judged_is_kept_with_the_reason(tmp_path: Path) -> None:
    """It may be what the operator must see."""
    bench = site(tmp_path)
    play(bench, b"rubbish", 1)
    play(bench, RED, 20)
    (found,) = kept(bench, tmp_path)
    assert found.frames[0]["unjudged"] is not None
    assert found.frames[-1]["unjudged"] is None


def test_a_stop_ends_what_is_open_and_says_so(tmp_path: Path) -> None:
    """The recording on disk is readable and does not call itself whole."""
    bench = site(tmp_path)
    play(bench, RED, 3)
    (found,) = kept(bench, tmp_path)
    assert found.end is not None
    assert (found.complete, found.end["why"]) == (False, "the daemon stopped")


def test_memory_stays_within_what_the_site_gives(tmp_path: Path) -> None:
    """However long the time before an alarm is."""
    bench = site(tmp_path, before_s=60.0, memory_mb=1)
    for number in range(400):
        bench.frame(DARK + bytes(10_000))
        bench.time.now_ns += round(FRAME_MS * MS)
        assert bench.services.evidence.held_bytes <= 1_000_000, number
    assert bench.services.evidence.held_bytes > 900_000


def test_a_recording_has_an_end_however_many_alarms_join_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the longest time the next one begins."""
    monkeypatch.setattr("edge.evidence.recorder.LONGEST_NS", 1_000 * MS)
    bench = site(tmp_path, keep_days=10_000.0)
    for number in range(8):
        play(bench, RED, 10)
        bench.services.evidence.raised("red", f"o{number}", bench.time.now_ns)
    assert len(kept(bench, tmp_path)) >= 2


def test_a_reload_goes_on_with_what_it_holds(tmp_path: Path) -> None:
    """The same site again: memory and the open recording stay; one that no longer allows it ends it."""
    bench = site(tmp_path)
    play(bench, RED, 5)
    recorder, channels = bench.services.evidence, bench.stages.channels
    held = recorder.held_bytes
    recorder.reconfigure(bench.site, channels, None)
    assert recorder.held_bytes == held > 0
    refused = bench.site.model_copy(
        update={"cameras": tuple(camera.model_copy(update={"evidence": False}) for camera in bench.site.cameras)}
    )
    recorder.reconfigure(refused, channels, None)
    (found,) = kept(bench, tmp_path)
    assert found.end is not None
    assert found.end["why"] == "the site no longer allows it"


def test_a_disk_that_refuses_is_said_in_the_message(tmp_path: Path) -> None:
    """The operator learns that there is no evidence, and why."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FOLDER).write_bytes(b"in the way")
    bench = site(tmp_path)
    play(bench, RED, 3)
    assert turn_until_told(bench)[0]["problem"]
    bench.services.evidence.stop(5.0)
