"""The newest picture of a camera, only where the site allows it, only so large and so often."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.edge.bench import DARK, RED, Bench


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

    def test_an_alarm_is_answered_with_the_picture_of_its_moment(self, tmp_path: Path) -> None:
        """Not with what the camera shows minutes later; a camera that is asked for itself sends the newest."""
        bench = self.bench(tmp_path, snapshot_interval_s=0)
        bench.frame(DARK)
        bench.frame(RED)
        bench.frame(DARK)
        assert bench.command("snapshot", alarm_id="red", request_id="r1")["snapshot"]["frame_seq"] == 2
        assert bench.command("snapshot", camera="cam", request_id="r2")["snapshot"]["frame_seq"] == 3

    def test_a_snapshot_says_how_old_its_picture_is(self, tmp_path: Path) -> None:
        """A camera that is dead for a minute still has a newest picture: nobody shall take it for the present."""
        bench = self.bench(tmp_path, snapshot_interval_s=0)
        bench.frame(RED)
        young = bench.command("snapshot", camera="cam", request_id="r1")["snapshot"]["age_ms"]
        bench.idle(60_000)
        old = bench.command("snapshot", camera="cam", request_id="r2")["snapshot"]["age_ms"]
        assert young < 1_000
        assert 60_000 <= old - young < 61_000
        pictures = [dict(message.user_properties) for message in bench.sent if "/snapshot/" in message.topic]
        assert [float(picture["age_ms"]) for picture in pictures] == [young, old]

    def test_only_so_many_moments_are_held(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest give way, and their alarms are answered with the newest picture."""
        monkeypatch.setattr("edge.publish.snapshot.MAX_MOMENTS", 0)
        bench = self.bench(tmp_path)
        bench.frame(RED)
        bench.frame(DARK)
        assert bench.command("snapshot", alarm_id="red", request_id="r1")["snapshot"]["frame_seq"] == 2

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
