"""What a fit finds: the simpler candidate where it is as good, known faults, groups, and a level that tells too much."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from exporters.recordings.cells import FAULTY, NORMAL, OTHER, Windows, cut
from exporters.recordings.findings import confounds, episodes, fit
from exporters.recordings.recipe import RecordingRecipe
from exporters.recordings.table import find_files, read_tables

GROUPS = ("a", "b", "c", "d", "e")


def recipe(**changes: object) -> RecordingRecipe:
    """Two sensors, windows of four cells of a minute."""
    document: dict[str, object] = {
        "name": "pump", "recording": {"files": ["*.csv"], "group": "file"}, "window": {"period_ms": 60_000, "length": 4},
        "fault": {"id": "odd", "bound": "1 per hour"}, "sensors": [{"id": "flow"}, {"id": "temp"}],
    }  # fmt: skip
    return RecordingRecipe.model_validate(document | changes)


def windows(flow: np.ndarray, temp: np.ndarray, groups: np.ndarray, kind: np.ndarray) -> Windows:
    """Windows whose cells are all alike."""
    cells = np.repeat(np.stack([flow, temp], axis=1)[:, None, :], 4, axis=1).astype(np.float32)
    at = np.arange(len(flow), dtype=np.int64) * 60_000_000_000
    return Windows(cells, np.ones_like(cells), at, groups, np.searchsorted(GROUPS, groups), kind, Counter())


def plant(*, coupled: bool, warm: float = 0.0, group: str = "d") -> Windows:
    """Four groups of 200 normal windows and, in the last, 20 with less flow; coupled: temperature follows flow."""
    noise = np.random.default_rng(0)
    groups = np.repeat(np.array(GROUPS[:4]), 200)
    flow = noise.normal(10, 1, 800) + 3 * coupled * np.sin(np.arange(800) / 9)
    temp = 2 * flow + noise.normal(0, 0.1, 800) if coupled else noise.normal(50, 1, 800)
    fault = noise.normal(10 if coupled else 2, 0.3, 20)
    hot = (2 * fault - 5 if coupled else noise.normal(50, 1, 20)) + warm
    kind = np.r_[np.full(800, NORMAL), np.full(20, FAULTY)]
    return windows(np.r_[flow, fault], np.r_[temp, hot], np.r_[groups, np.full(20, group)], kind)


def test_where_sensors_tell_nothing_of_each_other_the_simpler_candidate_is_kept() -> None:
    """The known fault is found and the right sensor named, though neither chose anything."""
    found = fit(recipe(), plant(coupled=False))
    assert found.chosen.kind == "states"
    (one,) = episodes(recipe(), found)
    assert (one.group, one.windows, one.sensor) == ("d", 20, "flow")
    assert one.flagged == 20
    assert confounds(recipe(), found.windows) == []


def test_where_one_sensor_follows_another_the_residual_is_kept() -> None:
    """It finds a temperature that no longer follows and is within its own limits."""
    found = fit(recipe(), plant(coupled=True))
    assert found.chosen.kind == "residual"
    states, residual, _ = found.candidates
    assert residual.shift < 0.6 * states.shift
    assert episodes(recipe(), found)[0].flagged >= 15


def test_a_level_that_tells_every_fault_is_a_confound() -> None:
    """As where faults were recorded on a warmer day; within one group it is the fault itself."""
    low, warm = confounds(recipe(), plant(coupled=False, warm=30.0, group="e"))
    assert "`flow below " in low
    assert "`temp above " in warm
    assert "tells 20 of 20 windows with a fault and 0 of 800 normal ones, and no file holds both" in warm
    assert confounds(recipe(), plant(coupled=False, warm=30.0)) == []


def test_with_one_sensor_there_is_one_candidate_and_with_one_group_no_promise() -> None:
    """Nothing can be left out of one group."""
    one = recipe(sensors=[{"id": "flow"}])
    seen = plant(coupled=False)
    alone = Windows(seen.values[:200, :, :1], seen.valid[:200, :, :1], seen.at_ns[:200], seen.groups[:200], seen.files[:200], seen.kind[:200], Counter())  # fmt: skip
    found = fit(one, alone)
    assert [candidate.kind for candidate in found.candidates] == ["states"]
    assert not found.chosen.limit.armed
    assert found.chosen.limit.missing_days == pytest.approx(3 / 24, rel=0.01)


@pytest.mark.parametrize(("group", "names"), [("file", {"0", "1"}), ("day", {"1970-01-01"}), ("unit", {"u"})])
def test_windows_are_cut_by_the_devices_own_grid(tmp_path: Path, group: str, names: set[str]) -> None:
    """Labelled, settling and excluded time is not normal, and a gap is counted."""
    for number in range(2):
        rows = [
            f"{60 * minute + 3600 * number},1,2,{int(minute == 20)}" for minute in range(50) if not 35 < minute < 45
        ]
        (tmp_path / f"u{number}.csv").write_text("time,flow,temp,bad\n" + "\n".join(rows), encoding="utf-8")
    recording: dict[str, object] = {"files": ["*.csv"], "group": group, "label": "bad", "settle_s": 120}
    if group == "unit":
        recording["unit_pattern"] = r"/([a-z])\d.csv"
    recording["exclude"] = [{"start": "1970-01-01T00:05:00Z", "end": "1970-01-01T00:06:00Z", "file": "u0.csv"}]
    made = recipe(recording=recording)
    found = cut(made, read_tables(find_files(made.recording, tmp_path), made.recording, made.sensors))
    assert {name.rpartition("/")[2].strip("u.csv") or "u" for name in found.groups.tolist()} == names
    assert (found.kind == FAULTY).sum() == 2
    assert found.left_out == {
        "rows in excluded intervals": 1,
        "rows that settle after a fault": 4,
        "gaps longer than a window": 2,
    }
    first = found.files == 0
    assert (found.kind[first] == OTHER).sum() > (found.kind[~first] == OTHER).sum() > 4
