"""What the device watches about itself becomes alarms of the system, and evidence that is trusted less."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference.picture_quality import REMEMBERED
from edge.publish.entry import Entry
from tests.edge.bench import DARK, MS, RED, Bench
from tests.stand.bundles import room


def test_a_silent_camera_freezes_its_alarm_and_raises_its_own(bench: Bench) -> None:
    """Stale data never return an alarm to normal; the node's state says what is wrong."""
    bench.frame(RED)
    bench.idle(3000)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "stale")
    assert (bench.last("alarm/red")["state"], bench.last("alarm/red")["quality"]) == ("UNACK_ALM", "stale")
    assert bench.last("alarm/cam-silent")["state"] == "UNACK_ALM"
    assert bench.last("state")["ne107"] == "F"
    bench.frame(RED)
    bench.idle(300)
    assert bench.last("alarm/red")["quality"] == "good"


def test_frames_that_are_only_damaged_count_as_silence(bench: Bench) -> None:
    """A camera that sends rubbish is as blind as one that sends nothing."""
    for _ in range(80):
        bench.frame(b"rubbish")
        bench.idle(40)
    assert bench.last("alarm/cam-silent")["state"] == "UNACK_ALM"


def test_a_frozen_picture_freezes_its_alarm_and_raises_its_own(bench: Bench) -> None:
    """One red picture over and over: the flag becomes unknown and stale, its alarm stays, another says why, and NE 107 is S."""
    for _ in range(25):
        bench.reading(1.0)
        bench.frame(RED)
        bench.idle(100)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "stale")
    assert bench.last("alarm/red")["state"] == "UNACK_ALM"
    assert bench.last("alarm/cam-frozen")["state"] == "UNACK_ALM"
    assert (bench.last("state")["ne107"], bench.last("state")["reasons"]) == ("S", ["Camera cam repeats one picture"])
    bench.reading(1.0)
    bench.frame(DARK)
    bench.idle(900)
    bench.reading(1.0)
    bench.idle(600)
    assert bench.last("flag/red")["verdict"] == "ok"
    assert bench.last("alarm/cam-frozen")["state"] == "RTN_UNACK"
    assert bench.last("state")["ne107"] == "G"


def test_a_site_can_ask_for_a_synchronised_clock(tmp_path: Path) -> None:
    """Only a site that asks for it has the alarm; a kernel that does not say (a filter forbids the question) is none that says yes."""
    mute = Bench(tmp_path / "mute", node={"id": "n", "require_synchronised_clock": True})
    mute.synchronised = None
    mute.frame(RED)
    mute.idle(300)
    mute.frame(RED)
    assert mute.last("alarm/node-clock")["state"] == "UNACK_ALM"
    assert mute.last("flag/red")["q"] == "uncertain"
    assert mute.last("state")["ne107"] == "S"
    bench = Bench(tmp_path / "bundle", node={"id": "n", "require_synchronised_clock": True})
    for synchronised, state in ((False, "UNACK_ALM"), (None, "UNACK_ALM"), (True, "RTN_UNACK")):
        bench.synchronised = synchronised
        bench.idle(1500)
        assert bench.last("alarm/node-clock")["state"] == state
    plain = Bench(tmp_path / "other")
    plain.synchronised = False
    plain.idle(300)
    assert plain.last("alarm/node-clock")["state"] == "NORM"


def test_what_a_broker_refuses_is_asked_for_again_and_once_more_when_it_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each minute, with everything said anew; and at the end for what was refused just before the first was taken. Not known changes nothing."""
    asked: list[int] = []
    refused: list[tuple[str, ...] | None] = [("event",)]
    monkeypatch.setattr(bench.journal, "resend_unconfirmed", lambda: asked.append(bench.time.now_ns))
    monkeypatch.setattr(bench.worker._monitor, "_refused", lambda: refused[-1])
    bench.idle(200)
    assert bench.last("alarm/node-refused")["state"] == "UNACK_ALM"
    assert asked == []
    metas = len(bench.take("meta"))
    bench.idle(61_000)
    assert len(asked) == 1
    assert len(bench.take("meta")) > metas
    refused.append(None)
    bench.idle(2_000)
    assert bench.last("alarm/node-refused")["active"]
    assert len(asked) == 1
    refused.append(())
    bench.idle(2_000)
    assert not bench.last("alarm/node-refused")["active"]
    assert len(asked) == 2


def test_verdicts_that_are_always_late_raise_an_alarm(bench: Bench) -> None:
    """Frames come, verdicts come, but none in budget."""
    bench.time.step_ns = 15 * MS
    for _ in range(80):
        bench.frame(RED)
    assert bench.last("alarm/cam-late")["state"] == "UNACK_ALM"
    assert bench.last("state")["ne107"] in {"S", "F"}


class TestViews:
    """What a camera's good pictures look like is kept over a restart, and an operator says when it shall be learned anew."""

    @staticmethod
    def bench(folder: Path) -> Bench:
        """A camera whose pictures are large enough to be measured."""
        size = {"name": "frame", "width": 96, "height": 96, "resize": "stretch"}
        return Bench(folder / "bundle", made={"input": size})

    @staticmethod
    def watch(bench: Bench, frames: int, *, covered: bool = False) -> None:
        """So many pictures of a room, ten a second, of which half may be covered."""
        for _ in range(frames):
            bench.frame(room(bench.seq, covered=covered))
            bench.idle(50)
            bench.time.now_ns += 50 * MS

    def test_a_baseline_is_kept_when_it_is_learned_and_then_now_and_then(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not each minute: a memory card wears out."""
        bench = self.bench(tmp_path)
        kept: list[str] = []
        record = bench.journal.record

        def listen(entry: Entry) -> None:
            kept.extend(entry.kept)
            record(entry)

        monkeypatch.setattr(bench.services.publisher, "_record", listen)
        self.watch(bench, REMEMBERED + 10)
        assert [name for name in kept if name == "view/cam"] == ["view/cam"]
        for _ in range(20):
            bench.time.now_ns += 60_000 * MS
            self.watch(bench, 1)
        assert [name for name in kept if name == "view/cam"] == ["view/cam"] * 3

    def test_back_in_service_learns_the_view_anew(self, tmp_path: Path) -> None:
        """A wanted change of view: the alarm goes out of service and back, and what is seen from then on is good; ack alone says no such thing."""
        bench = self.bench(tmp_path)
        self.watch(bench, REMEMBERED)
        self.watch(bench, 5, covered=True)
        alarm = bench.last("alarm/cam-covered")
        assert alarm["state"] == "UNACK_ALM"
        bench.command("ack", alarm_id="cam-covered", occurrence_id=alarm["occurrence_id"])
        self.watch(bench, 2 * REMEMBERED, covered=True)
        assert bench.last("flag/red")["q"] == "bad"
        assert bench.command("out_of_service", alarm_id="cam-covered", comment="new view")["ok"]
        self.watch(bench, REMEMBERED, covered=True)
        assert bench.last("flag/red")["q"] == "bad"
        assert bench.command("in_service", alarm_id="cam-dark", comment="another")["code"] == "not_allowed"
        assert bench.command("in_service", alarm_id="cam-covered")["ok"]
        assert bench.picture_monitors["cam"].baseline is None
        self.watch(bench, REMEMBERED + 20, covered=True)
        assert (bench.last("flag/red")["q"], bench.last("alarm/cam-covered")["active"]) == ("good", False)
