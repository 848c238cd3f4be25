"""A recording through the daemon's own worker: what would have been flagged and raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import Bundle, open_bundle
from edge.frame import Quality
from edge.inference.preprocess import encode_jpeg
from edge.replay.recorded import Picture, Recorded, Value
from edge.replay.scores import score_all
from edge.replay.setup import backtest, site_for
from edge.replay.simulation import Outcome, Simulation
from edge.site.settings import Site
from tests.edge.bench import ALARM, DARK, RED
from tests.stand.bundles import PUMP_SENSORS, colour_bundle, pump_bundle

MS, S = 1_000_000, 1_000_000_000
WALL_NS = 1_800_000_000 * S


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """How red, green and blue a picture is."""
    colour_bundle(tmp_path / "colours")
    return open_bundle(tmp_path / "colours")


def site(bundle: Bundle, **alarm: Any) -> Site:
    """A camera and a sensor, each with an alarm."""
    return Site.model_validate(
        {
            "bundle": bundle.path,
            "node": {"id": "n"},
            "cameras": [{"id": "cam", "picture": {"frozen_after_ms": 0}}],
            "sensors": [{"id": "vibration"}],
            "rules": [{"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0}],
            "faults": [
                {"id": "red", "camera": "cam", "alarm": ALARM | alarm},
                {"id": "loose", "rules": ["shaking"], "alarm": ALARM},
            ],
            "explain": {"enabled": False},
            "runtime": {"allow_other_board": True},
        }
    )


def pictures(folder: Path, shown: list[tuple[float, bytes]], camera: str = "cam") -> tuple[Picture, ...]:
    """Pictures at so many seconds."""
    found = []
    for number, (at_s, encoded) in enumerate(shown):
        path = folder / f"{camera}-{number}.jpg"
        path.write_bytes(encoded)
        found.append(Picture(WALL_NS + round(at_s * S), camera, path))
    return tuple(found)


def replay(bundle: Bundle, recorded: Recorded, **alarm: Any) -> Outcome:
    """The outcome."""
    paths = [picture.path for picture in recorded.pictures]
    scores = dict(zip(paths, score_all(bundle, paths, 1), strict=True))
    return Simulation(site(bundle, **alarm), bundle, WALL_NS).run(recorded, scores)


def raised(outcome: Outcome, alarm: str) -> list[float]:
    """When an alarm was raised, s since the beginning."""
    return [(change.at_ns - WALL_NS) / S for change in outcome.changes if change.alarm == alarm and change.raised]


def test_a_fault_in_the_recording_raises_its_alarm_when_it_shows(bundle: Bundle, tmp_path: Path) -> None:
    """Every frame gives a flag, with the score that the graph gives; the alarm comes with the first faulty one."""
    shown = [(0.2 * number, RED if 10 <= number < 20 else DARK) for number in range(30)]
    outcome = replay(bundle, Recorded(pictures(tmp_path, shown), ()))
    assert [flag.verdict for flag in outcome.flags["red"]] == ["ok"] * 10 + ["fault"] * 10 + ["ok"] * 10
    assert raised(outcome, "red") == [2.0]
    assert (outcome.refused, outcome.internal_errors) == ({}, {})


def test_delays_hold_in_replay_time(bundle: Bundle, tmp_path: Path) -> None:
    """A fault that is shorter than the on-delay raises nothing; a longer one does, after it."""
    short = [(0.2 * number, RED if number < 5 else DARK) for number in range(20)]
    assert raised(replay(bundle, Recorded(pictures(tmp_path, short), ()), on_delay_ms=2000.0), "red") == []
    long = [(0.2 * number, RED) for number in range(20)]
    (at_s,) = raised(replay(bundle, Recorded(pictures(tmp_path, long), ()), on_delay_ms=2000.0), "red")
    assert at_s == pytest.approx(2.0, abs=0.21)


def test_a_gap_of_days_is_jumped_and_makes_the_camera_stale(bundle: Bundle, tmp_path: Path) -> None:
    """A day without frames takes no day; the fault that stood before it is not taken for one that stood all day."""
    shown = [(0.0, DARK), (0.2, DARK), (86_400.0, RED)]
    outcome = replay(bundle, Recorded(pictures(tmp_path, shown), ()))
    assert outcome.span_ns == 86_400 * S
    assert raised(outcome, "red") == [86_400.0]
    assert raised(outcome, "cam-silent")


def test_readings_take_part(bundle: Bundle, tmp_path: Path) -> None:
    """Rules see them in the order of their time, beside the pictures; a refused one is unknown, never normal."""
    values = tuple(
        Value(WALL_NS + number * S, "vibration", 9.0 if number >= 5 else 1.0, Quality.GOOD) for number in range(10)
    )
    outcome = replay(bundle, Recorded(pictures(tmp_path, [(0.0, DARK)]), values))
    (at_s,) = raised(outcome, "loose")
    assert at_s == pytest.approx(5.0, abs=0.2)
    bad = (*values[:3], Value(WALL_NS + 3 * S, "vibration", float("nan"), Quality.BAD))
    assert raised(replay(bundle, Recorded((), bad)), "loose") == []


def test_a_picture_without_scores_has_no_verdict(bundle: Bundle, tmp_path: Path) -> None:
    """It is unknown; one of a camera that the site does not have, or that is gone, is counted."""
    shown = pictures(tmp_path, [(0.0, DARK), (0.2, b"rubbish"), (0.4, DARK)])
    strange = pictures(tmp_path, [(0.6, DARK)], camera="door")
    gone = Picture(WALL_NS + S, "cam", tmp_path / "gone.jpg")
    outcome = replay(bundle, Recorded((*shown, *strange, gone), ()))
    assert [flag.verdict for flag in outcome.flags["red"]][:3] == ["ok", "unknown", "ok"]
    assert sorted(reason.partition(":")[0] for reason in outcome.refused) == [
        "camera door is none of the site's",
        "cannot be read",
    ]


def test_recorded_readings_are_judged_by_a_bundle_of_windows(tmp_path: Path) -> None:
    """Its own graph runs over them, as it would on the device: without a site file every fault of it is looked for."""
    pump_bundle(tmp_path / "pump")
    bundle = open_bundle(tmp_path / "pump")
    values = tuple(
        Value(WALL_NS + second * S, sensor, 9.0 if 30 <= second < 45 else 1.0, Quality.GOOD)
        for second in range(60)
        for sensor in PUMP_SENSORS
    )
    outcome = backtest(site_for(bundle, None), bundle, Recorded((), values))
    (at_s,) = raised(outcome, "leak")
    assert 34 <= at_s <= 37
    assert outcome.internal_errors == {}
    assert outcome.flags["leak"][-1].verdict == "ok"


def test_regions_of_a_recording_are_judged_by_the_graph_itself(bundle: Bundle, tmp_path: Path) -> None:
    """A picture has other scores in each region, so none are computed before."""
    halves = [{"id": "left", "box": [0, 0, 0.5, 1]}, {"id": "right", "box": [0.5, 0, 0.5, 1]}]
    document = site(bundle).model_dump() | {
        "cameras": [{"id": "cam", "picture": {"frozen_after_ms": 0}, "regions": halves}],
        "faults": [{"id": one["id"], "camera": "cam", "region": one["id"], "vision": "red"} for one in halves],
    }
    two = np.zeros((64, 64, 3), np.uint8)
    two[:, 32:, 0] = 255
    shown = pictures(tmp_path, [(0.0, encode_jpeg(two)), (0.2, encode_jpeg(two[:, ::-1]))])
    simulation = Simulation(Site.model_validate(document), bundle, WALL_NS)
    assert not simulation.needs_scores
    outcome = simulation.run(Recorded(shown, ()), {})
    verdicts = {name: [flag.verdict for flag in flags] for name, flags in outcome.flags.items()}
    assert verdicts == {"left": ["ok", "fault"], "right": ["fault", "ok"]}
    assert (outcome.refused, outcome.internal_errors) == ({}, {})
