"""The path of a frame, from its bytes to flags and alarms, and between frames; driven by a fake clock over real stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.inference.change import LEARNED
from edge.inference.engine import Engine
from edge.inference.preprocess import encode_jpeg
from tests.edge.bench import ALARM, DARK, MS, RED, Bench
from tests.stand.bundles import COLOURS


def test_every_frame_gets_its_verdict(bench: Bench) -> None:
    """Red is a fault, dark is ok, in the order of the frames."""
    for encoded in (DARK, RED, RED, DARK):
        bench.frame(encoded)
    flags = [flag for flag in bench.take("flag/red") if flag["frame_seq"] is not None]
    assert [(flag["frame_seq"], flag["verdict"]) for flag in flags] == [
        (1, "ok"),
        (2, "fault"),
        (3, "fault"),
        (4, "ok"),
    ]
    assert all(flag["met"] and len(flag["stage_ms"]) == 4 for flag in flags)


def test_a_frame_that_cannot_make_it_is_dropped_before_decoding(bench: Bench) -> None:
    """It is counted as late, says nothing, and is never decoded: even garbage is not looked at."""
    bench.frame(DARK)
    bench.frame(b"garbage that decoding would reject", waited_ms=41)
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert (report.verdicts, report.dropped, report.rejected) == (1, {"late": 1}, {})


def test_the_expected_time_counts(bench: Bench) -> None:
    """With 35 ms of work to come, a frame that waited 6 ms of 40 is already late."""
    bench.time.step_ns = 8 * MS  # five readings of the clock from taken to published
    bench.frame(DARK)
    bench.time.step_ns = 10_000
    bench.frame(DARK, waited_ms=20)
    assert bench.health.cameras(bench.time.now_ns)["cam"].dropped == {"late": 1}


def test_a_slow_run_does_not_blind_the_camera_for_ever(bench: Bench) -> None:
    """The estimate forgets when frames are dropped, so a camera recovers from one slow run."""
    bench.time.step_ns = 15 * MS
    bench.frame(DARK)
    bench.time.step_ns = 10_000
    bench.frame(DARK)
    bench.frame(DARK)
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert (report.verdicts, report.dropped) == (2, {"late": 1})


def test_a_late_ok_is_unknown(bench: Bench) -> None:
    """What was judged after the deadline may show a fault, never its absence."""
    bench.time.step_ns = 15 * MS
    bench.frame(DARK)
    flag = bench.take("flag/red")[-1]
    assert (flag["verdict"], flag["met"]) == ("unknown", False)
    assert bench.health.cameras(bench.time.now_ns)["cam"].misses == 1


@pytest.mark.parametrize("encoded", [b"", b"not a picture", RED[: len(RED) // 2], b"\xff\xd8\xff" + b"\x00" * 50])
def test_a_damaged_frame_makes_the_verdict_unknown(bench: Bench, encoded: bytes) -> None:
    """Unknown with quality bad, counted by reason; the next good frame is judged."""
    bench.frame(DARK)
    bench.frame(encoded)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "bad")
    bench.frame(DARK)
    assert bench.last("flag/red")["verdict"] == "ok"
    report = bench.health.cameras(bench.time.now_ns)["cam"]
    assert report.received == report.verdicts + sum(report.dropped.values())
    assert report.dropped == {"rejected": 1}


def crowd(tmp_path: Path, *, others_wait: bool) -> Bench:
    """Four cameras, so that each has a quarter of each second; a look at the clock takes 2 ms."""
    bench = Bench(
        tmp_path,
        cameras=({"id": "cam", "budget_ms": 5000, "stale_after_ms": 60_000}, *({"id": f"side{number}", "budget_ms": 5000} for number in range(3))),
        sensors=(), rules=(), faults=({"id": "red", "camera": "cam"},),
    )  # fmt: skip
    bench.worker._path._others_wait = lambda camera: others_wait and camera == "cam"
    bench.time.step_ns = 2 * MS
    bench.time.now_ns = 10_000 * MS
    return bench


def flooded(bench: Bench) -> int:
    """How many frames were refused for their camera's share."""
    return bench.health.cameras(bench.time.now_ns)["cam"].rejected.get("flooded", 0)


def test_a_camera_has_its_share_of_each_second_while_others_wait(tmp_path: Path) -> None:
    """Past it its frames are refused, and its fault is unknown, until that is paid off."""
    bench = crowd(tmp_path, others_wait=True)
    for _ in range(100):
        bench.frame(RED)
        if flooded(bench):
            break
    assert 10_300 * MS < bench.time.now_ns < 10_950 * MS
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "bad")
    bench.time.now_ns += 250 * MS
    bench.frame(RED)
    assert bench.last("flag/red")["verdict"] == "fault"


def test_frames_that_come_to_nothing_use_the_share_up_sooner(tmp_path: Path) -> None:
    """Four times: they keep others waiting for nothing."""
    bench = crowd(tmp_path, others_wait=True)
    for _ in range(100):
        bench.frame(b"no picture")
        if flooded(bench):
            break
    assert bench.time.now_ns < 10_250 * MS


def test_a_camera_that_keeps_nobody_waiting_has_no_share(tmp_path: Path) -> None:
    """Time that nobody else wants is free."""
    bench = crowd(tmp_path, others_wait=False)
    while bench.time.now_ns < 10_950 * MS:
        bench.frame(RED)
    assert flooded(bench) == 0


def test_a_camera_whose_gateway_is_offline_is_unknown_at_once(bench: Bench) -> None:
    """Not only when its last frame is stale; its next frame counts, and word of the gateway that is older than a frame does not."""
    bench.frame(RED)
    before_ns = bench.time.now_ns
    bench.idle(100)
    bench.frame(RED)
    bench.inbox.put_lost("cam", before_ns)
    bench.idle(100)
    assert bench.last("flag/red")["verdict"] == "fault"
    bench.inbox.put_lost("cam", bench.time.now_ns)
    bench.idle(100)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("unknown", "bad")
    bench.frame(RED)
    assert bench.last("flag/red")["verdict"] == "fault"


def test_a_fault_raises_its_alarm_and_its_return_clears_it_when_acknowledged(bench: Bench) -> None:
    """Raise, acknowledge with the occurrence seen, return after the off-delay."""
    bench.frame(RED)
    alarm = bench.last("alarm/red")
    assert (alarm["state"], alarm["source"]["frame_seq"], alarm["operator_action"]) == ("UNACK_ALM", 1, "Look")
    assert bench.command("ack", alarm_id="red", occurrence_id="other")["code"] == "stale_occurrence"
    reply = bench.command("ack", alarm_id="red", occurrence_id=alarm["occurrence_id"])
    assert (reply["ok"], reply["state"]) == (True, "ACK_ALM")
    for _ in range(8):
        bench.frame(DARK)
        bench.idle(20)
    assert bench.last("alarm/red")["state"] == "NORM"
    assert [
        event["what"]
        for event in bench.take("event")
        if event["subject"] == "red" and event["detail"].split()[0] != "QUALITY"
    ] == [
        "NORM->UNACK_ALM",
        "UNACK_ALM->ACK_ALM",
        "ACK_ALM->NORM",
    ]


HOT = {"id": "hot", "camera": "cam", "vision": "red", "rules": ("shaking",)}


LONE = {"id": "lone", "rules": ("shaking",)}


class TestSensorsBesideACamera:
    """A fault of a camera and a rule is raised by the rule alone, whatever the camera does; n of m counts data, not looks at them."""

    @staticmethod
    def bench(folder: Path, **alarm: Any) -> Bench:
        """A fault with both kinds of evidence beside one with the sensor alone; the camera may repeat its picture."""
        faults = tuple(fault | {"alarm": ALARM | alarm} for fault in (HOT, LONE))
        return Bench(folder / "bundle", faults=faults, cameras=({"id": "cam", "picture": {"frozen_after_ms": 0.0}},))

    @staticmethod
    def states(bench: Bench) -> tuple[str, str]:
        """Of the two alarms."""
        return bench.last("alarm/hot")["state"], bench.last("alarm/lone")["state"]

    @pytest.mark.parametrize("frames", ["none", "late", "damaged"])
    def test_a_dead_camera_holds_back_no_delay(self, tmp_path: Path, frames: str) -> None:
        """The on-delay runs on the readings' own time while no frame gives a verdict."""
        bench = self.bench(tmp_path, on_delay_ms=1000.0)
        bench.reading(1.0)
        for _ in range(5):
            bench.frame(DARK)
            bench.idle(50)
        for _ in range(4):
            bench.reading(9.0)
            for _ in range(5):
                if frames != "none":
                    bench.frame(b"rubbish" if frames == "damaged" else DARK, waited_ms=50 if frames == "late" else 0)
                bench.idle(100)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")
        flag = bench.last("flag/hot")
        assert (flag["on"], flag["q"]) == (True, "good")

    @pytest.mark.parametrize("frames", [False, True])
    def test_one_odd_reading_is_no_three_of_five(self, tmp_path: Path, frames: bool) -> None:  # noqa: FBT001 - a table's column
        """Nor is it made three by the frames and the looks that pass until the next one; three odd readings are."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))

        def read(*values: float) -> None:
            for value in values:
                bench.reading(value)
                for _ in range(8):
                    if frames:
                        bench.frame(DARK)
                    bench.idle(100)

        read(1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0)
        raised = {event["subject"] for event in bench.take("event") if "RAISE" in event["detail"]} - {"cam-silent"}
        assert raised == (set() if frames else {"hot"})  # without frames its good readings are no known verdicts
        read(9.0)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")

    def test_three_of_five_frames_count_beside_a_sensor_that_says_no(self, tmp_path: Path) -> None:
        """Readings without a fault do not take the frames' evidence away while the fault stands."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))
        for _ in range(3):
            assert bench.last("alarm/hot")["state"] == "NORM" if bench.take("alarm/hot") else True
            bench.frame(RED)
            bench.reading(1.0)
            bench.idle(50)
        assert bench.last("alarm/hot")["state"] == "UNACK_ALM"

    def test_readings_are_counted_also_while_the_camera_is_dead(self, tmp_path: Path) -> None:
        """Each once."""
        bench = self.bench(tmp_path, n_of_m=(3, 5))
        bench.frame(DARK)
        bench.idle(3000)
        for value in (9.0, 9.0):
            bench.reading(value)
            bench.idle(900)
        assert self.states(bench) == ("NORM", "NORM")
        bench.reading(9.0)
        bench.idle(100)
        assert self.states(bench) == ("UNACK_ALM", "UNACK_ALM")


HALVES = ({"id": "left", "box": [0, 0, 0.5, 1]}, {"id": "right", "box": [0.5, 0, 0.5, 1]})
QUARTERS = tuple({"id": f"q{number}", "box": [number / 4, 0, 0.25, 1]} for number in range(4))


def coloured(*columns: tuple[int, int, int]) -> bytes:
    """A picture of upright stripes, each of one colour."""
    return encode_jpeg(np.repeat(np.repeat(np.array(columns, np.uint8)[None], 64, axis=0), 96 // len(columns), axis=1))


def region_bench(folder: Path, regions: tuple[dict[str, Any], ...], *whole: str, **camera: Any) -> Bench:
    """A camera whose regions are each looked at for red; other faults look at the whole picture."""
    faults = tuple({"id": one["id"], "camera": "cam", "region": one["id"], "vision": "red"} for one in regions)
    stills = {"frozen_after_ms": 0, "sharpness_share": 0, "covered_share": 0}
    return Bench(
        folder,
        cameras=({"id": "cam", "regions": regions, "picture": stills} | camera,),
        faults=(*faults, *({"id": one, "camera": "cam"} for one in whole)),
    )


BLUE_STRIPE, RED_STRIPE = (0, 0, 200), (250, 0, 0)


def take_time(bench: Bench, monkeypatch: pytest.MonkeyPatch, run_ms: float) -> None:
    """Each run of the graph takes so long from now on."""
    engine, run = bench.worker._path._engine, Engine.run

    def slowly(tensor: NDArray[np.uint8]) -> NDArray[np.float32]:
        bench.time.now_ns += round(run_ms * MS)
        return run(engine, tensor)  # type: ignore[arg-type] # the bench has a graph

    monkeypatch.setattr(engine, "run", slowly)


class TestRegions:
    """Faults that look at a part of the picture."""

    def test_a_fault_in_one_region_is_a_fault_of_that_region_only(self, tmp_path: Path) -> None:
        """The whole picture is looked at beside them, out of the same decode."""
        bench = region_bench(tmp_path, HALVES, "blue")
        bench.frame(coloured(BLUE_STRIPE, RED_STRIPE))
        assert [bench.last(f"flag/{name}")["verdict"] for name in ("left", "right", "blue")] == ["ok", "fault", "ok"]
        assert bench.last("flag/right")["score"] == pytest.approx(250 / 255, abs=0.03)
        bench.frame(coloured(RED_STRIPE, BLUE_STRIPE))
        assert [bench.last(f"flag/{name}")["verdict"] for name in ("left", "right")] == ["fault", "ok"]

    def test_without_room_for_all_they_take_turns_and_keep_their_last_verdict(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each frame says which it was about: a region without a turn says nothing on it, and what was not computed is counted."""
        bench = region_bench(tmp_path, QUARTERS)
        take_time(bench, monkeypatch, 18.0)
        for _ in range(9):
            bench.frame(coloured(RED_STRIPE))
        bench.idle(1100)
        flags = [flag for name in "0123" for flag in bench.take(f"flag/q{name}")]
        told = [sorted(flag["ch"] for flag in flags if flag["frame_seq"] == number) for number in range(2, 10)]
        assert told == [["q2", "q3"], ["q0", "q1"]] * 4, "the first frame found out how long one takes"
        assert all(
            (flag["verdict"], flag["met"]) == ("fault", True) for flag in flags if flag["frame_seq"] not in {None, 1}
        )
        report = bench.last("heartbeat")["cameras"]["cam"]
        assert report["regions"]["q0"]["skipped"] in {4, 5}
        assert sum(one["computed"] + one["skipped"] for one in report["regions"].values()) == 4 * report["verdicts"]

    def test_a_region_that_has_no_turn_for_too_long_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its verdict is stale once it is older than its own limit, while that of another region still counts; its next turn speaks again."""
        slow = ({"id": "a", "box": [0, 0, 0.5, 1], "stale_after_ms": 120}, {"id": "b", "box": [0.5, 0, 0.5, 1]})
        bench = region_bench(tmp_path, slow)
        bench.frame(coloured(BLUE_STRIPE))
        assert bench.last("flag/a")["verdict"] == "ok"
        bench.idle(200)
        assert (bench.last("flag/a")["verdict"], bench.last("flag/a")["q"]) == ("unknown", "stale")
        assert bench.last("flag/b")["verdict"] == "ok"
        take_time(bench, monkeypatch, 30.0)
        bench.frame(coloured(BLUE_STRIPE))
        bench.frame(coloured(BLUE_STRIPE))
        assert {bench.last(f"flag/{name}")["frame_seq"] for name in "ab"} == {2, 3}

    def test_a_picture_that_shows_nothing_makes_every_region_unknown_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also those that have no turn in that frame: nothing of the picture can be trusted."""
        bench = region_bench(
            tmp_path, QUARTERS, picture={"frozen_after_ms": 1, "sharpness_share": 0, "covered_share": 0}
        )
        bench.frame(coloured(BLUE_STRIPE))
        assert all(bench.last(f"flag/q{name}")["verdict"] == "ok" for name in "0123")
        take_time(bench, monkeypatch, 18.0)
        for _ in range(2):
            bench.frame(coloured(BLUE_STRIPE))
        newest = [bench.last(f"flag/q{name}") for name in "0123"]
        assert {(flag["verdict"], flag["q"], flag["frame_seq"]) for flag in newest} == {("unknown", "stale", 3)}

    def test_regions_leave_time_to_the_frames_of_other_cameras(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a frame of another camera waits, they take this camera's share of the budget and no more."""
        bench = region_bench(tmp_path, QUARTERS)
        take_time(bench, monkeypatch, 18.0)
        path = bench.worker._path
        path._preprocessors = dict(path._preprocessors) | {"other": path._preprocessors["cam"]}
        monkeypatch.setattr(path._shares, "used_up", lambda _camera, _now_ns: False)  # of the second: told elsewhere
        computed = []
        for waits in (False, True):
            monkeypatch.setattr(path, "_others_wait", lambda _camera, waits=waits: waits)
            bench.frame(coloured(BLUE_STRIPE))
            before = bench.health.cameras(bench.time.now_ns)["cam"].regions
            bench.frame(coloured(BLUE_STRIPE))
            now = bench.health.cameras(bench.time.now_ns)["cam"].regions
            computed.append(sum(now[name].computed - before[name].computed for name in now))
        assert computed == [2, 1]

    def test_a_site_without_faults_looks_for_every_fault_in_every_region(self, tmp_path: Path) -> None:
        """As it does on every camera."""
        bench = Bench(tmp_path, cameras=({"id": "cam", "regions": HALVES},), faults=())
        assert [channel.spec.id for channel in bench.stages.channels] == [
            f"{region}-{colour}" for region in ("left", "right") for colour in COLOURS
        ]


SPREAD = {"columns": 4, "rows": 1, "overlap": 0.0, "cover_ms": 1000, "refresh_s": 600}


def tile_bench(folder: Path, *whole: str, **tiles: Any) -> Bench:
    """A camera with four tiles in a row, looked at for red."""
    return region_bench(folder, ({"id": "web", "box": [0, 0, 1, 1], "tiles": SPREAD | tiles},), *whole)


def web(bench: Bench) -> Any:
    """The newest flag of its fault: verdict and quality."""
    flag = bench.last("flag/web")
    return flag["verdict"], flag["q"]


def counts(bench: Bench) -> tuple[int, int, int]:
    """Tiles computed, unchanged and skipped, so far."""
    region = bench.health.cameras(bench.time.now_ns)["cam"].regions["web"]
    return region.computed, region.unchanged, region.skipped


class TestTiles:
    """A region that is a grid of tiles."""

    def test_a_fault_in_one_tile_is_a_fault_of_the_region_and_the_tile_is_known(self, tmp_path: Path) -> None:
        """The whole picture, of which it is a quarter, is ok; the tile is what explanations look at."""
        bench = tile_bench(tmp_path, "red")
        bench.frame(coloured(BLUE_STRIPE, BLUE_STRIPE, RED_STRIPE, BLUE_STRIPE))
        assert (bench.last("flag/web")["verdict"], bench.last("flag/red")["verdict"]) == ("fault", "ok")
        (channel,) = [one for one in bench.stages.channels if one.spec.id == "web"]
        assert (channel.looked_at.left, channel.looked_at.width) == (0.5, 0.25)

    def test_tiles_that_do_not_change_keep_their_verdicts_and_no_graph_runs(self, tmp_path: Path) -> None:
        """The flag comes with every frame all the same; what changed is computed, and nothing else."""
        bench = tile_bench(tmp_path)
        for _ in range(12):
            bench.frame(coloured(BLUE_STRIPE))
        computed, unchanged, _ = counts(bench)
        assert (computed, unchanged) == (4 * LEARNED, 4 * (12 - LEARNED))
        assert len(bench.take("flag/web")) == 12
        assert web(bench) == ("ok", "good")
        bench.frame(coloured(BLUE_STRIPE, BLUE_STRIPE, BLUE_STRIPE, RED_STRIPE))
        assert counts(bench)[0] == computed + 2, "the last tile, and its neighbour, into which JPEG spreads the colour"
        assert web(bench) == ("fault", "good")
        bench.frame(coloured(BLUE_STRIPE))
        assert counts(bench)[0] == computed + 4
        assert web(bench) == ("ok", "good")
        bench.idle(900)
        assert web(bench) == ("ok", "good")
        bench.idle(200)
        assert web(bench) == ("unknown", "stale")

    def test_until_every_tile_was_seen_it_is_unknown_and_a_fault_in_any_is_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With room for one of four; the frame that completes it says ok."""
        bench = tile_bench(tmp_path)
        take_time(bench, monkeypatch, 30.0)
        seen = []
        for _ in range(5):
            bench.frame(coloured(BLUE_STRIPE))
            seen.append(web(bench))
        assert seen == [("unknown", "stale")] * 3 + [("ok", "good")] * 2
        bench.frame(coloured(BLUE_STRIPE))
        for _ in range(4):
            bench.frame(coloured(RED_STRIPE))
            assert web(bench) == ("fault", "good")
        assert bench.last("flag/web")["met"]

    def test_a_tile_without_a_turn_for_too_long_is_not_covered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the camera is too slow for what changes, the region is unknown, never ok; the heartbeat says how much is covered."""
        bench = tile_bench(tmp_path, cover_ms=120, refresh_s=0)
        for _ in range(3):
            bench.frame(coloured(BLUE_STRIPE))
        assert web(bench) == ("ok", "good")
        take_time(bench, monkeypatch, 30.0)
        for _ in range(6):
            bench.idle(60)
            bench.frame(coloured(BLUE_STRIPE))
        assert web(bench) == ("unknown", "stale")
        region = bench.health.cameras(bench.time.now_ns)["cam"].regions["web"]
        assert region.coverage < 1.0
        assert region.age_ms is not None
        assert region.age_ms > 120.0

    def test_a_frame_without_work_says_nothing_of_how_long_work_takes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A frame that waited too long for one tile is dropped, though the last frames needed none."""
        bench = tile_bench(tmp_path)
        take_time(bench, monkeypatch, 8.0)
        for _ in range(40):
            bench.frame(coloured(BLUE_STRIPE))
        judged = len(bench.take("flag/web"))
        bench.frame(coloured(RED_STRIPE), waited_ms=35.0)
        assert len(bench.take("flag/web")) == judged
        assert bench.health.cameras(bench.time.now_ns)["cam"].dropped == {"late": 1}

    def test_a_camera_that_was_away_is_looked_at_anew(self, tmp_path: Path) -> None:
        """What it showed before holds no more, though it shows the same again."""
        bench = tile_bench(tmp_path)
        for _ in range(12):
            bench.frame(coloured(BLUE_STRIPE))
        computed = counts(bench)[0]
        bench.worker._path.lose("cam", bench.time.now_ns)
        bench.worker._path.lose("elsewhere", bench.time.now_ns)
        bench.frame(coloured(BLUE_STRIPE))
        assert counts(bench)[0] == computed + 4
