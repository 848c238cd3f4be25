"""The ledger counts every frame once, and time without sight."""

from __future__ import annotations

import pytest

from edge.frame import Drop, Frame, Stamps
from edge.health.ledger import MAX_SAMPLES, Health, Samples, Tally
from edge.inference.coverage import Turn
from edge.units import percentile

MS = 1_000_000
BUDGET = 40 * MS


def frame(received_ms: float, seq: int = 0) -> Frame:
    """A frame of camera `cam` with a 40 ms budget."""
    received = round(received_ms * MS)
    return Frame("cam", seq, b"", received, 0, received + BUDGET)


def stamps(received_ms: float, *later_ms: float) -> tuple[Stamps, int]:
    """Stamps at so many ms after receipt, the last that of publishing."""
    received = round(received_ms * MS)
    *later, published = (received + round(offset * MS) for offset in later_ms)
    return Stamps(received, *later), published


def fresh() -> Health:
    """A ledger that starts at 0."""
    return Health({"cam": BUDGET}, ["vibration"], 0)


def test_a_frame_in_time_is_no_miss() -> None:
    """Latency is received to handed over, stage by stage."""
    health = fresh()
    health.frame_received("cam", 0)
    health.frame_done(frame(0), *stamps(0, 1, 3, 18, 18.5, 19))
    report = health.cameras(20 * MS)["cam"]
    assert (report.received, report.verdicts, report.misses) == (1, 1, 0)
    assert report.latency.p50_ms == 19.0
    assert {stage: summary.max_ms for stage, summary in report.stages.items()} == {
        "queue": 1.0,
        "decode": 2.0,
        "infer": 15.0,
        "decide": 0.5,
        "publish": 0.5,
    }


def test_a_late_verdict_is_a_miss() -> None:
    """One ns past the deadline is late."""
    health = fresh()
    health.frame_done(frame(0), Stamps(0, 1, 2, 3, 4), BUDGET)
    health.frame_done(frame(0), Stamps(0, 1, 2, 3, 4), BUDGET + 1)
    assert health.cameras(50 * MS)["cam"].misses == 1


def test_drops_are_counted_by_reason() -> None:
    """Replaced, late and rejected frames never disappear."""
    health = fresh()
    for drop, reason in [(Drop.REPLACED, None), (Drop.REPLACED, None), (Drop.LATE, None), (Drop.REJECTED, "damaged")]:
        health.frame_dropped("cam", drop, reason)
    health.rejected("oversize_bytes", camera="cam")
    health.rejected("retained", camera="cam")
    report = health.cameras(1)["cam"]
    assert report.dropped == {"replaced": 2, "late": 1, "rejected": 2, "retained": 1}
    assert report.rejected == {"damaged": 1, "oversize_bytes": 1, "retained": 1}


def test_a_camera_is_blind_until_its_first_verdict() -> None:
    """Before anything was seen there is no sight to lose."""
    assert fresh().cameras(700 * MS)["cam"].blind_ms == 700.0


def test_a_steady_camera_is_not_blind() -> None:
    """Verdicts in budget at the frame rate leave no gap."""
    health = fresh()
    for index in range(100):
        received = index * 40.0
        health.frame_received("cam", round(received * MS))
        health.frame_done(frame(received), *stamps(received, 1, 3, 18, 18.5, 19))
    report = health.cameras(100 * 40 * MS)["cam"]
    assert not report.blind_now
    assert report.blind_ms == pytest.approx(19.0)  # until the first verdict


def test_silence_and_misses_are_blind_time() -> None:
    """After the last in-budget frame, sight lasts for the budget and two intervals."""
    health = fresh()
    for index in range(50):
        health.frame_received("cam", index * 40 * MS)
        late = index >= 30  # these verdicts come, but too late
        health.frame_done(frame(index * 40.0), *stamps(index * 40.0, 1, 2, 3, 4, 60 if late else 5))
    report = health.cameras(4000 * MS)["cam"]
    sees_until_ms = 29 * 40 + 40 + 2 * 40
    assert report.misses == 20
    assert report.blind_now
    assert report.blind_ms == pytest.approx(4000 - sees_until_ms + 5, abs=0.01)


def test_rates_are_those_since_the_last_report() -> None:
    """The frame rate is a rate now, counters are totals."""
    health = fresh()
    for index in range(25):
        health.frame_received("cam", index * 40 * MS)
    assert health.cameras(1000 * MS)["cam"].fps_in == 25.0
    report = health.cameras(2000 * MS)["cam"]
    assert (report.fps_in, report.received) == (0.0, 25)


def test_readings_are_counted_and_aged() -> None:
    """A sensor that never spoke has no age."""
    health = fresh()
    assert health.sensors(5 * MS)["vibration"].age_ms is None
    health.reading_received("vibration", 2 * MS)
    health.rejected("nan", sensor="vibration")
    report = health.sensors(5 * MS)["vibration"]
    assert (report.received, report.rejected, report.age_ms) == (1, {"nan": 1}, 3.0)


def test_a_sensor_is_steady_since_it_repeats_one_value() -> None:
    """Since the first of them; silence is another matter."""
    health = fresh()
    assert health.sensors_steady_since_ns()["vibration"] is None
    for at, value in enumerate((1.0, 2.0, 2.0, 2.0)):
        health.reading_received("vibration", at * MS, value)
    assert health.sensors_steady_since_ns()["vibration"] == 1 * MS


def test_what_a_newer_frame_replaced_is_counted_as_that() -> None:
    """Out of order by its own time, or by its turn: both are frames without a verdict that were no fault of theirs."""
    health = fresh()
    health.rejected("replaced", camera="cam")
    health.rejected("too_old", camera="cam")
    assert health.cameras(1)["cam"].dropped == {"replaced": 1, "rejected": 1}


def test_strays_are_counted() -> None:
    """A message that belongs to nobody is counted too."""
    health = fresh()
    health.rejected("unknown_topic")
    assert health.strays() == {"unknown_topic": 1}


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(100, 0.5, 50), (100, 0.99, 99), (100, 0.95, 95), (1, 0.99, 1), (10, 0.99, 10)]
)
def test_percentiles_are_nearest_rank(count: int, share: float, expected: int) -> None:
    """A percentile is a value that occurred."""
    assert percentile(list(range(1, count + 1)), share) == expected


def test_samples_are_bounded_and_start_afresh() -> None:
    """A flood between two heartbeats keeps the newest, and the next summary starts empty."""
    samples = Samples()
    for value in range(3 * MAX_SAMPLES):
        samples.add(value * MS)
    summary = samples.summary()
    assert summary.count == MAX_SAMPLES
    assert summary.max_ms == 3 * MAX_SAMPLES - 1
    assert samples.summary().count == 0


def test_a_reload_keeps_the_counters_of_what_stays() -> None:
    """Cameras and sensors that stay go on counting, under their new budget; what is new begins at zero, what is gone is not asked for."""
    health = fresh()
    health.frame_received("cam", 0)
    health.frame_done(frame(0), *stamps(0, 1, 3, 18, 18.5, 19))
    health.reconfigure({"cam": 20 * MS, "new": BUDGET}, ["heat"], 30 * MS)
    report = health.cameras(40 * MS)
    assert (report["cam"].verdicts, report["cam"].budget_ms, report["new"].received) == (1, 20.0, 0)
    assert report["new"].blind_ms == 10.0
    assert set(health.sensors(40 * MS)) == {"heat"}
    health.reconfigure({"new": BUDGET}, [], 50 * MS)
    health.flag_acknowledged("cam", 1)  # a confirmation that was on its way
    assert set(health.cameras(60 * MS)) == {"new"}


def test_the_tally_counts_what_a_trial_asks() -> None:
    """In time, late (judged or dropped), and without scores; replaced and damaged frames are nobody's fault."""
    health, before = fresh(), fresh().tally()
    health.frame_done(frame(0), *stamps(0, 1, 3, 18, 18.5, 19))
    health.frame_done(frame(0), *stamps(0, 1, 3, 18, 18.5, 41))
    health.frame_dropped("cam", Drop.LATE)
    health.frame_dropped("cam", Drop.REPLACED)
    health.frame_dropped("cam", Drop.REJECTED, "damaged")
    health.frame_dropped("cam", Drop.REJECTED, "inference_failed")
    assert health.tally().since(before) == Tally(1, 2, 1)


def test_regions_are_counted_by_name_and_a_reload_keeps_those_that_stay() -> None:
    """How many tiles were computed and how many not, and how old they are; a camera that is looked at whole has none."""
    health = Health({"cam": BUDGET, "other": BUDGET}, [], 0)
    health.watch_regions({"cam": {"": 9 * MS, "row": 9 * MS}, "other": {"": 9 * MS}})
    health.tiles_seen("cam", {"": Turn(skipped=1, seen_ns=(None,)), "row": Turn(computed=1, seen_ns=(5 * MS,))})
    health.tiles_seen("other", {"": Turn(computed=1, seen_ns=(5 * MS,))})
    reports = health.cameras(9 * MS)
    found = {name: (one.computed, one.skipped, one.age_ms) for name, one in reports["cam"].regions.items()}
    assert found == {"whole": (0, 1, None), "row": (1, 0, 4.0)}
    assert reports["other"].regions == {}
    health.watch_regions({"cam": {"row": 9 * MS, "new": 9 * MS}})
    health.tiles_seen("cam", {"gone": Turn(computed=1, seen_ns=(5 * MS,))})
    found = {
        name: (one.computed, one.skipped, one.age_ms) for name, one in health.cameras(9 * MS)["cam"].regions.items()
    }
    assert found == {"row": (1, 0, 4.0), "new": (0, 0, None)}


@pytest.mark.parametrize(
    ("seen_ms", "coverage", "age_ms"),
    [((5, 6, 7, 8), 1.0, 95.0), ((0, 6, 7, 8), 1.0, 100.0), ((None, 6, 7, 8), 0.75, None), ((None,) * 4, 0.0, None)],
)
def test_a_region_of_tiles_says_how_much_of_it_is_covered_and_how_old_its_oldest_tile_is(
    seen_ms: tuple[int | None, ...], coverage: float, age_ms: float | None
) -> None:
    """At 100 ms, where a tile counts for 100 ms; a millisecond later what was seen at 0 is none any more."""
    health = Health({"cam": BUDGET}, [], 0)
    health.watch_regions({"cam": {"web": 100 * MS}})
    seen_ns = tuple(None if one is None else one * MS for one in seen_ms)
    health.tiles_seen("cam", {"web": Turn(computed=2, unchanged=1, skipped=1, seen_ns=seen_ns)})
    report = health.cameras(100 * MS)["cam"].regions["web"]
    assert (report.tiles, report.coverage, report.age_ms) == (4, coverage, age_ms)
    assert (report.computed, report.unchanged, report.skipped) == (2, 1, 1)
    later = health.cameras(101 * MS)["cam"].regions["web"].coverage
    assert later == coverage - (0.25 if seen_ms[0] == 0 else 0.0)
